//! Work that is done where it is asked for, and goes on by itself when nobody asks any more.
//!
//! A request's future is dropped when its client goes. A task of its own would outlive that as well, but then each piece
//! of a body passes from the connection's thread to another one and back.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// Dropped before its end, it becomes a task.
pub(super) struct GoesOn<F: Future<Output: Send> + Send + 'static>(Option<Pin<Box<F>>>);

impl<F: Future<Output: Send> + Send + 'static> GoesOn<F> {
    pub(super) fn new(work: F) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for GoesOn<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // Taken out, so that what panics is not begun again.
        let Some(mut work) = self.0.take() else { return Poll::Pending };
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.0 = Some(work);
        }
        polled
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for GoesOn<F> {
    fn drop(&mut self) {
        if let (Some(work), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn it_comes_to_its_end_whether_it_is_waited_for_or_not() {
        assert_eq!(GoesOn::new(async { 7 }).await, 7);
        let (go, gone) = oneshot::channel();
        let (done, end) = oneshot::channel();
        let work = GoesOn::new(async move {
            gone.await.unwrap();
            done.send(()).unwrap();
        });
        assert!(tokio::time::timeout(Duration::from_millis(1), work).await.is_err());
        go.send(()).unwrap();
        end.await.unwrap();
    }
}
