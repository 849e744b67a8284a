//! An open image as a [`BlockImage`].
//!
//! Functions: `rbd_aio_read`, `rbd_aio_writev`, `rbd_aio_write_zeroes`, `rbd_aio_discard`, `rbd_aio_flush`,
//! `rbd_resize2`, `rbd_flatten_with_progress`, `rbd_snap_create`, `rbd_snap_remove`, `rbd_snap_rename`,
//! `rbd_snap_protect`, `rbd_snap_unprotect`, `rbd_snap_rollback_with_progress`, `rbd_metadata_set`,
//! `rbd_metadata_remove`, `rbd_lock_break`, `rbd_break_lock`; for lists see [`super::list`].

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use nix::errno::Errno;

use super::completion::{Answer, Buffer, Parts, submit};
use super::errno::{Failure, c_own, c_text, check};
use super::handle::{By, Handle};
use super::list::{self, Namespace};
use super::store::{RbdStore, report, watched};
use super::{flags, mirror, sys};
use crate::block::{
    BlockError, BlockImage, Child, Class, ErrorKind, Extent, Lock, LockKind, Parent, Progress, Result,
    SnapshotInfo, check_name,
};

/// Longer stretches are zeroed or discarded piece by piece: librbd makes a request for each object, at once.
const PIECE: u64 = 1 << 30;

pub(super) struct RbdImage {
    store: RbdStore,
    patience: Duration,
    name: String,
    object_size: u64,
    writable: bool,
    /// `None` once closed.
    handle: Mutex<Option<Arc<Handle>>>,
}

impl RbdImage {
    pub fn new(
        store: RbdStore,
        patience: Duration,
        name: &str,
        handle: Handle,
        object_size: u64,
        writable: bool,
    ) -> Self {
        let handle = Mutex::new(Some(Arc::new(handle)));
        Self { store, patience, name: name.into(), object_size, writable, handle }
    }

    /// Asked before librbd: some of its writes to an image that was opened for reading never answer.
    fn check_writable(&self, operation: &'static str) -> Result<()> {
        if self.writable {
            return Ok(());
        }
        Err(BlockError::new(ErrorKind::ReadOnly, operation, &self.name, "opened for reading only"))
    }

    fn handle(&self, operation: &'static str) -> Result<Arc<Handle>> {
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        handle
            .clone()
            .ok_or_else(|| BlockError::new(ErrorKind::Invalid, operation, &self.name, "the image is closed"))
    }

