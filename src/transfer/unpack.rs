//! Packed bytes, unpacked while they pass.

use std::io::{self, Read};
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use futures::{Stream, StreamExt, stream};
use liblzma as xz;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::zip;
use crate::block;

/// What is handed on at once.
const PIECE: usize = 1 << 20;

/// What a window may take, in bytes: as much as `xz -9` and `zstd --long` ask for.
const LARGEST_WINDOW: u64 = 128 << 20;

/// How bytes are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Gzip,
    Xz,
    Zstd,
    Zip,
}

impl Packing {
    const ALL: [Self; 4] = [Self::Gzip, Self::Xz, Self::Zstd, Self::Zip];

    fn magic(self) -> &'static [u8] {
        match self {
            Packing::Gzip => &[0x1f, 0x8b, 8],
            Packing::Xz => &[0xfd, b'7', b'z', b'X', b'Z', 0],
            Packing::Zstd => &[0x28, 0xb5, 0x2f, 0xfd],
            Packing::Zip => zip::MAGIC,
        }
    }

    /// A disk of zeros shrinks by so much, and nothing by more.
    fn largest_ratio(self) -> u64 {
        match self {
            Packing::Gzip | Packing::Zip => 1_100,
            Packing::Xz => 8_000,
            Packing::Zstd => 33_000,
        }
    }

    fn reader(self, packed: Incoming) -> io::Result<Box<dyn Read>> {
        Ok(match self {
            Packing::Gzip => Box::new(MultiGzDecoder::new(packed)),
            Packing::Xz => {
                let decoder =
                    xz::stream::Stream::new_stream_decoder(LARGEST_WINDOW, xz::stream::CONCATENATED)?;
                Box::new(xz::read::XzDecoder::new_stream(packed, decoder))
            }
            Packing::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(packed)?;
                decoder.window_log_max(LARGEST_WINDOW.ilog2())?;
                Box::new(decoder)
            }
            Packing::Zip => Box::new(zip::Member::new(packed)),
        })
    }
}

/// Packed bytes, and how many may come out of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpacking {
    packing: Packing,
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
    /// `None`: bytes that begin like this are not packed in a way that is known. There are `size` of them.
    pub fn of(head: &[u8], size: u64) -> Option<Self> {
        let packing = Packing::ALL.into_iter().find(|packing| head.starts_with(packing.magic()))?;
        Some(Self { packing, limit: size.saturating_mul(packing.largest_ratio()) })
    }

    /// No more bytes than this come out.
    pub fn limit(&self) -> u64 {
        self.limit
    }
}

