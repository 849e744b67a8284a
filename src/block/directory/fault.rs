//! What goes wrong below the level where the operation and the image have names.

use std::fmt::Display;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::block::{BlockError, ErrorKind};

#[derive(Debug)]
pub struct Fault {
    pub kind: ErrorKind,
    detail: String,
}

pub type Outcome<T> = Result<T, Fault>;

impl Fault {
    pub fn new(kind: ErrorKind, detail: impl Display) -> Self {
        Self { kind, detail: detail.to_string() }
    }

    pub fn of(self, operation: &'static str, image: &str) -> BlockError {
        BlockError::new(self.kind, operation, image, self.detail)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
            _ => ErrorKind::Io,
        };
        Self::new(kind, error)
    }
}

/// `NotFound` as `None`.
pub fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

// A panic while a lock is held leaves nothing half-done in memory: what a lock guards here is replaced as a
// whole, after the files. So the next holder may go on.

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
