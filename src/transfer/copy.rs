//! One image's bytes into another.
//!
//! librbd has a copy of its own, which cannot be cancelled (its progress callback's answer is ignored).

use std::ops::Range;
use std::sync::Arc;

use crate::block::{self, BlockError, BlockImage, Progress};

use super::chunk::Chunk;
use super::error::TransferError;
use super::in_flight::InFlight;
use super::pieces::{Piece, Pieces};
use super::{DEFAULT_CHUNK, DEFAULT_IN_FLIGHT};

/// Holes of a used target are zeroed in steps of so many chunks, to be cancellable between two.
const CHUNKS_ZEROED_AT_ONCE: u64 = 64;

#[derive(Clone, Debug)]
pub struct CopyOptions {
    /// Reads and writes at once, each of a chunk.
    pub in_flight: usize,
    /// Normally the larger object size of the two.
    pub chunk: u64,
    /// The target is empty, or holds a part of this very copy: zeros are left unwritten. Otherwise all of the
    /// target that the source does not fill, also behind its end, is made to read as zeros.
    pub onto_empty: bool,
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self { in_flight: DEFAULT_IN_FLIGHT, chunk: DEFAULT_CHUNK, onto_empty: true }
    }
}

/// Copies what `source` holds to the same places of `target`, and flushes it. Answers the bytes written.
///
/// When it fails no write is under way; run again it starts from the beginning. The source must not change
/// meanwhile. `progress` counts the bytes read, out of those that may hold something.
pub async fn copy(
    source: Arc<dyn BlockImage>,
    target: Arc<dyn BlockImage>,
    options: CopyOptions,
    progress: &Progress,
) -> Result<u64, TransferError> {
    let needed = source.size().await?;
    let actual = target.size().await?;
    if needed > actual {
        return Err(TransferError::TargetTooSmall { needed, actual });
    }
    let end = if options.onto_empty { needed } else { actual };
    let pieces = Pieces::new(0..end, source.allocated().await?, options.chunk);
    let mut pairs = InFlight::new(target.name(), options.in_flight);
    let started = start_all(pieces, &source, &target, &options, progress, &mut pairs).await;
    let settled = pairs.settle().await;
    started?;
    let written = settled?;
    target.flush().await?;
    Ok(written)
}

async fn start_all(
    pieces: Pieces,
    source: &Arc<dyn BlockImage>,
    target: &Arc<dyn BlockImage>,
    options: &CopyOptions,
    progress: &Progress,
    pairs: &mut InFlight,
) -> Result<(), TransferError> {
    goes_on(progress.report(0, pieces.data_bytes()))?;
    for piece in pieces {
        match piece {
            Piece::Hole(_) if options.onto_empty => {}
            Piece::Hole(range) => zero(range, target, options.chunk, progress, pairs).await?,
            Piece::Data(range) => {
                pairs.room().await?;
                goes_on(!progress.is_cancelled())?;
                let (source, target, progress) = (source.clone(), target.clone(), progress.clone());
                let sparse = options.onto_empty;
                let length = range.end - range.start;
                pairs.start(async move {
                    let written = copy_piece(&*source, &*target, range.start, length, sparse).await?;
                    // The answer is asked for before each piece.
                    let _ = progress.advance(length);
                    Ok(written)
                });
            }
        }
    }
    Ok(())
}

pub(super) fn goes_on(keep: bool) -> Result<(), TransferError> {
    if keep { Ok(()) } else { Err(TransferError::Cancelled) }
}

/// Makes a stretch of a used target read as zeros.
pub(super) async fn zero<E: From<BlockError> + Send + 'static>(
    range: Range<u64>,
    target: &Arc<dyn BlockImage>,
    chunk: u64,
    progress: &Progress,
    calls: &mut InFlight<E>,
) -> Result<(), TransferError>
where
    TransferError: From<E>,
{
    let step = chunk.max(1).saturating_mul(CHUNKS_ZEROED_AT_ONCE);
    let mut at = range.start;
    while at < range.end {
        let length = step.min(range.end - at);
        calls.room().await?;
        let target = target.clone();
        calls.start(async move { Ok(target.write_zeroes(at, length).await.map(|()| 0)?) });
        goes_on(!progress.is_cancelled())?;
        at += length;
    }
    Ok(())
}

async fn copy_piece(
    source: &dyn BlockImage,
    target: &dyn BlockImage,
    offset: u64,
    length: u64,
    sparse: bool,
) -> block::Result<u64> {
    let bytes = source.read(offset, length).await?;
    let mut written = 0;
    for (at, run) in Chunk::from(bytes).runs(sparse) {
        written += run.len() as u64;
        target.write_vectored(offset + at, run.into_parts()).await?;
    }
    Ok(written)
}
