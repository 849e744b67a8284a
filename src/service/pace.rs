//! Whoever is answered must take the answer at some pace: a byte now and then is as good as nothing, and holds what the
//! answer is made from. Only the time counts in which the client was waited for, not that in which there was nothing to
//! send. One who takes nothing at all for long is hung up on elsewhere, see [`super::listen`].

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// Bytes a second, on average over `window`. 0: whatever it takes.
    pub min_rate: u64,
    pub window: Duration,
}

/// A connection that is written to.
pub(super) struct Paced<S> {
    stream: S,
    pace: Pace,
    /// Since when the client has taken nothing though there is something.
    waiting: Option<Instant>,
    /// For how long it was waited for, and how much it took, since it was last found quick enough.
    waited: Duration,
    taken: u64,
}

impl<S> Paced<S> {
    pub fn new(stream: S, pace: Pace) -> Self {
        Self { stream, pace, waiting: None, waited: Duration::ZERO, taken: 0 }
    }

    fn measured(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_pending() {
            self.waiting.get_or_insert_with(Instant::now);
        }
        let count = ready!(written)?;
        self.waited += self.waiting.take().map_or(Duration::ZERO, |since| since.elapsed());
        self.taken += count as u64;
        if self.waited >= self.pace.window {
            let least = u128::from(self.pace.min_rate) * self.waited.as_millis() / 1_000;
            if u128::from(self.taken) < least {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client takes its answer too slowly",
                )));
            }
            (self.waited, self.taken) = (Duration::ZERO, 0);
        }
        Poll::Ready(Ok(count))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.measured(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.measured(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::sleep;

    use super::*;

    fn connection(min_rate: u64) -> (Paced<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(1_000);
        (Paced::new(ours, Pace { min_rate, window: Duration::from_millis(50) }), theirs)
    }

    fn takes(mut from: DuplexStream, at_once: usize, every: Duration) {
        tokio::spawn(async move {
            let mut bytes = vec![0; at_once];
            while from.read_exact(&mut bytes).await.is_ok() {
                sleep(every).await;
            }
        });
    }

    #[tokio::test]
    async fn who_trickles_is_hung_up_on() {
        let (mut ours, theirs) = connection(1_000_000);
        takes(theirs, 1, Duration::from_millis(1));
        let sent = ours.write_all(&[0; 100_000]).await;
        assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_is_quick_enough_gets_all_of_it() {
        let (mut ours, theirs) = connection(1);
        takes(theirs, 500, Duration::from_millis(4));
        ours.write_all(&[0; 100_000]).await.unwrap();
    }

    /// An answer that comes in bits, with time in between.
    #[tokio::test]
    async fn who_waits_for_us_is_not_slow() {
        let (mut ours, mut theirs) = connection(1_000_000);
        for _ in 0..5 {
            ours.write_all(b"event").await.unwrap();
            theirs.read_exact(&mut [0; 5]).await.unwrap();
            sleep(Duration::from_millis(30)).await;
        }
    }
}