    /// A short call that blocks.
    async fn short<T: Send + 'static>(
        &self,
        class: Class,
        operation: &'static str,
        call: impl FnOnce(&Handle) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let handle = self.handle(operation)?;
        let call = move || handle.pool().note(call(&handle));
        self.store.short(class, operation, &self.name, call).await
    }

    /// A long call that blocks.
    async fn long<T: Send + 'static>(
        &self,
        class: Class,
        operation: &'static str,
        call: impl FnOnce(&Handle) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let handle = self.handle(operation)?;
        let call = move || handle.pool().note(call(&handle));
        self.store.long(class, operation, &self.name, call).await
    }

    /// Likewise, one that can be cancelled: also while it waits for its thread.
    async fn watched<T: Send + 'static>(
        &self,
        class: Class,
        operation: &'static str,
        progress: &Progress,
        call: impl FnOnce(&Handle, &Progress) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let handle = self.handle(operation)?;
        let call = move |progress: &Progress| handle.pool().note(call(&handle, progress));
        self.store.watched(class, operation, &self.name, progress, call).await
    }

    /// A call with the name of a snapshot.
    async fn on_snapshot(
        &self,
        operation: &'static str,
        snapshot: &str,
        call: impl FnOnce(&Handle, &CStr) -> Result<(), Failure> + Send + 'static,
    ) -> Result<()> {
        check_name(operation, snapshot)?;
        let snapshot = c_text(operation, &self.name, snapshot)?;
        self.short(Class::Control, operation, move |handle| call(handle, &snapshot)).await
    }

    /// Submits a request and waits for its answer; see [`submit`]. `range` must lie inside the image.
    async fn request<T: Buffer>(
        &self,
        operation: &'static str,
        function: &'static str,
        range: Option<(u64, u64)>,
        buffer: impl FnOnce() -> T + Send + 'static,
        call: impl FnOnce(sys::rbd_image_t, sys::rbd_completion_t, *mut c_char) -> c_int + Send + 'static,
    ) -> Result<(u64, T)> {
        let handle = self.handle(operation)?;
        let submitting = move || {
            let pool = handle.pool().clone();
            let submitted = match check_range(&handle, function, range) {
                Ok(()) => submit(function, handle, buffer(), call),
                Err(failure) => Err(failure),
            };
            match submitted {
                Ok(answer) => Ok((pool, answer)),
                Err(failure) => pool.note(Err(failure)),
            }
        };
        let (pool, answer) = self.store.short(Class::Data, operation, &self.name, submitting).await?;
        let Ok(answer) = tokio::time::timeout(self.patience, answer).await else {
            let detail = format!("{function}: no answer within {} s", self.patience.as_secs());
            return Err(BlockError::new(ErrorKind::TimedOut, operation, &self.name, detail));
        };
        let Ok(Answer { returned, buffer }) = answer else {
            return Err(BlockError::new(ErrorKind::Io, operation, &self.name, "librbd lost the request"));
        };
        let returned =
            pool.note(check(function, returned as i64)).map_err(|f| f.of(operation, &self.name))?;
        Ok((returned, buffer))
    }
}

/// librbd would cut a stretch that reaches past the end, without a word.
fn check_range(handle: &Handle, function: &'static str, range: Option<(u64, u64)>) -> Result<(), Failure> {
    let Some((offset, length)) = range else { return Ok(()) };
    let size = handle.size()?;
    if offset.checked_add(length).is_none_or(|end| end > size) {
        return Err(Failure { function, errno: Errno::ERANGE, kind: ErrorKind::Invalid });
    }
    Ok(())
}

/// librbd also ends well where the pool had no room for the snapshot's object map. Nobody can open such a snapshot, nor
/// clone from it, ever: it goes at once.
fn keep_if_whole(handle: &Handle, snapshot: &CStr) -> Result<(), Failure> {
    let name = c_own(handle.name())?;
    let failure = match Handle::open(handle.pool(), handle.name(), By::Name(&name), false, Some(snapshot)) {
        Ok(opened) => return opened.close(),
        Err(failure) if failure.errno == Errno::ENOENT => failure,
        // It is not known: it stays as one that nobody has looked at.
        Err(failure) => return Err(failure),
    };
    // SAFETY: the image is open and the text ends in NUL.
    let removed = unsafe { sys::rbd_snap_remove(handle.raw(), snapshot.as_ptr()) };
    check("rbd_snap_remove", removed)?;
    let is_full = flags::is_full(handle.pool())?;
    Err(failure.meaning(if is_full { ErrorKind::NoSpace } else { ErrorKind::Busy }))
}

#[async_trait]
impl BlockImage for RbdImage {
    fn name(&self) -> &str {
        &self.name
    }

    async fn size(&self) -> Result<u64> {
        self.short(Class::Control, "measure", Handle::size).await
    }

    fn object_size(&self) -> u64 {
        self.object_size
    }

    async fn read(&self, offset: u64, length: u64) -> Result<Bytes> {
        const FUNCTION: &str = "rbd_aio_read";
        let wanted = usize::try_from(length)
            .map_err(|e| BlockError::new(ErrorKind::Invalid, "read", &self.name, e))?;
        let (returned, mut buffer) = self
            .request("read", FUNCTION, Some((offset, length)), move || Vec::with_capacity(wanted), {
                move |image, completion, at| {
                    // SAFETY: the image is open; the bytes live until the completion is called.
                    unsafe { sys::rbd_aio_read(image, offset, wanted, at, completion) }
                }
            })
            .await?;
        if returned != length {
            // The image shrank meanwhile.
            let detail = format!("{FUNCTION}: {returned} bytes instead of {length}");
            return Err(BlockError::new(ErrorKind::Invalid, "read", &self.name, detail));
        }
        // SAFETY: there is room for so many bytes, and librbd has written them all, zeros included.
        unsafe { buffer.set_len(wanted) }
        Ok(buffer.into())
    }

