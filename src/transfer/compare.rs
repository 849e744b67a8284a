//! Whether one image holds the same bytes as another.

use std::ops::Range;
use std::sync::Arc;

use crate::block::{self, BlockImage, Extent, Progress};

use super::DEFAULT_IN_FLIGHT;
use super::copy::goes_on;
use super::error::TransferError;
use super::in_flight::InFlight;
use super::pieces::{Piece, Pieces};

/// Reads all that either of them holds, in steps of `chunk`. They must not change meanwhile. `progress` counts the
/// bytes that both were read of.
pub async fn same(
    one: Arc<dyn BlockImage>,
    other: Arc<dyn BlockImage>,
    chunk: u64,
    progress: &Progress,
) -> Result<bool, TransferError> {
    let size = one.size().await?;
    if size != other.size().await? {
        return Ok(false);
    }
    let pieces = held_by_either(size, one.allocated().await?, other.allocated().await?, chunk);
    goes_on(progress.report(0, pieces.data_bytes()))?;
    let mut pairs = InFlight::<TransferError>::new(other.name(), DEFAULT_IN_FLIGHT);
    let started = async {
        for piece in pieces {
            let Piece::Data(range) = piece else { continue };
            pairs.room().await?;
            goes_on(!progress.is_cancelled())?;
            let (one, other, progress) = (one.clone(), other.clone(), progress.clone());
            pairs.start(async move {
                let length = range.end - range.start;
                let differs = is_different(&*one, &*other, range).await?;
                // The answer is asked for before each piece.
                let _ = progress.advance(length);
                Ok(u64::from(differs))
            });
        }
        Ok::<(), TransferError>(())
    };
    let started = started.await;
    let settled = pairs.settle().await;
    started?;
    Ok(settled? == 0)
}

/// The holes are where neither of them holds anything.
fn held_by_either(size: u64, mut one: Vec<Extent>, other: Vec<Extent>, chunk: u64) -> Pieces {
    one.extend(other);
    Pieces::new(0..size, Extent::merged(one, size), chunk)
}

async fn is_different(
    one: &dyn BlockImage,
    other: &dyn BlockImage,
    range: Range<u64>,
) -> block::Result<bool> {
    let length = range.end - range.start;
    Ok(one.read(range.start, length).await? != other.read(range.start, length).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_either_holds_is_looked_at_once() {
        let extent = |offset, length| Extent { offset, length };
        let found = held_by_either(100, vec![extent(10, 10)], vec![extent(0, 15), extent(50, 5)], 16);
        assert_eq!(found.data_bytes(), 25);
        let expected = [
            Piece::Data(0..16),
            Piece::Data(16..20),
            Piece::Hole(20..50),
            Piece::Data(50..55),
            Piece::Hole(55..100),
        ];
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }
}
