//! librbd's ways to answer many things at once: arrays that may turn out too short, and their clean-up.
//!
//! Functions: `rbd_list2`, `rbd_snap_list`, `rbd_snap_is_protected`,
//! `rbd_snap_get_namespace_type`, `rbd_snap_get_trash_namespace`, `rbd_snap_set_by_id`, `rbd_list_children3`,
//! `rbd_get_parent`, `rbd_get_overlap`, `rbd_metadata_list`, `rbd_diff_iterate2`, `rbd_watchers_list`,
//! `rbd_list_lockers`.

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;

use nix::errno::Errno;

use super::cluster::Pool;
use super::errno::{Failure, check};
use super::handle::Handle;
use super::sys;
use crate::block::{Child, Extent, Lock, LockKind, Parent, SnapshotPath};

type Outcome<T> = Result<T, Failure>;

/// Text that librbd owns.
///
/// # Safety
/// `text` is null or ends in NUL.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Calls `fill` with room for ever more entries until they fit. `fill` gets the room and says in `count` how
/// much it took or, with ERANGE, would take.
///
/// # Safety
/// After success, `fill` has made the first `count` entries whole.
unsafe fn sized<T>(
    function: &'static str,
    mut room: usize,
    mut fill: impl FnMut(*mut T, &mut usize) -> c_int,
) -> Outcome<Vec<T>> {
    loop {
        let mut entries = Vec::<T>::with_capacity(room);
        let mut count = room;
        match check(function, fill(entries.as_mut_ptr(), &mut count)) {
            Ok(_) => {
                // SAFETY: the caller's promise; and librbd never answers more than it was given room for.
                unsafe { entries.set_len(count.min(room)) };
                return Ok(entries);
            }
            // Entries may be added between two calls, so the room only ever grows.
            Err(failure) if failure.errno == Errno::ERANGE && room < 1 << 24 => room = count.max(room * 2),
            Err(failure) => return Err(failure),
        }
    }
}

/// The names and ids of the directory, and of the images in the trash whose removal has begun.
pub(super) fn images(pool: &Pool) -> Outcome<Vec<(String, String)>> {
    // SAFETY: `rbd_list2` keeps the promise of `sized`; its entries are read before they are cleaned up, once.
    unsafe {
        let mut entries =
            sized("rbd_list2", 256, |entries, count| sys::rbd_list2(pool.io(), entries, count))?;
        let images =
            entries.iter().map(|entry: &sys::rbd_image_spec_t| (text(entry.name), text(entry.id))).collect();
        sys::rbd_image_spec_list_cleanup(entries.as_mut_ptr(), entries.len());
        Ok(images)
    }
}

/// The clients that have the image open for writing, each as often as it does; this handle's too, if it writes.
pub(super) fn watchers(image: &Handle) -> Outcome<Vec<String>> {
    let raw = image.raw();
    // SAFETY: the image is open; `rbd_watchers_list` keeps the promise of `sized`, and its entries are cleaned up once.
    unsafe {
        let mut entries =
            sized("rbd_watchers_list", 8, |entries, count| sys::rbd_watchers_list(raw, entries, count))?;
        let clients = entries.iter().map(|entry: &sys::rbd_image_watcher_t| client(entry.id)).collect();
        sys::rbd_watchers_list_cleanup(entries.as_mut_ptr(), entries.len());
        Ok(clients)
    }
}

/// What the cluster calls the connection with this number.
pub(super) fn client(instance: impl std::fmt::Display) -> String {
    format!("client.{instance}")
}

/// What librbd tags the locks with that the feature exclusive-lock takes.
const FEATURE_TAG: &str = "internal";

