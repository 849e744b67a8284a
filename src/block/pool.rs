//! The bounded pool of threads for blocking storage calls.
//!
//! Each class has its own bound, so that any number of waiting flattens never keeps a clone waiting.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::error::{BlockError, ErrorKind, Result};

/// What a blocking call is like, and so with whom it shares threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Short: create, open, clone, metadata, snapshots, rename.
    Control,
    /// Time by size, but wanted soon: remove, shrink.
    Remove,
    /// Long: flatten, roll back.
    Heavy,
    /// Reads, writes and syncs of the directory store.
    Data,
}

#[derive(Clone, Debug)]
pub struct BlockingPool {
    control: Arc<Semaphore>,
    remove: Arc<Semaphore>,
    heavy: Arc<Semaphore>,
    data: Arc<Semaphore>,
}

impl Default for BlockingPool {
    fn default() -> Self {
        Self::new(32, 16, 3, 16)
    }
}

impl BlockingPool {
    pub fn new(control: usize, remove: usize, heavy: usize, data: usize) -> Self {
        Self {
            control: Arc::new(Semaphore::new(control)),
            remove: Arc::new(Semaphore::new(remove)),
            heavy: Arc::new(Semaphore::new(heavy)),
            data: Arc::new(Semaphore::new(data)),
        }
    }

    /// Runs `call` on a thread of its class, when one is free. The call runs to its end even when the
    /// waiting side goes away: it keeps its place in the bound until then.
    pub async fn run<T, F>(&self, class: Class, operation: &'static str, image: &str, call: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T> + Send + 'static,
    {
        let bound = match class {
            Class::Control => &self.control,
            Class::Remove => &self.remove,
            Class::Heavy => &self.heavy,
            Class::Data => &self.data,
        };
        let stopped = |why: &dyn std::fmt::Display| BlockError::new(ErrorKind::Io, operation, image, why);
        let place = bound.clone().acquire_owned().await.map_err(|e| stopped(&e))?;
        tokio::task::spawn_blocking(move || {
            let _place = place;
            call()
        })
        .await
        .map_err(|e| stopped(&e))?
    }
}
