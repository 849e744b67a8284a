//! How far a long call has come, and whether it should go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Shared between the caller, who watches and may cancel, and the call, which reports. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    done: AtomicU64,
    total: AtomicU64,
    cancelled: AtomicBool,
}

impl Progress {
    pub fn new() -> Self {
        Self::default()
    }

    /// Reports, in units of the call's own choice (bytes or objects). Answers whether to go on.
    #[must_use]
    pub fn report(&self, done: u64, total: u64) -> bool {
        self.0.total.store(total, Ordering::Relaxed);
        self.0.done.store(done, Ordering::Relaxed);
        !self.is_cancelled()
    }

    /// Adds to what is done. Answers whether to go on.
    #[must_use]
    pub fn advance(&self, by: u64) -> bool {
        self.0.done.fetch_add(by, Ordering::Relaxed);
        !self.is_cancelled()
    }

    /// What was reported last: done, total.
    pub fn get(&self) -> (u64, u64) {
        (self.0.done.load(Ordering::Relaxed), self.0.total.load(Ordering::Relaxed))
    }

    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Relaxed)
    }
}