/// As they were when the header was last read.
pub(super) fn locks(image: &Handle) -> Outcome<Vec<Lock>> {
    let mut exclusive = 0;
    let mut texts = [(); 4].map(|()| vec![0u8; 256]);
    loop {
        let [mut tag, mut clients, mut cookies, mut addresses] = texts.each_ref().map(Vec::len);
        let [tag_at, clients_at, cookies_at, addresses_at] =
            texts.each_mut().map(|text| text.as_mut_ptr().cast::<c_char>());
        // SAFETY: the image is open, and the buffers are as long as said.
        let answer = unsafe {
            sys::rbd_list_lockers(
                image.raw(),
                &mut exclusive,
                tag_at,
                &mut tag,
                clients_at,
                &mut clients,
                cookies_at,
                &mut cookies,
                addresses_at,
                &mut addresses,
            )
        };
        let lengths = [tag, clients, cookies, addresses];
        match check("rbd_list_lockers", answer as i64) {
            // Without any lock it does not touch the buffers.
            Ok(0) => return Ok(Vec::new()),
            Ok(count) => return Ok(locks_in(&texts, lengths, count)),
            Err(failure) if failure.errno == Errno::ERANGE && lengths.iter().sum::<usize>() < 1 << 24 => {
                for (text, length) in texts.iter_mut().zip(lengths) {
                    text.resize(length.max(text.len() * 2), 0);
                }
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// The tag, the clients, the cookies and the addresses, each list with a NUL behind every entry.
fn locks_in(texts: &[Vec<u8>; 4], lengths: [usize; 4], count: u64) -> Vec<Lock> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let [mut tags, clients, cookies, addresses] =
        [0, 1, 2, 3].map(|i| nul_ended(&texts[i][..lengths[i].min(texts[i].len())]));
    let is_of_the_feature = tags.next().is_some_and(|tag| tag == FEATURE_TAG);
    let kind = if is_of_the_feature { LockKind::Exclusive } else { LockKind::Advisory };
    let entries = clients.zip(cookies).zip(addresses).take(count);
    entries.map(|((owner, cookie), address)| Lock { owner, address, cookie, kind }).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Namespace {
    User,
    /// Removed while clones hung on it (clone format 2).
    Trash,
    /// Of a group or of mirroring.
    Other,
}

#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub id: u64,
    /// For one in the trash name space, the name it had.
    pub name: String,
    pub size: u64,
    pub namespace: Namespace,
}

/// All snapshots in all name spaces, in the order they were taken: their numbers grow.
pub(super) fn snapshots(image: &Handle) -> Outcome<Vec<Snapshot>> {
    let raw = image.raw();
    // SAFETY: the image is open. On success the function has made as many entries as it returns, and one that
    // ends the list; with too little room for that one too, it says how much it wants.
    let mut entries = unsafe {
        sized("rbd_snap_list", 32, |entries, count| {
            let mut number = c_int::try_from(*count).unwrap_or(c_int::MAX);
            let answer = sys::rbd_snap_list(raw, entries, &mut number);
            *count = usize::try_from(if answer < 0 { number } else { answer }).unwrap_or(0);
            answer
        })?
    };
    let named: Vec<(u64, u64, String)> = entries
        .iter()
        // SAFETY: each entry's name ends in NUL, until the clean-up below.
        .map(|entry: &sys::rbd_snap_info_t| (entry.id, entry.size, unsafe { text(entry.name) }))
        .collect();
    // SAFETY: the entry that ends the list lies right behind the last one, inside the vector's room.
    unsafe { sys::rbd_snap_list_end(entries.as_mut_ptr()) };
    let mut snapshots = Vec::with_capacity(named.len());
    for (id, size, name) in named {
        // Between the list and these questions a snapshot may go.
        let found = namespace(image, id).and_then(|namespace| {
            let name = if namespace == Namespace::Trash { trashed_name(image, id)? } else { name };
            Ok(Snapshot { id, name, size, namespace })
        });
        match found {
            Ok(snapshot) => snapshots.push(snapshot),
            Err(failure) if failure.errno == Errno::ENOENT => {}
            Err(failure) => return Err(failure),
        }
    }
    snapshots.sort_by_key(|snapshot| snapshot.id);
    Ok(snapshots)
}

fn namespace(image: &Handle, id: u64) -> Outcome<Namespace> {
    let mut namespace = 0;
    // SAFETY: the image is open and the variable outlives the call.
    check("rbd_snap_get_namespace_type", unsafe {
        sys::rbd_snap_get_namespace_type(image.raw(), id, &mut namespace)
    })?;
    Ok(match namespace {
        sys::SNAP_NAMESPACE_USER => Namespace::User,
        sys::SNAP_NAMESPACE_TRASH => Namespace::Trash,
        _ => Namespace::Other,
    })
}

fn trashed_name(image: &Handle, id: u64) -> Outcome<String> {
    let mut name = [0u8; 1024];
    // SAFETY: the image is open and the buffer is as long as said.
    check("rbd_snap_get_trash_namespace", unsafe {
        sys::rbd_snap_get_trash_namespace(image.raw(), id, name.as_mut_ptr().cast(), name.len())
    })?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(name).into_owned())
}

pub(super) fn is_protected(image: &Handle, snapshot: &CStr) -> Outcome<bool> {
    let mut protected = 0;
    // SAFETY: the image is open, the text ends in NUL, and the variable outlives the call.
    check("rbd_snap_is_protected", unsafe {
        sys::rbd_snap_is_protected(image.raw(), snapshot.as_ptr(), &mut protected)
    })?;
    Ok(protected != 0)
}

/// All clones of all snapshots. Moves the handle from snapshot to snapshot, so it must be the caller's alone.
pub(super) fn children(image: &Handle) -> Outcome<Vec<Child>> {
    let mut found = Vec::new();
    for snapshot in snapshots(image)? {
        // SAFETY: the image is open.
        match check("rbd_snap_set_by_id", unsafe { sys::rbd_snap_set_by_id(image.raw(), snapshot.id) }) {
            Ok(_) => found.extend(children_here(image, &snapshot.name)?),
            Err(failure) if failure.errno == Errno::ENOENT => {}
            Err(failure) => return Err(failure),
        }
    }
    found.sort();
    Ok(found)
}

/// Whether it says that there are children, but in a pool whose images this user may not name.
pub(super) fn is_hidden(failure: Failure) -> bool {
    matches!(failure.errno, Errno::EPERM | Errno::EACCES)
}

fn children_here(image: &Handle, snapshot: &str) -> Outcome<Vec<Child>> {
    // SAFETY: as in `images`.
    unsafe {
        let mut entries = sized("rbd_list_children3", 64, |entries, count| {
            sys::rbd_list_children3(image.raw(), entries, count)
        })?;
        let found = entries
            .iter()
            .map(|entry: &sys::rbd_linked_image_spec_t| Child {
                pool: text(entry.pool_name),
                image: text(entry.image_name),
                snapshot: snapshot.into(),
                in_trash: entry.trash,
            })
            .collect();
        sys::rbd_linked_image_spec_list_cleanup(entries.as_mut_ptr(), entries.len());
        Ok(found)
    }
}

pub(super) fn parent(image: &Handle) -> Outcome<Option<Parent>> {
    let mut parent = MaybeUninit::<sys::rbd_linked_image_spec_t>::zeroed();
    let mut snapshot = MaybeUninit::<sys::rbd_snap_spec_t>::zeroed();
    // SAFETY: the image is open; both are whole after success, and cleaned up once.
    let (path, in_trash) = unsafe {
        let answer = sys::rbd_get_parent(image.raw(), parent.as_mut_ptr(), snapshot.as_mut_ptr());
        match check("rbd_get_parent", answer) {
            Ok(_) => {}
            Err(failure) if failure.errno == Errno::ENOENT => return Ok(None),
            Err(failure) => return Err(failure),
        }
        let (from, at) = (parent.assume_init_ref(), snapshot.assume_init_ref());
        let path = SnapshotPath {
            pool: text(from.pool_name),
            image: text(from.image_name),
            snapshot: text(at.name),
        };
        let in_trash = from.trash;
        sys::rbd_linked_image_spec_cleanup(parent.as_mut_ptr());
        sys::rbd_snap_spec_cleanup(snapshot.as_mut_ptr());
        (path, in_trash)
    };
    let mut overlap = 0;
    // SAFETY: the image is open and the variable outlives the call.
    check("rbd_get_overlap", unsafe { sys::rbd_get_overlap(image.raw(), &mut overlap) })?;
    Ok(Some(Parent { path, overlap, in_trash }))
}

pub(super) fn metadata(image: &Handle) -> Outcome<BTreeMap<String, String>> {
    let (mut keys, mut values) = (vec![0u8; 4096], vec![0u8; 16384]);
    let start = CString::default();
    loop {
        let (mut keys_length, mut values_length) = (keys.len(), values.len());
        // SAFETY: the image is open, the buffers are as long as said, and 0 means no limit.
        let answer = unsafe {
            sys::rbd_metadata_list(
                image.raw(),
                start.as_ptr(),
                0,
                keys.as_mut_ptr().cast(),
                &mut keys_length,
                values.as_mut_ptr().cast(),
                &mut values_length,
            )
        };
        match check("rbd_metadata_list", answer) {
            Ok(_) => {
                let keys = nul_ended(&keys[..keys_length.min(keys.len())]);
                let values = nul_ended(&values[..values_length.min(values.len())]);
                return Ok(keys.zip(values).collect());
            }
            Err(failure) if failure.errno == Errno::ERANGE && keys.len() + values.len() < 1 << 26 => {
                keys.resize(keys_length.max(keys.len() * 2), 0);
                values.resize(values_length.max(values.len() * 2), 0);
            }
            Err(failure) => return Err(failure),
        }
    }
}

fn nul_ended(bytes: &[u8]) -> impl Iterator<Item = String> {
    let bytes = bytes.strip_suffix(&[0]);
    bytes
        .into_iter()
        .flat_map(|bytes| bytes.split(|byte| *byte == 0))
        .map(|t| String::from_utf8_lossy(t).into_owned())
}

/// The objects that may hold something else than zeros, those of parents included.
///
/// Asked once for the whole image: with the features object-map and fast-diff that reads one map for each
/// snapshot, and by whole objects is the only way to use them. What comes may be unsorted, may overlap (image
/// and parent), may reach past the end, and may name holes.
pub(super) fn allocated(image: &Handle, size: u64) -> Outcome<Vec<Extent>> {
    extern "C" fn found(offset: u64, length: usize, exists: c_int, arg: *mut c_void) -> c_int {
        if exists != 0 {
            // SAFETY: `arg` is the vector below, which nothing else touches during the call.
            let extents = unsafe { &mut *arg.cast::<Vec<Extent>>() };
            extents.push(Extent { offset, length: length as u64 });
        }
        0
    }
    // librbd 16.2 ends the process with an assertion when there is nothing to compare.
    if size == 0 {
        return Ok(Vec::new());
    }
    let mut extents = Vec::<Extent>::new();
    // SAFETY: the image is open, and `found` is what takes this argument; it is called during the call only.
    check("rbd_diff_iterate2", unsafe {
        let arg = ptr::from_mut(&mut extents).cast();
        sys::rbd_diff_iterate2(image.raw(), ptr::null(), 0, size, 1, 1, found, arg)
    })?;
    Ok(Extent::merged(extents, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_read_from_their_lists() {
        let lists = |tag: &[u8]| {
            [tag, b"client.1\0client.22\0", b"auto 7\0b\0", b"1.2.3.4:0/5\0:/0\0"].map(|list| {
                let mut room = vec![0; 64];
                room[..list.len()].copy_from_slice(list);
                (room, list.len())
            })
        };
        let read = |tag: &[u8]| {
            let lists = lists(tag);
            let lengths = lists.each_ref().map(|(_, length)| *length);
            locks_in(&lists.map(|(room, _)| room), lengths, 2)
        };
        let lock = |owner: &str, cookie: &str, address: &str, kind| Lock {
            owner: owner.into(),
            address: address.into(),
            cookie: cookie.into(),
            kind,
        };
        for (tag, kind) in [(&b"internal\0"[..], LockKind::Exclusive), (b"\0", LockKind::Advisory)] {
            assert_eq!(
                read(tag),
                [lock("client.1", "auto 7", "1.2.3.4:0/5", kind), lock("client.22", "b", ":/0", kind)]
            );
        }
    }

    #[test]
    fn texts_between_nul_characters() {
        assert_eq!(nul_ended(b"").count(), 0);
        assert_eq!(nul_ended(b"a\0\0b\0").collect::<Vec<_>>(), ["a", "", "b"]);
    }
}
