//! The bounded pool of threads for blocking storage calls.
//!
//! Each class has its own bound, so that any number of waiting flattens never keeps a clone waiting.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::{BlockError, ErrorKind, Result};
use super::progress::Progress;

/// What a blocking call is like, and so with whom it shares threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Short: create, open, clone, metadata, snapshots, rename.
    Control,
    /// Time by size, but wanted soon: remove, shrink.
    Remove,
    /// Long: flatten, roll back.
    Heavy,
    /// Reads, writes and syncs of the directory store; those of librbd while they are submitted.
    Data,
    /// Long, and changes nothing: what an image holds.
    Look,
}

/// Each of them keeps a cluster busy.
const LOOKS: usize = 4;

#[derive(Clone, Debug)]
pub struct BlockingPool {
    control: Arc<Semaphore>,
    remove: Arc<Semaphore>,
    heavy: Arc<Semaphore>,
    data: Arc<Semaphore>,
    look: Arc<Semaphore>,
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
            look: Arc::new(Semaphore::new(LOOKS)),
        }
    }

    /// Runs `call` on a thread of its class, when one is free. The call runs to its end even when the
    /// waiting side goes away: it keeps its place in the bound until then.
    pub async fn run<T, F>(&self, class: Class, operation: &'static str, image: &str, call: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T> + Send + 'static,
    {
        let place = self.place(class, operation, image).await?;
        run_in(place, operation, image, call).await
    }

    /// Likewise, of a call that watches `progress` itself: before its thread is free, the wait is cancelled.
    pub async fn run_watched<T, F>(
        &self,
        class: Class,
        operation: &'static str,
        image: &str,
        progress: &Progress,
        call: F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Progress) -> Result<T> + Send + 'static,
    {
        let Some(place) = progress.wait_for(self.place(class, operation, image)).await else {
            return Err(BlockError::new(ErrorKind::Cancelled, operation, image, "cancelled"));
        };
        let progress = progress.clone();
        run_in(place?, operation, image, move || call(&progress)).await
    }

    async fn place(
        &self,
        class: Class,
        operation: &'static str,
        image: &str,
    ) -> Result<OwnedSemaphorePermit> {
        let bound = match class {
            Class::Control => &self.control,
            Class::Remove => &self.remove,
            Class::Heavy => &self.heavy,
            Class::Data => &self.data,
            Class::Look => &self.look,
        };
        let place = bound.clone().acquire_owned().await;
        place.map_err(|error| BlockError::new(ErrorKind::Io, operation, image, error))
    }
}

async fn run_in<T, F>(place: OwnedSemaphorePermit, operation: &'static str, image: &str, call: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    let done = tokio::task::spawn_blocking(move || {
        let _place = place;
        call()
    });
    done.await.map_err(|error| BlockError::new(ErrorKind::Io, operation, image, error))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_for_a_thread_hears_that_it_is_cancelled() {
        let pool = BlockingPool::new(1, 1, 1, 1);
        let all = pool.heavy.clone().acquire_owned().await.unwrap();
        let progress = Progress::new();
        let (waiting, of) = (pool.clone(), progress.clone());
        let waiting =
            tokio::spawn(
                async move { waiting.run_watched(Class::Heavy, "flatten", "i", &of, |_| Ok(())).await },
            );
        progress.cancel();
        assert_eq!(waiting.await.unwrap().unwrap_err().kind, ErrorKind::Cancelled);
        drop(all);
        let progress = Progress::new();
        pool.run_watched(Class::Heavy, "flatten", "i", &progress, |_| Ok(())).await.unwrap();
    }

    #[tokio::test]
    async fn who_looks_keeps_nobody_waiting_who_reads() {
        let pool = BlockingPool::new(1, 1, 1, 1);
        let _all = pool.look.clone().acquire_many_owned(LOOKS as u32).await.unwrap();
        pool.run(Class::Data, "read", "i", || Ok(())).await.unwrap();
    }
}
