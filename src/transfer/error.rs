//! What can go wrong on the way.

use std::error::Error;
use std::time::Duration;

use crate::block::BlockError;
use crate::formats::Danger;

use super::digest::DigestError;

/// Why a transfer did not come to its end. Nothing of it is still under way when this is returned.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error("more bytes arrived than the {expected} that were promised")]
    TooLong { expected: u64 },
    #[error("{actual} bytes arrived where {expected} were promised")]
    TooShort { expected: u64, actual: u64 },
    #[error("more than the {limit} bytes that are allowed")]
    TooLarge { limit: u64 },
    #[error("the target has {actual} bytes where {needed} are needed")]
    TargetTooSmall { needed: u64, actual: u64 },
    #[error("the sender broke off")]
    Source(#[source] Box<dyn Error + Send + Sync>),
    #[error("too little arrived for {} seconds", .0.as_secs_f32())]
    Stalled(Duration),
    #[error("the storage failed")]
    Storage(#[from] BlockError),
    #[error("the disk in it cannot be read")]
    Content(#[from] Danger),
    #[error("no digest")]
    Digest(#[from] DigestError),
    #[error("cancelled")]
    Cancelled,
}

impl TransferError {
    /// A sender may be an image of ours: what that says is of the storage, too.
    pub(super) fn of_source(cause: Box<dyn Error + Send + Sync>) -> Self {
        match cause.downcast::<BlockError>() {
            Ok(error) => TransferError::Storage(*error),
            Err(cause) => TransferError::Source(cause),
        }
    }
}
