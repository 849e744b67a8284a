//! Storage calls under way, not more than so many at once.

use std::future::Future;

use tokio::task::{JoinError, JoinSet};

use crate::block::{BlockError, ErrorKind, Result};

/// Calls that each answer how many bytes they wrote. Dropping it gives up on all of them.
pub(super) struct InFlight<E = BlockError> {
    calls: JoinSet<Result<u64, E>>,
    bound: usize,
    image: String,
    written: u64,
}

impl<E: From<BlockError> + Send + 'static> InFlight<E> {
    /// At most `bound` calls (at least one) on `image`.
    pub(super) fn new(image: &str, bound: usize) -> Self {
        Self { calls: JoinSet::new(), bound: bound.max(1), image: image.to_owned(), written: 0 }
    }

    /// Waits until one more call may start. Fails as soon as a call has.
    pub(super) async fn room(&mut self) -> Result<(), E> {
        while self.calls.len() >= self.bound {
            self.next().await?;
        }
        Ok(())
    }

    pub(super) fn start(&mut self, call: impl Future<Output = Result<u64, E>> + Send + 'static) {
        self.calls.spawn(call);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Waits for any one call to end, if there is one. May be given up and called again.
    pub(super) async fn next(&mut self) -> Result<(), E> {
        if let Some(ended) = self.calls.join_next().await {
            self.written += ended.map_err(|error| lost(&self.image, error))??;
        }
        Ok(())
    }

    /// Waits for all calls, failed ones too, so that nothing touches the image afterwards. Answers the bytes
    /// written by all calls there ever were, or the first failure among the remaining ones.
    pub(super) async fn settle(&mut self) -> Result<u64, E> {
        let mut outcome = Ok(());
        while !self.is_empty() {
            outcome = outcome.and(self.next().await);
        }
        outcome.map(|()| self.written)
    }
}

/// A task that ended without an answer: it panicked, or the runtime is going down.
pub(super) fn lost(image: &str, error: JoinError) -> BlockError {
    BlockError::new(ErrorKind::Io, "transfer", image, error)
}
