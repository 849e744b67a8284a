//! Methods of the OSDs' class `rbd`, run where an object lies, for what librbd has no function of its own for.
//!
//! Functions: `rados_exec`.

#![allow(unsafe_code)]

use std::ffi::CStr;

use ceph::rados;
use nix::errno::Errno;

use super::cluster::Pool;
use super::errno::{Failure, check};
use crate::block::ErrorKind;

type Outcome<T> = Result<T, Failure>;

const CLASS: &CStr = c"rbd";

/// Asks `object`; the answer has `room` bytes at the most (ERANGE otherwise).
pub(super) fn ask(
    pool: &Pool,
    object: &CStr,
    method: &'static CStr,
    question: &[u8],
    room: usize,
) -> Outcome<Vec<u8>> {
    let mut answer = vec![0; room];
    // SAFETY: the pool is alive, the texts end in NUL, and the buffers are as long as said.
    let length = unsafe {
        rados::rados_exec(
            pool.io(),
            object.as_ptr(),
            CLASS.as_ptr(),
            method.as_ptr(),
            question.as_ptr().cast(),
            question.len(),
            answer.as_mut_ptr().cast(),
            answer.len(),
        )
    };
    let function = name_of(method);
    let length = usize::try_from(check(function, length)?).map_err(|_| unreadable(function))?;
    answer.truncate(length);
    Ok(answer)
}

pub(super) fn name_of(method: &'static CStr) -> &'static str {
    method.to_str().unwrap_or("rados_exec")
}

pub(super) fn unreadable(function: &'static str) -> Failure {
    Failure { function, errno: Errno::EIO, kind: ErrorKind::Io }
}

pub(super) fn missing(function: &'static str) -> Failure {
    Failure { function, errno: Errno::ENOENT, kind: ErrorKind::NotFound }
}

pub(super) fn or_none<T>(outcome: Outcome<T>) -> Outcome<Option<T>> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(failure) if failure.errno == Errno::ENOENT => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// As Ceph writes texts: the length in four bytes, the least first, then the bytes.
pub(super) fn encode(texts: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for text in texts {
        bytes.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// Reads what Ceph has written, from its beginning; `None` where that is too short or no text.
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    pub fn number(&mut self) -> Option<u32> {
        let (taken, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*taken))
    }

    pub fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.number()?).ok()?;
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_they_are_written() {
        let bytes = encode(&["volume-1", "b"]);
        assert_eq!(bytes, b"\x08\0\0\0volume-1\x01\0\0\0b");
        let mut reader = Reader(&bytes);
        assert_eq!(reader.text().unwrap(), "volume-1");
        assert_eq!(reader.text().unwrap(), "b");
        assert_eq!(reader.text(), None);
        for broken in [&bytes[..3], &bytes[..11], b"\xff\xff\xff\xffa", b"\x01\0\0\0\xff"] {
            assert_eq!(Reader(broken).text(), None, "{broken:?}");
        }
    }
}