    async fn write(&self, offset: u64, data: Bytes) -> Result<()> {
        self.write_vectored(offset, vec![data]).await
    }

    async fn write_vectored(&self, offset: u64, parts: Vec<Bytes>) -> Result<()> {
        self.check_writable("write")?;
        let parts = Parts::from(parts);
        let (count, range) = (parts.count(), Some((offset, parts.length())));
        self.request("write", "rbd_aio_writev", range, move || parts, {
            move |image, completion, at| {
                // SAFETY: the image is open; the parts and their bytes live, unchanged, until the completion is called.
                unsafe { sys::rbd_aio_writev(image, at.cast(), count, offset, completion) }
            }
        })
        .await
        .map(|_| ())
    }

    async fn write_zeroes(&self, offset: u64, length: u64) -> Result<()> {
        self.check_writable("write zeros")?;
        let range = Some((offset, length));
        for (offset, length) in pieces(offset, length) {
            self.request("write zeros", "rbd_aio_write_zeroes", range, || (), {
                move |image, completion, _| {
                    // SAFETY: the image is open. A piece's length fits.
                    unsafe { sys::rbd_aio_write_zeroes(image, offset, length as usize, completion, 0, 0) }
                }
            })
            .await?;
        }
        Ok(())
    }

    async fn discard(&self, offset: u64, length: u64) -> Result<()> {
        self.check_writable("discard")?;
        let range = Some((offset, length));
        for (offset, length) in pieces(offset, length) {
            self.request("discard", "rbd_aio_discard", range, || (), {
                move |image, completion, _| {
                    // SAFETY: the image is open.
                    unsafe { sys::rbd_aio_discard(image, offset, length, completion) }
                }
            })
            .await?;
        }
        Ok(())
    }

    async fn flush(&self) -> Result<()> {
        self.request("flush", "rbd_aio_flush", None, || (), {
            move |image, completion, _| {
                // SAFETY: the image is open.
                unsafe { sys::rbd_aio_flush(image, completion) }
            }
        })
        .await
        .map(|_| ())
    }

    async fn allocated(&self) -> Result<Vec<Extent>> {
        // Not short: without an object map every object is asked.
        self.long(Class::Look, "list extents", |handle| list::allocated(handle, handle.size()?)).await
    }

    async fn grow(&self, size: u64) -> Result<()> {
        self.check_writable("grow")?;
        self.long(Class::Control, "grow", move |handle| {
            if handle.size()? >= size {
                return Ok(());
            }
            let progress = Progress::new();
            let grown = watched("rbd_resize2", &progress, |arg| {
                // SAFETY: the image is open and `report` takes this argument.
                unsafe { sys::rbd_resize2(handle.raw(), size, false, report, arg) }
            });
            match grown {
                // Its answer where it would have to shrink: somebody else was faster, and wanted more.
                Err(failure) if failure.errno == Errno::EINVAL && handle.size()? >= size => Ok(()),
                other => other,
            }
        })
        .await
    }

    async fn resize(&self, size: u64, progress: &Progress) -> Result<()> {
        self.check_writable("resize")?;
        let class = if size < self.size().await? { Class::Remove } else { Class::Control };
        self.watched(class, "resize", progress, move |handle, progress| {
            watched("rbd_resize2", progress, |arg| {
                // SAFETY: the image is open and `report` takes this argument.
                unsafe { sys::rbd_resize2(handle.raw(), size, true, report, arg) }
            })
        })
        .await
    }

