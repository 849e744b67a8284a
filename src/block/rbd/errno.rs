//! librbd's answers, which are negated error numbers, as [`ErrorKind`]s.

use std::ffi::CString;

use nix::errno::Errno;

use crate::block::{BlockError, ErrorKind, Result};

/// The one table. What a number means for one function only is decided where that function is called.
fn kind(errno: Errno) -> ErrorKind {
    match errno {
        Errno::ENOENT => ErrorKind::NotFound,
        Errno::EEXIST => ErrorKind::Exists,
        // ESTALE: another client removes or changes the very same at this moment.
        Errno::EBUSY | Errno::ESTALE => ErrorKind::Busy,
        Errno::ENOTEMPTY => ErrorKind::HasSnapshots,
        Errno::ENOSPC | Errno::EDQUOT => ErrorKind::NoSpace,
        Errno::EROFS => ErrorKind::ReadOnly,
        Errno::EPERM | Errno::EACCES => ErrorKind::Denied,
        Errno::ETIMEDOUT => ErrorKind::TimedOut,
        // ESHUTDOWN is also what librados calls EBLOCKLISTED: this client was fenced off.
        Errno::ESHUTDOWN | Errno::ENOTCONN => ErrorKind::Disconnected,
        Errno::EINVAL | Errno::ERANGE | Errno::EDOM | Errno::E2BIG | Errno::ENAMETOOLONG => {
            ErrorKind::Invalid
        }
        Errno::ECANCELED => ErrorKind::Cancelled,
        _ => ErrorKind::Io,
    }
}

/// One answer of one function, not yet said of which operation and image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    pub function: &'static str,
    pub errno: Errno,
    pub kind: ErrorKind,
}

impl Failure {
    /// The same failure, where the function gives the number a meaning of its own.
    pub fn meaning(self, kind: ErrorKind) -> Self {
        Self { kind, ..self }
    }

    pub fn of(self, operation: &'static str, image: &str) -> BlockError {
        let detail = format!("{}: {:?}: {}", self.function, self.errno, self.errno.desc());
        BlockError::new(self.kind, operation, image, detail)
    }
}

/// `Ok` is what the function returned when it is not negative.
pub(super) fn check(function: &'static str, answer: impl Into<i64>) -> Result<u64, Failure> {
    let answer = answer.into();
    u64::try_from(answer).map_err(|_| {
        let errno = Errno::from_raw(i32::try_from(-answer).unwrap_or(libc::EIO));
        Failure { function, errno, kind: kind(errno) }
    })
}

/// Text for C. A NUL inside is the caller's mistake.
pub(super) fn c_text(operation: &'static str, image: &str, text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| {
        BlockError::new(ErrorKind::Invalid, operation, image, "a NUL character in a name or value")
    })
}

/// Text that came from librbd, back to it.
pub(super) fn c_own(text: &str) -> Result<CString, Failure> {
    let failure = Failure { function: "a name", errno: Errno::EINVAL, kind: ErrorKind::Invalid };
    CString::new(text).map_err(|_| failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_becomes_a_kind_and_words() {
        assert_eq!(check("rbd_stat", 7).unwrap(), 7);
        for (number, expected) in [
            (libc::ENOENT, ErrorKind::NotFound),
            (libc::EEXIST, ErrorKind::Exists),
            (libc::EBUSY, ErrorKind::Busy),
            (libc::ESTALE, ErrorKind::Busy),
            (libc::ENOTEMPTY, ErrorKind::HasSnapshots),
            (libc::ENOSPC, ErrorKind::NoSpace),
            (libc::EDQUOT, ErrorKind::NoSpace),
            (libc::EROFS, ErrorKind::ReadOnly),
            (libc::EPERM, ErrorKind::Denied),
            (libc::ETIMEDOUT, ErrorKind::TimedOut),
            (108, ErrorKind::Disconnected),
            (libc::ENOTCONN, ErrorKind::Disconnected),
            (libc::EINVAL, ErrorKind::Invalid),
            (libc::ECANCELED, ErrorKind::Cancelled),
            (libc::EIO, ErrorKind::Io),
            (100_000, ErrorKind::Io),
        ] {
            let error = check("rbd_open", -number).unwrap_err().of("open", "a");
            assert_eq!(error.kind, expected, "{error}");
            assert!(error.detail.starts_with("rbd_open: "), "{error}");
        }
        assert!(check("rbd_open", -libc::ENOENT).unwrap_err().of("open", "a").detail.contains("ENOENT"));
    }
}
