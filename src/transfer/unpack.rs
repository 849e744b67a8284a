//! Packed bytes, unpacked while they pass.

use std::io::{self, Read};
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use futures::{Stream, StreamExt, stream};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::block;

/// What is handed on at once.
const PIECE: usize = 1 << 20;

/// A disk of zeros shrinks by so much, and nothing by more (gzip's own bound is 1032).
const LARGEST_RATIO: u64 = 1100;

/// Packed bytes, and how many may come out of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpacking {
    limit: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error("The compressed data are damaged.")]
    Damaged(#[source] io::Error),
    #[error("The compressed data become too much.")]
    TooMuch,
}

impl Unpacking {
    /// `None`: bytes that begin like this are not packed in a way that is known (gzip is). There are `size` of them.
    pub fn of(head: &[u8], size: u64) -> Option<Self> {
        let is_gzip = head.starts_with(&[0x1f, 0x8b, 8]);
        is_gzip.then(|| Self { limit: size.saturating_mul(LARGEST_RATIO) })
    }
}

/// The bytes that were packed. Ends after the first error. Works on a thread of its own, which ends with the stream.
pub fn unpack(
    packed: impl Stream<Item = block::Result<Bytes>> + Send + 'static,
    unpacking: Unpacking,
) -> impl Stream<Item = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>> + Send {
    let (feed, incoming) = mpsc::channel(2);
    let (outgoing, mut unpacked) = mpsc::channel(2);
    let pump = tokio::spawn(async move {
        let mut packed = std::pin::pin!(packed);
        while let Some(bytes) = packed.next().await {
            if feed.send(bytes).await.is_err() {
                return;
            }
        }
    });
    let work = move || {
        let mut reader = MultiGzDecoder::new(Incoming { incoming, at_hand: Bytes::new() });
        let mut left = unpacking.limit;
        loop {
            let mut piece = Vec::new();
            let read = reader.by_ref().take(PIECE as u64).read_to_end(&mut piece);
            let piece = match read {
                Ok(0) => return,
                Ok(length) if length as u64 > left => Err(UnpackError::TooMuch.into()),
                Ok(length) => {
                    left -= length as u64;
                    Ok(Bytes::from(piece))
                }
                Err(error) => Err(cause_of(error)),
            };
            let is_last = piece.is_err();
            if outgoing.blocking_send(piece).is_err() || is_last {
                return;
            }
        }
    };
    let thread = thread::Builder::new().name("unpack".to_owned()).spawn(work);
    let pump = Arc::new(AbortOnDropHandle::new(pump));
    let unpacked = stream::poll_fn(move |context| {
        let _pump = &pump;
        unpacked.poll_recv(context)
    });
    let failed = thread.err().map(|error| Err(error.into()));
    stream::iter(failed).chain(unpacked)
}

/// What the source itself said, or what is wrong with its bytes.
fn cause_of(error: io::Error) -> Box<dyn std::error::Error + Send + Sync> {
    match error.downcast::<block::BlockError>() {
        Ok(of_source) => of_source.into(),
        Err(error) => UnpackError::Damaged(error).into(),
    }
}

/// What arrives, for a thread to read.
struct Incoming {
    incoming: mpsc::Receiver<block::Result<Bytes>>,
    at_hand: Bytes,
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at_hand.is_empty() {
            match self.incoming.blocking_recv() {
                None => return Ok(0),
                Some(Ok(bytes)) => self.at_hand = bytes,
                Some(Err(error)) => return Err(io::Error::other(error)),
            }
        }
        let length = buffer.len().min(self.at_hand.len());
        buffer[..length].copy_from_slice(&self.at_hand.split_to(length));
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::block::{BlockError, ErrorKind};

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    async fn unpacked(packed: Vec<u8>, limit: u64) -> Result<Vec<u8>, String> {
        let frames: Vec<_> = packed.chunks(1000).map(|frame| Ok(Bytes::copy_from_slice(frame))).collect();
        let mut stream = std::pin::pin!(unpack(stream::iter(frames), Unpacking { limit }));
        let mut all = Vec::new();
        while let Some(piece) = stream.next().await {
            all.extend_from_slice(&piece.map_err(|error| error.to_string())?);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn bytes_come_out_as_they_went_in() {
        let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i / 7) as u8).collect();
        // Two members, as `cat a.gz b.gz` makes them.
        let both = [packed(&bytes[..1_000_000]), packed(&bytes[1_000_000..])].concat();
        assert_eq!(unpacked(both, u64::MAX).await, Ok(bytes));
        assert_eq!(unpacked(packed(b""), 0).await, Ok(Vec::new()));
    }

    #[tokio::test]
    async fn what_is_damaged_or_too_much_is_refused() {
        let whole = packed(&[7; 100_000]);
        let mut cut = whole.clone();
        cut.truncate(whole.len() - 4);
        let damaged = "The compressed data are damaged.".to_owned();
        assert_eq!(unpacked(cut, u64::MAX).await, Err(damaged.clone()));
        let mut other = whole.clone();
        let middle = other.len() / 2;
        other[middle] ^= 0xff;
        assert_eq!(unpacked(other, u64::MAX).await, Err(damaged));
        assert_eq!(unpacked(whole, 99_999).await, Err("The compressed data become too much.".to_owned()));
    }

    #[tokio::test]
    async fn what_the_source_says_is_said_again() {
        let failure = BlockError::new(ErrorKind::TimedOut, "read", "i", "no answer");
        let mut stream = std::pin::pin!(unpack(stream::iter([Err(failure)]), Unpacking { limit: 1 }));
        let error = stream.next().await.unwrap().unwrap_err();
        assert_eq!(error.downcast::<BlockError>().unwrap().kind, ErrorKind::TimedOut);
        assert!(stream.next().await.is_none());
    }

    #[test]
    fn only_gzip_is_known() {
        assert_eq!(Unpacking::of(&packed(b"x"), 10), Some(Unpacking { limit: 11_000 }));
        assert_eq!(Unpacking::of(b"QFI\xfb", 10), None);
        assert_eq!(Unpacking::of(b"", 0), None);
    }
}
