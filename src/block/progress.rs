//! How far a long call has come, and whether it should go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often who waits looks whether it may go on.
const LOOK_UP: Duration = Duration::from_millis(250);

/// Shared between the caller, who watches and may cancel, and the call, which reports. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    done: AtomicU64,
    total: AtomicU64,
    cancelled: AtomicBool,
    time: Arc<Time>,
}

#[derive(Debug)]
struct Time {
    begun: Instant,
    /// Microseconds after `begun` until which it may go on at all.
    allowed: AtomicU64,
}

impl Default for Time {
    fn default() -> Self {
        Self { begun: Instant::now(), allowed: AtomicU64::new(u64::MAX) }
    }
}

impl Progress {
    pub fn new() -> Self {
        Self::default()
    }

    /// Of another call for the same sake, which is made also after a cancel: it puts things in order. It may go on as long
    /// as this one may.
    pub fn beside(&self) -> Self {
        Self(Arc::new(Inner { time: self.0.time.clone(), ..Inner::default() }))
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
        self.0.cancelled.load(Ordering::Relaxed) || self.is_forbidden()
    }

    /// Waits for `what` as long as it may go on; `None` when it may not any more.
    pub async fn wait_for<F: Future>(&self, what: F) -> Option<F::Output> {
        let mut what = std::pin::pin!(what);
        while !self.is_cancelled() {
            tokio::select! {
                found = &mut what => return Some(found),
                () = tokio::time::sleep(LOOK_UP) => {}
            }
        }
        None
    }

    /// It may go on until this moment, by the clock of this machine, and longer only when it is told so again. A
    /// process that was stopped for a while finds the moment past before it touches anything.
    pub fn allow_until(&self, moment: Instant) {
        let allowed = moment.saturating_duration_since(self.0.time.begun).as_micros();
        // What was forbidden stays so.
        let later = |old: u64| (old != 0).then_some(u64::try_from(allowed).unwrap_or(u64::MAX).max(1));
        let _ = self.0.time.allowed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
    }

    /// Somebody else may be at it now.
    pub fn forbid(&self) {
        self.0.time.allowed.store(0, Ordering::Relaxed);
    }

    pub fn is_forbidden(&self) -> bool {
        match self.0.time.allowed.load(Ordering::Relaxed) {
            u64::MAX => false,
            allowed => self.0.time.begun.elapsed() >= Duration::from_micros(allowed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_hears_that_it_is_cancelled() {
        let progress = Progress::new();
        assert_eq!(progress.wait_for(std::future::ready(7)).await, Some(7));
        let waiting = progress.clone();
        let waiting = tokio::spawn(async move { waiting.wait_for(std::future::pending::<()>()).await });
        progress.cancel();
        assert_eq!(waiting.await.unwrap(), None);
    }

    #[test]
    fn nothing_goes_on_past_the_moment_it_was_allowed_until() {
        let progress = Progress::new();
        assert!(progress.advance(1));
        progress.allow_until(Instant::now() + Duration::from_secs(3_600));
        assert!(progress.advance(1));
        progress.allow_until(Instant::now());
        assert!(!progress.advance(1) && progress.is_forbidden());
        progress.allow_until(Instant::now() + Duration::from_secs(3_600));
        assert!(progress.advance(1));
        progress.forbid();
        progress.allow_until(Instant::now() + Duration::from_secs(3_600));
        assert!(!progress.advance(1) && progress.is_forbidden());
    }

    #[test]
    fn what_puts_things_in_order_goes_on_after_a_cancel_but_not_longer_than_allowed() {
        let progress = Progress::new();
        let beside = progress.beside();
        progress.cancel();
        assert!(beside.advance(1) && progress.beside().advance(1));
        progress.forbid();
        assert!(!beside.advance(1) && !progress.beside().advance(1));
    }
}
