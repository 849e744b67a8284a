//! A stretch of an image as holes and data.

use std::ops::Range;

use crate::block::Extent;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Reads as zeros; as long as it goes on.
    Hole(Range<u64>),
    /// Lies within one chunk, and is all there is to read of it.
    Data(Range<u64>),
}

/// Walks over `range` in order, leaving nothing out. `extents` are those of the whole image.
#[derive(Clone, Debug)]
pub(super) struct Pieces {
    range: Range<u64>,
    extents: std::iter::Peekable<std::vec::IntoIter<Extent>>,
    chunk: u64,
}

impl Pieces {
    pub(super) fn new(range: Range<u64>, extents: Vec<Extent>, chunk: u64) -> Self {
        Self { range, extents: extents.into_iter().peekable(), chunk: chunk.max(1) }
    }

    /// The same walk where nothing is known of holes.
    pub(super) fn solid(range: Range<u64>, chunk: u64) -> Self {
        let all = Extent { offset: range.start, length: range.end.saturating_sub(range.start) };
        Self::new(range, vec![all], chunk)
    }

    /// The bytes of data still to come.
    pub(super) fn data_bytes(&self) -> u64 {
        let length = |piece| if let Piece::Data(range) = piece { range.end - range.start } else { 0 };
        self.clone().map(length).sum()
    }
}

impl Iterator for Pieces {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let Range { start, end } = self.range;
        if start >= end {
            return None;
        }
        while self.extents.next_if(|extent| extent.offset + extent.length <= start).is_some() {}
        let data = self.extents.peek().map_or(end, |extent| extent.offset.clamp(start, end));
        if data > start {
            self.range.start = data;
            return Some(Piece::Hole(start..data));
        }
        // One read for the chunk, over the holes between its extents.
        let border = (start / self.chunk + 1).saturating_mul(self.chunk).min(end);
        let mut stop = start;
        while let Some(extent) = self.extents.peek().filter(|extent| extent.offset < border) {
            stop = border.min(extent.offset + extent.length);
            if stop == border {
                break;
            }
            self.extents.next();
        }
        self.range.start = stop;
        Some(Piece::Data(start..stop))
    }
}

#[cfg(test)]
mod tests {
    use super::Piece::{Data, Hole};
    use super::*;

    fn pieces(range: Range<u64>, extents: &[(u64, u64)]) -> Vec<Piece> {
        let extents = extents.iter().map(|&(offset, length)| Extent { offset, length }).collect();
        Pieces::new(range, extents, 10).collect()
    }

    #[test]
    fn holes_are_whole_and_data_keeps_to_its_chunk() {
        let expected = [Hole(0..25), Data(25..30), Data(30..40), Data(40..45), Hole(45..90)];
        assert_eq!(pieces(0..90, &[(25, 20)]), expected);
    }

    #[test]
    fn extents_of_one_chunk_are_read_at_once() {
        assert_eq!(
            pieces(0..20, &[(1, 1), (4, 2), (8, 4)]),
            [Hole(0..1), Data(1..10), Data(10..12), Hole(12..20)]
        );
    }

    #[test]
    fn ranges_cut_extents_at_both_ends() {
        assert_eq!(pieces(13..17, &[(0, 100)]), [Data(13..17)]);
        assert_eq!(pieces(5..15, &[(0, 3), (14, 9)]), [Hole(5..14), Data(14..15)]);
        assert_eq!(pieces(5..5, &[(0, 100)]), []);
        assert_eq!(pieces(5..8, &[]), [Hole(5..8)]);
    }

    #[test]
    fn a_solid_walk_has_only_data() {
        let walk = Pieces::solid(5..25, 10);
        assert_eq!(walk.data_bytes(), 20);
        assert_eq!(walk.collect::<Vec<_>>(), [Data(5..10), Data(10..20), Data(20..25)]);
    }
}