/// The bytes that were packed. Ends after the first error. Works on a thread of its own, which ends with the stream.
pub fn unpack(
    packed: impl Stream<Item = block::Result<Bytes>> + Send + 'static,
    unpacking: Unpacking,
) -> impl Stream<Item = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>> + Send {
    let (feed, incoming) = mpsc::channel(2);
    let (outgoing, unpacked) = mpsc::channel(2);
    let pump = tokio::spawn(async move {
        let mut packed = std::pin::pin!(packed);
        while let Some(bytes) = packed.next().await {
            if feed.send(bytes).await.is_err() {
                return;
            }
        }
    });
    let work = move || {
        let mut reader = unpacking.packing.reader(Incoming { incoming, at_hand: Bytes::new() });
        let mut left = unpacking.limit;
        loop {
            let mut piece = Vec::new();
            let read = match &mut reader {
                Ok(reader) => reader.by_ref().take(PIECE as u64).read_to_end(&mut piece),
                Err(error) => Err(io::Error::other(error.to_string())),
            };
            let piece = match read {
                // An empty one says that it is the last.
                Ok(0) => Ok(Bytes::new()),
                Ok(length) if length as u64 > left => Err(UnpackError::TooMuch.into()),
                Ok(length) => {
                    left -= length as u64;
                    Ok(Bytes::from(piece))
                }
                Err(error) => Err(cause_of(error)),
            };
            let is_last = piece.as_ref().map_or(true, Bytes::is_empty);
            if outgoing.blocking_send(piece).is_err() || is_last {
                return;
            }
        }
    };
    let thread = thread::Builder::new().name("unpack".to_owned()).spawn(work);
    let pump = Arc::new(AbortOnDropHandle::new(pump));
    let unpacked = stream::unfold(Some(unpacked), move |unpacked| {
        let _pump = &pump;
        async move {
            let mut unpacked = unpacked?;
            match unpacked.recv().await {
                Some(Ok(piece)) if piece.is_empty() => None,
                Some(Ok(piece)) => Some((Ok(piece), Some(unpacked))),
                Some(Err(error)) => Some((Err(error), None)),
                // The thread is gone and has not said that this was all.
                None => Some((Err(UnpackError::Damaged(io::ErrorKind::UnexpectedEof.into()).into()), None)),
            }
        }
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

    fn packed_with(packing: Packing, bytes: &[u8]) -> Vec<u8> {
        match packing {
            Packing::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Packing::Xz => {
                let mut encoder = xz::write::XzEncoder::new(Vec::new(), 6);
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Packing::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
                // As the zstd command has it.
                encoder.include_checksum(true).unwrap();
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Packing::Zip => zip::tests::zipped(bytes),
        }
    }

    async fn unpacked(packing: Packing, packed: Vec<u8>, limit: u64) -> Result<Vec<u8>, String> {
        let frames: Vec<_> = packed.chunks(1000).map(|frame| Ok(Bytes::copy_from_slice(frame))).collect();
        let mut stream = std::pin::pin!(unpack(stream::iter(frames), Unpacking { packing, limit }));
        let mut all = Vec::new();
        while let Some(piece) = stream.next().await {
            all.extend_from_slice(&piece.map_err(|error| error.to_string())?);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn bytes_come_out_as_they_went_in() {
        let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i / 7) as u8).collect();
        for packing in Packing::ALL {
            let packed = |bytes: &[u8]| packed_with(packing, bytes);
            // Two members, as `cat a.gz b.gz` makes them.
            let both = [packed(&bytes[..1_000_000]), packed(&bytes[1_000_000..])].concat();
            let whole = unpacked(packing, both, u64::MAX).await;
            if packing == Packing::Zip {
                assert!(whole.is_err(), "it is an archive, and holds one file");
            } else {
                assert_eq!(whole.as_ref(), Ok(&bytes), "{packing:?}");
            }
            assert_eq!(unpacked(packing, packed(&bytes), u64::MAX).await.as_ref(), Ok(&bytes), "{packing:?}");
            assert_eq!(unpacked(packing, packed(b""), 0).await, Ok(Vec::new()), "{packing:?}");
            // Nothing shrinks by more than is allowed for.
            let zeros = packed(&vec![0; 64 << 20]);
            let unpacking = Unpacking::of(&zeros, zeros.len() as u64).unwrap();
            assert!(unpacking.packing == packing && unpacking.limit() >= 64 << 20, "{packing:?}");
        }
    }

    #[tokio::test]
    async fn what_is_damaged_or_too_much_is_refused() {
        for packing in Packing::ALL {
            let whole =
                packed_with(packing, &(0..100_000u32).map(|i| i.wrapping_mul(i) as u8).collect::<Vec<_>>());
            let mut cut = whole.clone();
            cut.truncate(whole.len() - 4);
            let damaged = "The compressed data are damaged.".to_owned();
            assert_eq!(unpacked(packing, cut, u64::MAX).await, Err(damaged.clone()), "{packing:?}");
            let mut other = whole.clone();
            let middle = other.len() / 2;
            other[middle] ^= 0xff;
            other[middle + 1] ^= 0xff;
            assert_eq!(unpacked(packing, other, u64::MAX).await, Err(damaged), "{packing:?}");
            let too_much = Err("The compressed data become too much.".to_owned());
            assert_eq!(unpacked(packing, whole, 99_999).await, too_much, "{packing:?}");
        }
    }

    #[tokio::test]
    async fn a_window_that_takes_too_much_memory_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(28).unwrap();
        encoder.write_all(&[7; 100_000]).unwrap();
        let packed = encoder.finish().unwrap();
        assert!(unpacked(Packing::Zstd, packed, u64::MAX).await.is_err());
    }

    #[tokio::test]
    async fn what_the_source_says_is_said_again() {
        for packing in Packing::ALL {
            let failure = BlockError::new(ErrorKind::TimedOut, "read", "i", "no answer");
            let unpacking = Unpacking { packing, limit: 1 };
            let mut stream = std::pin::pin!(unpack(stream::iter([Err(failure)]), unpacking));
            let error = stream.next().await.unwrap().unwrap_err();
            assert_eq!(error.downcast::<BlockError>().unwrap().kind, ErrorKind::TimedOut);
            assert!(stream.next().await.is_none());
        }
    }

    #[test]
    fn four_ways_are_known() {
        for packing in Packing::ALL {
            let limit = 10 * packing.largest_ratio();
            let found = Unpacking::of(&packed_with(packing, b"x")[..8], 10);
            assert_eq!(found, Some(Unpacking { packing, limit }));
        }
        assert_eq!(Unpacking::of(b"QFI\xfb", 10), None);
        assert_eq!(Unpacking::of(b"", 0), None);
    }
}
