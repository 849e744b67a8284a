//! What lies in a pool's trash. librbd moves an image there in steps: it writes the entry, takes away the name, and says
//! in the entry that it has arrived. A removal goes the same way.
//!
//! A process that dies in between leaves what `rbd_trash_remove` refuses for ever (EUCLEAN: the entry says that it is
//! moving), or what `rbd_trash_list` does not tell of and `rbd_list2` names, though nobody can open it (a removal). Here
//! both are in the trash, and can be removed; what still has its name is not, whatever the entry says.
//!
//! Functions: `rados_exec` (`trash_list`, `trash_get`, `trash_state_set` and `dir_remove_image` of the class `rbd`).

use std::ffi::CStr;

use super::class::{self, Reader};
use super::cluster::Pool;
use super::errno::Failure;
use super::names;
use crate::block::TrashEntry;

type Outcome<T> = Result<T, Failure>;

const TRASH: &CStr = c"rbd_trash";
const GET: &CStr = c"trash_get";

/// So many entries are asked for at once, and have room.
const PAGE: u64 = 100;
const ROOM: usize = 1 << 20;

/// Who put it there: `cls::rbd::TrashImageSource`.
const MIRRORING: u8 = 1;
const MIGRATION: u8 = 2;

/// How far it is: `cls::rbd::TrashImageState`.
const ARRIVED: u8 = 0;
const MOVING: u8 = 1;

pub(super) struct Spec {
    source: u8,
    pub name: String,
    state: u8,
}

/// All that is in the trash, but for what mirroring and migration use it for.
pub(super) fn entries(pool: &Pool) -> Outcome<Vec<TrashEntry>> {
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let page = page(pool, &after)?;
        let Some((last, _)) = page.last() else { return Ok(found) };
        after.clone_from(last);
        for (id, spec) in page {
            if !matches!(spec.source, MIRRORING | MIGRATION) && spec.is_in_trash(pool, &id)? {
                found.push(TrashEntry { id, name: spec.name });
            }
        }
    }
}

/// ENOENT: it is not there.
pub(super) fn entry(pool: &Pool, id: &str) -> Outcome<Spec> {
    let answer = get(pool, id)?;
    let spec = Spec::read(&mut Reader(&answer)).ok_or_else(|| class::unreadable(class::name_of(GET)))?;
    if !spec.is_in_trash(pool, id)? {
        return Err(class::missing(class::name_of(GET)));
    }
    Ok(spec)
}

/// Whether there is an entry, whosever it is.
pub(super) fn holds(pool: &Pool, id: &str) -> Outcome<bool> {
    class::or_none(get(pool, id)).map(|entry| entry.is_some())
}

fn get(pool: &Pool, id: &str) -> Outcome<Vec<u8>> {
    class::ask(pool, TRASH, GET, &class::encode(&[id]), ROOM)
}

/// Brings an image's way to the trash to its end.
pub(super) fn arrive(pool: &Pool, id: &str, spec: &Spec) -> Outcome<()> {
    if spec.state != MOVING {
        return Ok(());
    }
    names::forget(pool, &spec.name, id)?;
    let mut question = class::encode(&[id]);
    question.extend([ARRIVED, MOVING]);
    class::ask(pool, TRASH, c"trash_state_set", &question, 0).map(drop)
}

/// Ordered by id, from behind `after`.
fn page(pool: &Pool, after: &str) -> Outcome<Vec<(String, Spec)>> {
    const METHOD: &CStr = c"trash_list";
    let mut question = class::encode(&[after]);
    question.extend(PAGE.to_le_bytes());
    // A pool that never had a trash has no such object.
    let answer = class::or_none(class::ask(pool, TRASH, METHOD, &question, ROOM))?;
    let Some(answer) = answer else { return Ok(Vec::new()) };
    let mut reader = Reader(&answer);
    let count = reader.number().ok_or_else(|| class::unreadable(class::name_of(METHOD)))?;
    let entries = (0..count).map(|_| Some((reader.text()?, Spec::read(&mut reader)?)));
    entries.collect::<Option<_>>().ok_or_else(|| class::unreadable(class::name_of(METHOD)))
}

impl Spec {
    /// `cls::rbd::TrashImageSpec`: its version, the oldest that can read it, its length, and what later ones added at its
    /// end, which is skipped.
    fn read(reader: &mut Reader) -> Option<Self> {
        let (version, _) = (reader.byte()?, reader.byte()?);
        let length = usize::try_from(reader.number()?).ok()?;
        let mut inner = Reader(reader.take(length)?);
        let (source, name) = (inner.byte()?, inner.text()?);
        // When it was deleted, and until when it is kept, in seconds and nanoseconds.
        inner.take(2 * 8)?;
        let state = if version < 2 { ARRIVED } else { inner.byte()? };
        Some(Self { source, name, state })
    }

    fn is_in_trash(&self, pool: &Pool, id: &str) -> Outcome<bool> {
        Ok(self.state != MOVING || !names::leads(pool, &self.name, id)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_ceph_writes_it() {
        let mut bytes = vec![2, 1, 0, 0, 0, 0, 3];
        bytes.extend(class::encode(&["volume-1"]));
        bytes.extend([0; 16]);
        bytes.push(MOVING);
        let length = u8::try_from(bytes.len() - 6).unwrap();
        bytes[2] = length;
        let whole = bytes.clone();
        // A later version, and what comes behind the entry.
        bytes[0] = 3;
        bytes[2] += 2;
        bytes.extend([7, 7, 9]);
        for (bytes, left) in [(&whole, 0), (&bytes, 1)] {
            let mut reader = Reader(bytes);
            let spec = Spec::read(&mut reader).unwrap();
            assert_eq!((spec.source, spec.name.as_str(), spec.state), (3, "volume-1", MOVING));
            assert_eq!(reader.0.len(), left);
        }
        for end in 0..whole.len() {
            assert!(Spec::read(&mut Reader(&whole[..end])).is_none(), "{end}");
        }
    }
}
