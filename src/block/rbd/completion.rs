//! One asynchronous request to librbd, as a channel that gets its answer.
//!
//! librbd cannot take a request back. So a request owns all that librbd still touches (the buffer, the open
//! image) until librbd calls back, and whoever stops waiting takes nothing away from it.
//!
//! Functions: `rbd_aio_create_completion`, `rbd_aio_get_return_value`, `rbd_aio_release`.

#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::errno::{Failure, check};
use super::handle::Handle;
use super::sys;

struct Request<T> {
    handle: Arc<Handle>,
    buffer: T,
    done: oneshot::Sender<Answer<T>>,
}

/// What librbd reads from or writes into (a vector's room, whatever its length): bytes that stay where they are when
/// the value is moved.
pub(super) trait Buffer: Send + 'static {
    fn address(&mut self) -> *mut c_char;
}

impl Buffer for Vec<u8> {
    fn address(&mut self) -> *mut c_char {
        self.as_mut_ptr().cast()
    }
}

/// Bytes in several places, to be read from only. Its address is that of the list of them.
pub(super) struct Parts {
    list: Vec<libc::iovec>,
    /// What the list points to.
    parts: Vec<Bytes>,
}

// SAFETY: the list points into bytes that go where it goes, and that nobody changes.
unsafe impl Send for Parts {}

impl Parts {
    pub(super) fn count(&self) -> c_int {
        // More than there is memory for.
        c_int::try_from(self.list.len()).unwrap_or(c_int::MAX)
    }

    pub(super) fn length(&self) -> u64 {
        self.parts.iter().map(|part| part.len() as u64).sum()
    }
}

impl From<Vec<Bytes>> for Parts {
    fn from(mut parts: Vec<Bytes>) -> Self {
        if parts.is_empty() {
            // librbd takes no empty list.
            parts.push(Bytes::new());
        }
        let place =
            |part: &Bytes| libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() };
        Self { list: parts.iter().map(place).collect(), parts }
    }
}

impl Buffer for Parts {
    fn address(&mut self) -> *mut c_char {
        self.list.as_mut_ptr().cast()
    }
}

impl Buffer for () {
    fn address(&mut self) -> *mut c_char {
        ptr::null_mut()
    }
}

/// What the function returned, and the buffer back.
pub(super) struct Answer<T> {
    pub returned: isize,
    pub buffer: T,
}

/// Has `call` hand a request to librbd; it gets the open image, the completion and the buffer's address.
pub(super) fn submit<T: Buffer>(
    function: &'static str,
    handle: Arc<Handle>,
    mut buffer: T,
    call: impl FnOnce(sys::rbd_image_t, sys::rbd_completion_t, *mut c_char) -> c_int,
) -> Result<oneshot::Receiver<Answer<T>>, Failure> {
    let (done, answer) = oneshot::channel();
    let image = handle.raw();
    let address = buffer.address();
    let request = Box::into_raw(Box::new(Request { handle, buffer, done }));
    let mut completion = ptr::null_mut();
    // SAFETY: `finished::<T>` is what takes a `Request<T>`; the completion lands in a live variable.
    let created = unsafe { sys::rbd_aio_create_completion(request.cast(), finished::<T>, &mut completion) };
    let submitted = check("rbd_aio_create_completion", created).and_then(|_| {
        check(function, call(image, completion, address)).inspect_err(|_| {
            // SAFETY: librbd refused the request, so the completion is still ours and nobody calls back.
            unsafe { sys::rbd_aio_release(completion) }
        })
    });
    match submitted {
        Ok(_) => Ok(answer),
        Err(failure) => {
            // SAFETY: without a submitted request nobody calls back, so the box is still ours alone.
            drop(unsafe { Box::from_raw(request) });
            Err(failure)
        }
    }
}

/// Runs on a thread of librbd's: takes the answer along, and nothing else.
extern "C" fn finished<T>(completion: sys::rbd_completion_t, arg: *mut c_void) {
    // SAFETY: librbd calls this once per submitted request, with its completion and the box made for it.
    let (returned, request) = unsafe {
        let returned = sys::rbd_aio_get_return_value(completion);
        sys::rbd_aio_release(completion);
        (returned, Box::from_raw(arg.cast::<Request<T>>()))
    };
    let Request { handle, buffer, done } = *request;
    // Before the answer, so that who gets the answer may close the image at once. If this was the last holder
    // the image is closed on another thread: here `rbd_close` would wait for itself.
    drop(handle);
    // Nobody waits any more: the buffer goes, and that is all.
    let _ = done.send(Answer { returned, buffer });
}