    async fn snapshots(&self) -> Result<Vec<SnapshotInfo>> {
        self.short(Class::Control, "list snapshots", |handle| {
            let mut infos = Vec::new();
            for snapshot in list::snapshots(handle)? {
                if snapshot.namespace != Namespace::User {
                    continue;
                }
                let name = c_own(&snapshot.name)?;
                let protected = match list::is_protected(handle, &name) {
                    Ok(protected) => protected,
                    // Gone since the list was made.
                    Err(failure) if failure.errno == Errno::ENOENT => continue,
                    Err(failure) => return Err(failure),
                };
                infos.push(SnapshotInfo { name: snapshot.name, size: snapshot.size, protected });
            }
            Ok(infos)
        })
        .await
    }

    async fn create_snapshot(&self, snapshot: &str) -> Result<()> {
        self.check_writable("take snapshot")?;
        self.on_snapshot("take snapshot", snapshot, |handle, snapshot| {
            // SAFETY: the image is open and the text ends in NUL.
            let taken = unsafe { sys::rbd_snap_create(handle.raw(), snapshot.as_ptr()) };
            check("rbd_snap_create", taken)?;
            keep_if_whole(handle, snapshot)
        })
        .await
    }

    async fn protect_snapshot(&self, snapshot: &str) -> Result<()> {
        self.check_writable("protect snapshot")?;
        self.on_snapshot("protect snapshot", snapshot, |handle, snapshot| {
            // SAFETY: the image is open and the text ends in NUL.
            let protected = unsafe { sys::rbd_snap_protect(handle.raw(), snapshot.as_ptr()) };
            match check("rbd_snap_protect", protected) {
                // Its answer for one that is protected already.
                Err(failure) if failure.errno == Errno::EBUSY && list::is_protected(handle, snapshot)? => {
                    Ok(())
                }
                other => other.map(|_| ()),
            }
        })
        .await
    }

    async fn unprotect_snapshot(&self, snapshot: &str) -> Result<()> {
        self.check_writable("unprotect snapshot")?;
        self.on_snapshot("unprotect snapshot", snapshot, |handle, snapshot| {
            // SAFETY: the image is open and the text ends in NUL.
            let unprotected = unsafe { sys::rbd_snap_unprotect(handle.raw(), snapshot.as_ptr()) };
            match check("rbd_snap_unprotect", unprotected) {
                // Its answer for one that is not protected.
                Err(failure) if failure.errno == Errno::EINVAL && !list::is_protected(handle, snapshot)? => {
                    Ok(())
                }
                Err(failure) if failure.errno == Errno::EBUSY => Err(failure.meaning(ErrorKind::HasChildren)),
                other => other.map(|_| ()),
            }
        })
        .await
    }

    async fn remove_snapshot(&self, snapshot: &str) -> Result<()> {
        self.check_writable("remove snapshot")?;
        self.on_snapshot("remove snapshot", snapshot, |handle, snapshot| {
            // SAFETY: the image is open and the text ends in NUL.
            let removed = unsafe { sys::rbd_snap_remove(handle.raw(), snapshot.as_ptr()) };
            check("rbd_snap_remove", removed).map(|_| ())
        })
        .await
    }

    async fn rename_snapshot(&self, from: &str, to: &str) -> Result<()> {
        self.check_writable("rename snapshot")?;
        const OPERATION: &str = "rename snapshot";
        check_name(OPERATION, to)?;
        let to = c_text(OPERATION, &self.name, to)?;
        self.on_snapshot(OPERATION, from, move |handle, from| {
            // SAFETY: the image is open and the texts end in NUL.
            let renamed = unsafe { sys::rbd_snap_rename(handle.raw(), from.as_ptr(), to.as_ptr()) };
            check("rbd_snap_rename", renamed).map(|_| ())
        })
        .await
    }

