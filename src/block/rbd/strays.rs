//! Objects of a pool that belong to no image that anybody can open: names that lead elsewhere or nowhere, and what is
//! left of images that have no name. Past all objects of the pool.
//!
//! Functions: `rados_nobjects_list_*`, `rados_stat`.

#![allow(unsafe_code)]

use std::collections::{HashMap, HashSet};
use std::ffi::CStr;
use std::ptr;

use ceph::rados;
use nix::errno::Errno;

use super::class::or_none;
use super::cluster::Pool;
use super::errno::{Failure, c_own, check};
use super::names::{POINTER, id_of, name_of, pointer, remove_pointer};
use super::{list, sys, trash};
use crate::block::{Leads, Nameless, StrayName, Strays};

type Outcome<T> = Result<T, Failure>;

const HEADER: &str = "rbd_header.";
const MAP: &str = "rbd_object_map.";
const DATA: &str = "rbd_data.";

/// What belongs to which image, by the names of objects.
#[derive(Default)]
struct Objects {
    /// Of which there is an object that leads from the name.
    names: Vec<String>,
    /// By the images' ids: an object of each, one with data where there is any.
    images: HashMap<String, String>,
}

/// The objects are read before the directory and the trash: an image that is being made has an object first, and one that
/// goes is listed until it is gone.
pub(super) fn look(pool: &Pool) -> Outcome<Strays> {
    let Objects { names, images } = objects(pool)?;
    let listed = list::images(pool)?;
    let mut nameless = Vec::new();
    let known: HashSet<&str> = listed.iter().map(|(_, id)| id.as_str()).collect();
    for (id, object) in images.into_iter().filter(|(id, _)| !known.contains(id.as_str())) {
        if name_of(pool, &id)?.is_none() && !trash::holds(pool, &id)? {
            nameless.extend(left_of(pool, &id, object)?);
        }
    }
    let directory: HashMap<String, String> = listed.into_iter().collect();
    let mut strays = Vec::new();
    for name in names {
        let Some(id) = pointer(pool, &name)? else { continue };
        if directory.get(&name) != Some(&id) {
            strays.extend(stray(pool, &name)?);
        }
    }
    Ok(Strays { names: strays, nameless })
}

/// Removes the object of a name, if it is as it was found.
pub(super) fn remove_name(pool: &Pool, found: &StrayName) -> Outcome<bool> {
    if found.leads == Leads::Astray || stray(pool, &found.name)?.as_ref() != Some(found) {
        return Ok(false);
    }
    remove_pointer(pool, &found.name)?;
    Ok(true)
}

fn stray(pool: &Pool, name: &str) -> Outcome<Option<StrayName>> {
    let Some(moment) = written_at(pool, &format!("{POINTER}{name}"))? else { return Ok(None) };
    let Some(id) = pointer(pool, name)? else { return Ok(None) };
    let known = id_of(pool, name)?;
    if known.as_ref() == Some(&id) {
        return Ok(None);
    }
    let leads = match name_of(pool, &id)? {
        _ if known.is_some() => Leads::Astray,
        Some(other) if other != name => Leads::To(other),
        None if written_at(pool, &format!("{HEADER}{id}"))?.is_none() => Leads::Nowhere,
        _ => Leads::Astray,
    };
    Ok(Some(StrayName { name: name.to_owned(), leads, written_at: moment }))
}

/// What of an image is there. An object that only a snapshot had which is gone is listed until the OSDs have trimmed it.
fn left_of(pool: &Pool, id: &str, object: String) -> Outcome<Option<Nameless>> {
    let mut objects = [format!("{HEADER}{id}"), object, format!("{MAP}{id}")];
    if objects[1].starts_with(DATA) {
        objects.swap(0, 1);
    }
    for object in objects {
        if let Some(written_at) = written_at(pool, &object)? {
            return Ok(Some(Nameless { object, written_at }));
        }
    }
    Ok(None)
}

/// `None`: there is no such object.
fn written_at(pool: &Pool, object: &str) -> Outcome<Option<i64>> {
    let object = c_own(object)?;
    let (mut size, mut time) = (0, 0);
    // SAFETY: the pool is alive, the text ends in NUL, and both variables outlive the call.
    let answer = unsafe { rados::rados_stat(pool.io(), object.as_ptr(), &mut size, &mut time) };
    or_none(check("rados_stat", answer).map(|_| time))
}

/// Walks over all objects of the pool, in no order.
fn objects(pool: &Pool) -> Outcome<Objects> {
    let mut walk = ptr::null_mut();
    // SAFETY: the pool is alive and the variable outlives the call.
    check("rados_nobjects_list_open", unsafe { rados::rados_nobjects_list_open(pool.io(), &mut walk) })?;
    let mut found = Objects::default();
    let end = loop {
        let mut entry = ptr::null();
        // SAFETY: the walk is open and the variable outlives the call; nobody asks for the other two.
        let next =
            unsafe { sys::rados_nobjects_list_next(walk, &mut entry, ptr::null_mut(), ptr::null_mut()) };
        match check("rados_nobjects_list_next", next) {
            // SAFETY: the text ends in NUL and is alive until the next call.
            Ok(_) => unsafe { CStr::from_ptr(entry) }.to_str().map_or((), |name| found.add(name)),
            Err(failure) if failure.errno == Errno::ENOENT => break Ok(found),
            Err(failure) => break Err(failure),
        }
    };
    // SAFETY: opened above, closed once.
    unsafe { rados::rados_nobjects_list_close(walk) }
    end
}

impl Objects {
    fn add(&mut self, object: &str) {
        if let Some(name) = object.strip_prefix(POINTER) {
            self.names.push(name.to_owned());
        } else if let Some(id) = object.strip_prefix(DATA).and_then(in_this_pool) {
            match self.images.get_mut(id) {
                Some(other) if other.starts_with(DATA) => {}
                Some(other) => object.clone_into(other),
                None => drop(self.images.insert(id.to_owned(), object.to_owned())),
            }
        } else if let Some(rest) = object.strip_prefix(HEADER).or(object.strip_prefix(MAP)) {
            // The map of a snapshot has its number behind the id.
            let id = rest.split('.').next().unwrap_or(rest);
            if !self.images.contains_key(id) {
                self.images.insert(id.to_owned(), object.to_owned());
            }
        }
    }
}

/// `<id>.<number>`; of an image whose header is in another pool there is that pool's number before them.
fn in_this_pool(rest: &str) -> Option<&str> {
    rest.split_once('.').filter(|(_, number)| !number.contains('.')).map(|(id, _)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_known_by_their_names() {
        let mut found = Objects::default();
        for object in [
            "rbd_id.volume-1",
            "rbd_header.a1",
            "rbd_object_map.a1",
            "rbd_data.a1.0000000000000003",
            "rbd_data.a1.0000000000000004",
            "rbd_object_map.b2.0000000000000005",
            "rbd_data.7.c3.0000000000000000",
            "rbd_directory",
            "rbd_header.",
            "rb.0.1234.000000000000",
        ] {
            found.add(object);
        }
        assert_eq!(found.names, ["volume-1"]);
        let expected = [
            ("a1", "rbd_data.a1.0000000000000003"),
            ("b2", "rbd_object_map.b2.0000000000000005"),
            ("", "rbd_header."),
        ];
        assert_eq!(found.images, expected.map(|(id, object)| (id.to_owned(), object.to_owned())).into());
    }
}
