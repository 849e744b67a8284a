//! How a store calls librbd: on threads, each class of calls with its own bound; short ones for no longer than the store
//! has patience, long ones until they are cancelled.

use std::sync::Arc;
use std::time::Duration;

use super::cluster::{Link, Pool};
use super::errno::Failure;
use super::late::{Running, Waiting};
use super::store::RbdStore;
use crate::block::{BlockError, Class, ErrorKind, Progress, Result};

/// How often it is looked whether a call that was given up has come to its end.
const LATE_PAUSE: Duration = Duration::from_millis(250);

/// A call on a pool that is known by name only: a thread connects to it first where it must.
struct PoolCall {
    link: Arc<Link>,
    pool: String,
    operation: &'static str,
    image: String,
}

impl PoolCall {
    fn run<T>(self, call: impl FnOnce(&Arc<Pool>) -> Result<T, Failure>) -> Result<T> {
        let pool = self.link.pool(&self.pool)?;
        pool.note(call(&pool)).map_err(|failure| failure.of(self.operation, &self.image))
    }
}

impl RbdStore {
    /// Runs a short call on a thread.
    pub(super) async fn short<T: Send + 'static>(
        &self,
        class: Class,
        operation: &'static str,
        image: &str,
        call: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        self.bounded(image, self.long(class, operation, image, call)).await
    }

    /// Runs a call on a thread, for as long as it takes.
    pub(super) async fn long<T: Send + 'static>(
        &self,
        class: Class,
        operation: &'static str,
        image: &str,
        call: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let subject = image.to_owned();
        self.threads.run(class, operation, image, move || call().map_err(|f| f.of(operation, &subject))).await
    }

    /// Likewise, cancelled through `progress` while it waits and while it runs.
    pub(super) async fn watched<T: Send + 'static>(
        &self,
        class: Class,
        operation: &'static str,
        image: &str,
        progress: &Progress,
        call: impl FnOnce(&Progress) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let subject = image.to_owned();
        let call = move |progress: &Progress| call(progress).map_err(|f| f.of(operation, &subject));
        self.threads.run_watched(class, operation, image, progress, call).await
    }

    pub(super) async fn bounded<T>(&self, image: &str, call: impl Future<Output = Result<T>>) -> Result<T> {
        let patience = self.options.connect_patience() + self.options.patience();
        tokio::time::timeout(patience, call).await.unwrap_or_else(|_| {
            let detail = format!("no answer within {} s", patience.as_secs());
            Err(BlockError::new(ErrorKind::TimedOut, "call", image, detail))
        })
    }

    /// A call on the pool.
    pub(super) async fn in_pool<T: Send + 'static>(
        &self,
        class: Class,
        operation: &'static str,
        image: &str,
        call: impl FnOnce(&Arc<Pool>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let on_pool = self.pool_call(operation, image);
        let run = self.threads.run(class, operation, image, move || on_pool.run(call));
        match class {
            Class::Control => self.bounded(image, run).await,
            _ => run.await,
        }
    }

    /// Likewise, a short one that makes or names an image.
    pub(super) async fn on_image<T: Send + 'static>(
        &self,
        operation: &'static str,
        image: &str,
        call: impl FnOnce(&Arc<Pool>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let (_waiting, running) = self.begin(operation, image).await?;
        let call = move |pool: &Arc<Pool>| {
            let _running = running;
            call(pool)
        };
        self.in_pool(Class::Control, operation, image, call).await
    }

    /// Likewise a removal, cancelled through `progress` while it waits and while it runs.
    pub(super) async fn removal<T: Send + 'static>(
        &self,
        operation: &'static str,
        image: &str,
        progress: &Progress,
        call: impl FnOnce(&Arc<Pool>, &Progress) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let on_pool = self.pool_call(operation, image);
        let call = move |progress: &Progress| on_pool.run(|pool| call(pool, progress));
        self.threads.run_watched(Class::Remove, operation, image, progress, call).await
    }

    /// Waits for calls about it that were given up, no longer than for a call itself.
    pub(super) async fn begin(&self, operation: &'static str, image: &str) -> Result<(Waiting, Running)> {
        let begun = tokio::time::timeout(self.options.patience(), async {
            loop {
                if let Some(begun) = self.late.begin(image) {
                    return begun;
                }
                tokio::time::sleep(LATE_PAUSE).await;
            }
        });
        let why = "a call about it that took too long still goes on";
        begun.await.map_err(|_| BlockError::new(ErrorKind::TimedOut, operation, image, why))
    }

    fn pool_call(&self, operation: &'static str, image: &str) -> PoolCall {
        let (link, pool) = (self.link.clone(), self.options.pool.clone());
        PoolCall { link, pool, operation, image: image.to_owned() }
    }
}