    async fn roll_back(&self, snapshot: &str, progress: &Progress) -> Result<()> {
        self.check_writable("roll back")?;
        const OPERATION: &str = "roll back";
        check_name(OPERATION, snapshot)?;
        let snapshot = c_text(OPERATION, &self.name, snapshot)?;
        self.watched(Class::Heavy, OPERATION, progress, move |handle, progress| {
            watched("rbd_snap_rollback_with_progress", progress, |arg| {
                // SAFETY: the image is open, the text ends in NUL, and `report` takes this argument.
                unsafe { sys::rbd_snap_rollback_with_progress(handle.raw(), snapshot.as_ptr(), report, arg) }
            })
        })
        .await
    }

    async fn children(&self) -> Result<Vec<Child>> {
        self.short(Class::Control, "list children", |handle| {
            // On a handle of its own, which it leaves at some snapshot.
            let id = c_own(&handle.id()?)?;
            let looking = Handle::open(handle.pool(), handle.name(), By::Id(&id), false, None)?;
            let children = list::children(&looking).map_err(|failure| match failure.errno {
                // One of the children is being made or removed: librbd cannot name it.
                Errno::ENOENT => failure.meaning(ErrorKind::Busy),
                _ if list::is_hidden(failure) => failure.meaning(ErrorKind::HasChildren),
                _ => failure,
            });
            looking.close()?;
            children
        })
        .await
    }

    async fn parent(&self) -> Result<Option<Parent>> {
        self.short(Class::Control, "find parent", list::parent).await
    }

    async fn flatten(&self, progress: &Progress) -> Result<()> {
        self.check_writable("flatten")?;
        self.watched(Class::Heavy, "flatten", progress, move |handle, progress| {
            // librbd takes the question itself for a mistake.
            if list::parent(handle)?.is_none() {
                return Ok(());
            }
            watched("rbd_flatten_with_progress", progress, |arg| {
                // SAFETY: the image is open and `report` takes this argument.
                unsafe { sys::rbd_flatten_with_progress(handle.raw(), report, arg) }
            })
        })
        .await
    }

    async fn writers(&self) -> Result<Vec<String>> {
        let is_writer = self.writable;
        let writers = move |handle: &Handle| {
            let mut writers = list::watchers(handle)?;
            // A handle that writes watches the image itself.
            if is_writer {
                let own = list::client(handle.pool().cluster().instance());
                if let Some(at) = writers.iter().position(|writer| *writer == own) {
                    writers.swap_remove(at);
                }
            }
            Ok(writers)
        };
        self.short(Class::Control, "list watchers", writers).await
    }

    async fn locks(&self) -> Result<Vec<Lock>> {
        self.short(Class::Control, "list locks", list::locks).await
    }

    async fn break_lock(&self, lock: &Lock) -> Result<bool> {
        self.check_writable("break lock")?;
        let lock = lock.clone();
        self.short(Class::Control, "break lock", move |handle| break_lock(handle, &lock)).await
    }

    async fn metadata(&self) -> Result<BTreeMap<String, String>> {
        self.short(Class::Control, "read metadata", list::metadata).await
    }

    async fn set_metadata(&self, key: &str, value: &str) -> Result<()> {
        self.check_writable("set metadata")?;
        const OPERATION: &str = "set metadata";
        let (key, value) = (c_text(OPERATION, &self.name, key)?, c_text(OPERATION, &self.name, value)?);
        self.short(Class::Control, OPERATION, move |handle| set_metadata(handle, &key, &value)).await
    }

    async fn remove_metadata(&self, key: &str) -> Result<()> {
        self.check_writable("remove metadata")?;
        const OPERATION: &str = "remove metadata";
        let key = c_text(OPERATION, &self.name, key)?;
        self.short(Class::Control, OPERATION, move |handle| remove_metadata(handle, &key)).await
    }

    async fn is_mirrored(&self) -> Result<bool> {
        self.short(Class::Control, "ask whether it is mirrored", mirror::is_on).await
    }

