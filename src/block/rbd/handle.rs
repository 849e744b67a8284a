//! An open image.
//!
//! Functions: `rbd_open`, `rbd_open_read_only`, `rbd_open_by_id`, `rbd_open_by_id_read_only`, `rbd_close`, `rbd_get_size`,
//! `rbd_stat`, `rbd_get_id`.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_int};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::{Arc, mpsc};

use nix::errno::Errno;

use super::cluster::Pool;
use super::errno::{Failure, check};
use super::{names, sys};
use crate::block::ErrorKind;

/// Closes when it is dropped, on a thread of its own.
pub(super) struct Handle {
    raw: sys::rbd_image_t,
    name: String,
    pool: Arc<Pool>,
    /// Last, so that whoever waits for it hears that the pool was let go of.
    _gone: Option<mpsc::Sender<()>>,
}

// SAFETY: librbd locks inside an image; its functions may be called from any thread, at the same time.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

/// Which of librbd's four ways to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By<'a> {
    Name(&'a CStr),
    Id(&'a CStr),
}

impl Handle {
    /// `name` is for the logs. A writable handle watches the image: it learns of changes made elsewhere, and
    /// stands in the way of a removal. A read-only one does neither. `By::Name(name)` finds what the pool's directory
    /// knows by that name.
    pub fn open(
        pool: &Arc<Pool>,
        name: &str,
        by: By<'_>,
        writable: bool,
        snapshot: Option<&CStr>,
    ) -> Result<Self, Failure> {
        let mut raw = ptr::null_mut();
        let snapshot = snapshot.map_or(ptr::null(), CStr::as_ptr);
        let io = pool.io();
        // SAFETY: the pool's handle is alive, the texts end in NUL, and `raw` outlives the call.
        let opened = unsafe {
            match (by, writable) {
                (By::Name(key), true) => {
                    check("rbd_open", sys::rbd_open(io, key.as_ptr(), &mut raw, snapshot))
                }
                (By::Name(key), false) => {
                    check("rbd_open_read_only", sys::rbd_open_read_only(io, key.as_ptr(), &mut raw, snapshot))
                }
                (By::Id(key), true) => {
                    check("rbd_open_by_id", sys::rbd_open_by_id(io, key.as_ptr(), &mut raw, snapshot))
                }
                (By::Id(key), false) => check(
                    "rbd_open_by_id_read_only",
                    sys::rbd_open_by_id_read_only(io, key.as_ptr(), &mut raw, snapshot),
                ),
            }
        };
        let handle = opened.map(|_| Self { raw, name: name.into(), pool: pool.clone(), _gone: None })?;
        match by {
            By::Name(key) => handle.if_named(key),
            By::Id(_) => Ok(handle),
        }
    }

    /// Not what a broken off rename has it lead to.
    fn if_named(self, name: &CStr) -> Result<Self, Failure> {
        let id = match self.id() {
            // One of the old format has none.
            Err(failure) if failure.errno == Errno::EINVAL => return Ok(self),
            id => id?,
        };
        if names::is_name_of(&self.pool, &name.to_string_lossy(), &id)? {
            return Ok(self);
        }
        self.close()?;
        Err(Failure { function: "dir_get_id", errno: Errno::ENOENT, kind: ErrorKind::NotFound })
    }

    pub fn raw(&self) -> sys::rbd_image_t {
        self.raw
    }

    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The size now, or of the snapshot it was opened at. May read the header anew.
    pub fn size(&self) -> Result<u64, Failure> {
        let mut size = 0;
        // SAFETY: the image is open and the variable outlives the call.
        check("rbd_get_size", unsafe { sys::rbd_get_size(self.raw, &mut size) }).map(|_| size)
    }

    pub fn object_size(&self) -> Result<u64, Failure> {
        let mut info = MaybeUninit::<sys::rbd_image_info_t>::zeroed();
        // SAFETY: the image is open; the structure is as long as said, and numbers that are whole at any value.
        unsafe {
            check(
                "rbd_stat",
                sys::rbd_stat(self.raw, info.as_mut_ptr(), size_of::<sys::rbd_image_info_t>()),
            )?;
            Ok(info.assume_init().obj_size)
        }
    }

    /// What the cluster knows it by, whatever its name.
    pub fn id(&self) -> Result<String, Failure> {
        let mut id = [0u8; 256];
        // SAFETY: the image is open and the buffer is as long as said.
        check("rbd_get_id", unsafe { sys::rbd_get_id(self.raw, id.as_mut_ptr().cast(), id.len()) })?;
        let id = id.split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(String::from_utf8_lossy(id).into_owned())
    }

    /// Closes on this thread, which must not be one of librbd's.
    pub fn close(mut self) -> Result<(), Failure> {
        close(&self.pool, std::mem::replace(&mut self.raw, ptr::null_mut()))
    }
}

/// librbd 16.2 wakes who waits for an open in a callback of librados, which takes the image's lock once more afterwards
/// (`ImageState::complete_action_unlock`). A close that overtakes it would free that lock, and the process would abort.
fn close(pool: &Pool, raw: sys::rbd_image_t) -> Result<(), Failure> {
    let passed = pool.pass();
    // SAFETY: only `Handle::close` and its drop come here, each with a handle that nobody else holds.
    let answer: c_int = unsafe { sys::rbd_close(raw) };
    check("rbd_close", answer).and(passed)
}

struct Closing(sys::rbd_image_t);
// SAFETY: an image may be closed from any thread (see `Handle`).
unsafe impl Send for Closing {}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.raw.is_null() {
            return;
        }
        // The last holder may well be a callback of librbd's, where `rbd_close` would wait for itself.
        let closing = Closing(self.raw);
        let name = self.name.clone();
        let pool = self.pool.clone();
        let turn = pool.closing().enter(&name);
        let (gone, going) = mpsc::channel();
        self._gone = Some(gone);
        let spawned = std::thread::Builder::new().name("rbd-close".into()).spawn(move || {
            // Moved in as a whole, not field by field.
            let closing = closing;
            if let Err(failure) = close(&pool, closing.0) {
                tracing::warn!(image = name, error = %failure.of("close", &name), "an image did not close well");
            }
            drop(turn);
            // Who lets go of a pool last shuts its connection down, where a callback would wait for itself as well.
            let _ = going.recv();
            drop(pool);
        });
        if let Err(error) = spawned {
            tracing::warn!(image = self.name, %error, "no thread to close an image with: it stays open");
            // And its connection with it.
            std::mem::forget(self.pool.clone());
        }
    }
}
