//! What can go wrong with an image, whatever keeps it.

use std::fmt;

pub type Result<T, E = BlockError> = std::result::Result<T, E>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    NotFound,
    Exists,
    /// Open elsewhere, protected, locked, or being removed: may pass.
    Busy,
    HasSnapshots,
    HasChildren,
    NoSpace,
    ReadOnly,
    /// The cluster's user may not do it.
    Denied,
    /// The cluster did not answer in time. The call may or may not have been carried out.
    TimedOut,
    /// No connection to the cluster, or this client was fenced off.
    Disconnected,
    Invalid,
    Cancelled,
    /// The operating system or the cluster failed in a way that has no name above.
    Io,
}

/// One failed call: what was being done, to which image, and why it failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{operation} of {image}: {detail}")]
pub struct BlockError {
    pub kind: ErrorKind,
    /// The operation, for instance `clone`.
    pub operation: &'static str,
    pub image: String,
    /// The lower layer's words, for logs.
    pub detail: String,
}

impl BlockError {
    pub fn new(
        kind: ErrorKind,
        operation: &'static str,
        image: impl Into<String>,
        detail: impl fmt::Display,
    ) -> Self {
        Self { kind, operation, image: image.into(), detail: detail.to_string() }
    }

    /// Worth another try later with nothing changed by anyone.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, ErrorKind::TimedOut | ErrorKind::Disconnected | ErrorKind::Busy)
    }
}

/// `NotFound` as `None`: for steps that may run twice.
pub trait Missing<T> {
    fn or_missing(self) -> Result<Option<T>>;
}

impl<T> Missing<T> for Result<T> {
    fn or_missing(self) -> Result<Option<T>> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