    async fn mirror(&self) -> Result<()> {
        self.check_writable("mirror")?;
        self.short(Class::Control, "mirror", mirror::start).await
    }

    async fn stop_mirroring(&self) -> Result<()> {
        self.check_writable("stop mirroring")?;
        self.short(Class::Control, "stop mirroring", mirror::stop).await
    }

    async fn close(&self) -> Result<()> {
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner).take();
        // While requests still run, the last of them closes the image; and a second close has nothing to do.
        let Some(handle) = handle.and_then(Arc::into_inner) else {
            return Ok(());
        };
        self.store.short(Class::Control, "close", &self.name, move || handle.close()).await
    }
}

fn break_lock(handle: &Handle, lock: &Lock) -> Result<bool, Failure> {
    // Who is shut out must never be this process, whatever it has open.
    let own = list::client(handle.pool().cluster().instance());
    if lock.owner == own || list::watchers(handle)?.contains(&lock.owner) {
        return Err(Failure { function: "rbd_watchers_list", errno: Errno::EBUSY, kind: ErrorKind::Busy });
    }
    let broken = match lock.kind {
        LockKind::Exclusive => {
            let address = c_own(&lock.address)?;
            // SAFETY: the image is open and the text ends in NUL.
            let broken =
                unsafe { sys::rbd_lock_break(handle.raw(), sys::LOCK_MODE_EXCLUSIVE, address.as_ptr()) };
            check("rbd_lock_break", broken)
        }
        LockKind::Advisory => {
            let (owner, cookie) = (c_own(&lock.owner)?, c_own(&lock.cookie)?);
            // SAFETY: the image is open and the texts end in NUL.
            let broken = unsafe { sys::rbd_break_lock(handle.raw(), owner.as_ptr(), cookie.as_ptr()) };
            check("rbd_break_lock", broken)
        }
    };
    match broken {
        Ok(_) => Ok(true),
        Err(failure) if failure.errno == Errno::ENOENT => Ok(false),
        // Another one has it by now.
        Err(failure) if failure.errno == Errno::EBUSY => Ok(false),
        // Its owner is back.
        Err(failure) if failure.errno == Errno::EAGAIN => Err(failure.meaning(ErrorKind::Busy)),
        Err(failure) => Err(failure),
    }
}

pub(super) fn set_metadata(handle: &Handle, key: &CStr, value: &CStr) -> Result<(), Failure> {
    // SAFETY: the image is open and the texts end in NUL.
    let set = unsafe { sys::rbd_metadata_set(handle.raw(), key.as_ptr(), value.as_ptr()) };
    check("rbd_metadata_set", set).map(|_| ())
}

/// Removing an absent key succeeds.
pub(super) fn remove_metadata(handle: &Handle, key: &CStr) -> Result<(), Failure> {
    // SAFETY: the image is open and the text ends in NUL.
    let removed = unsafe { sys::rbd_metadata_remove(handle.raw(), key.as_ptr()) };
    match check("rbd_metadata_remove", removed) {
        Err(failure) if failure.errno == Errno::ENOENT => Ok(()),
        other => other.map(|_| ()),
    }
}

/// A stretch cut at the multiples of [`PIECE`], which are multiples of every object size. An empty stretch is
/// one empty piece, so that its place is checked.
fn pieces(offset: u64, length: u64) -> Vec<(u64, u64)> {
    let mut pieces = Vec::new();
    let (mut at, mut left) = (offset, length);
    loop {
        let now = left.min(PIECE - at % PIECE);
        pieces.push((at, now));
        left -= now;
        at = at.saturating_add(now);
        if left == 0 {
            return pieces;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_stretch_is_cut_at_whole_pieces() {
        assert_eq!(pieces(7, 0), [(7, 0)]);
        assert_eq!(pieces(5, 10), [(5, 10)]);
        assert_eq!(pieces(PIECE - 1, PIECE + 2), [(PIECE - 1, 1), (PIECE, PIECE), (2 * PIECE, 1)]);
    }
}
