//! What a pool keeps of its images' names. `rbd_directory` has the id of each name and the name of each id; an object
//! `rbd_id.<name>` has the id once more, and that is where librbd looks when it opens an image.
//!
//! `rbd_rename` writes the new object, then the directory, then removes the old object. A process that dies in between
//! leaves an object whose name leads to an image of another name: what is meant for the one would meet the other. The
//! directory decides here, and a rename that broke off can be brought to its end.
//!
//! A removal takes the object last, so one that broke off can leave it, too.
//!
//! Functions: `rados_exec` (`dir_get_id`, `dir_get_name`, `dir_rename_image` and `dir_remove_image` of the class `rbd`),
//! `rados_read`, `rados_remove`.

#![allow(unsafe_code)]

use std::ffi::CStr;

use ceph::rados;

use super::class::{self, Reader, or_none};
use super::cluster::Pool;
use super::errno::{Failure, c_own, check};

type Outcome<T> = Result<T, Failure>;

const DIRECTORY: &CStr = c"rbd_directory";
pub(super) const POINTER: &str = "rbd_id.";

/// No name and no id is longer.
const ROOM: usize = 4096;

/// Whether the directory knows this image by this name.
pub(super) fn is_name_of(pool: &Pool, name: &str, id: &str) -> Outcome<bool> {
    Ok(id_of(pool, name)?.as_deref() == Some(id))
}

/// Whether the name leads to this image, wherever one looks.
pub(super) fn leads(pool: &Pool, name: &str, id: &str) -> Outcome<bool> {
    Ok(is_name_of(pool, name, id)? && pointer(pool, name)?.as_deref() == Some(id))
}

/// Takes the name away from an image, wherever it still has it.
pub(super) fn forget(pool: &Pool, name: &str, id: &str) -> Outcome<()> {
    if pointer(pool, name)?.as_deref() == Some(id) {
        remove_pointer(pool, name)?;
    }
    or_none(ask(pool, c"dir_remove_image", &[name, id])).map(drop)
}

/// Removes what a broken off rename left of a name. Answers whether there was such a thing: what it leads to is an image
/// of another name.
pub(super) fn drop_stray(pool: &Pool, name: &str) -> Outcome<bool> {
    if id_of(pool, name)?.is_some() {
        return Ok(false);
    }
    let Some(id) = pointer(pool, name)? else { return Ok(false) };
    if name_of(pool, &id)?.is_none_or(|other| other == name) {
        // It may be about to be made.
        return Ok(false);
    }
    remove_pointer(pool, name)?;
    Ok(true)
}

/// Brings a rename to its end that broke off. Answers whether there was one. Another process may do the same at the same
/// time: each step may have been done already.
pub(super) fn finish_rename(pool: &Pool, from: &str, to: &str) -> Outcome<bool> {
    let Some(id) = pointer(pool, to)? else { return Ok(false) };
    if pointer(pool, from)?.as_ref() != Some(&id) {
        return Ok(false);
    }
    if !is_name_of(pool, to, &id)? {
        if !is_name_of(pool, from, &id)? {
            return Ok(false);
        }
        ask(pool, c"dir_rename_image", &[from, to, &id])?;
    }
    remove_pointer(pool, from)?;
    Ok(true)
}

pub(super) fn id_of(pool: &Pool, name: &str) -> Outcome<Option<String>> {
    or_none(ask(pool, c"dir_get_id", &[name]))
}

pub(super) fn name_of(pool: &Pool, id: &str) -> Outcome<Option<String>> {
    or_none(ask(pool, c"dir_get_name", &[id]))
}

/// The id in `rbd_id.<name>`. An empty object has an empty one, which leads nowhere.
pub(super) fn pointer(pool: &Pool, name: &str) -> Outcome<Option<String>> {
    const READ: &str = "rados_read";
    let object = c_own(&format!("{POINTER}{name}"))?;
    let mut bytes = vec![0; ROOM];
    // SAFETY: the pool is alive, the text ends in NUL, and the buffer is as long as said.
    let read =
        unsafe { rados::rados_read(pool.io(), object.as_ptr(), bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    let Some(length) = or_none(check(READ, read))? else { return Ok(None) };
    bytes.truncate(usize::try_from(length).map_err(|_| class::unreadable(READ))?);
    text(READ, &bytes).map(Some)
}

pub(super) fn remove_pointer(pool: &Pool, name: &str) -> Outcome<()> {
    let object = c_own(&format!("{POINTER}{name}"))?;
    // SAFETY: the pool is alive and the text ends in NUL.
    let removed = unsafe { rados::rados_remove(pool.io(), object.as_ptr()) };
    or_none(check("rados_remove", removed).map(drop)).map(drop)
}

/// Asks the directory; answers the text that it answers.
fn ask(pool: &Pool, method: &'static CStr, texts: &[&str]) -> Outcome<String> {
    let answer = class::ask(pool, DIRECTORY, method, &class::encode(texts), ROOM)?;
    text(class::name_of(method), &answer)
}

/// Nothing at all is an empty text.
fn text(function: &'static str, bytes: &[u8]) -> Outcome<String> {
    if bytes.is_empty() {
        return Ok(String::new());
    }
    Reader(bytes).text().ok_or(class::unreadable(function))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_there_as_a_whole_or_not_at_all() {
        assert_eq!(text("rados_read", b"\x02\0\0\0ab").unwrap(), "ab");
        assert_eq!(text("rados_read", b"").unwrap(), "");
        for broken in [&b"\x02"[..], b"\x02\0\0\0a"] {
            assert!(text("rados_read", broken).is_err(), "{broken:?}");
        }
    }
}
