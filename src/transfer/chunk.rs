//! Bytes that belong together and lie where they came to lie.

use std::ops::Range;

use bytes::Bytes;

use super::zero::{GRAIN, is_zero};

/// A stretch of an image, in parts that share the memory they arrived in.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunk {
    parts: Vec<Bytes>,
    length: usize,
}

impl Chunk {
    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn push(&mut self, part: Bytes) {
        self.length += part.len();
        self.parts.push(part);
    }

    pub(super) fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    pub(super) fn into_parts(self) -> Vec<Bytes> {
        self.parts
    }

    /// The parts, or what of them lies in `range`.
    fn slices(&self, range: Range<usize>) -> impl Iterator<Item = (&Bytes, Range<usize>)> {
        let mut at = 0;
        self.parts.iter().filter_map(move |part| {
            let start = range.start.clamp(at, at + part.len()) - at;
            let end = range.end.clamp(at, at + part.len()) - at;
            at += part.len();
            (start < end).then_some((part, start..end))
        })
    }

    fn slice(&self, range: Range<usize>) -> Self {
        let mut slice = Self::default();
        self.slices(range).for_each(|(part, range)| slice.push(part.slice(range)));
        slice
    }

    fn is_zero(&self, range: Range<usize>) -> bool {
        self.slices(range).all(|(part, range)| is_zero(&part[range]))
    }

    /// What is to be written of it, with the places in it: when `sparse`, the stretches that are not all zero, otherwise
    /// all of it.
    pub(super) fn runs(self, sparse: bool) -> impl Iterator<Item = (u64, Self)> + Send {
        let mut at = 0;
        std::iter::from_fn(move || {
            let is_hole = |at: usize| sparse && self.is_zero(at..at + GRAIN);
            while at < self.length && is_hole(at) {
                at += GRAIN;
            }
            let start = at;
            while at < self.length && !is_hole(at) {
                at += GRAIN;
            }
            (start < self.length).then(|| (start as u64, self.slice(start..at.min(self.length))))
        })
    }
}

impl From<Bytes> for Chunk {
    fn from(part: Bytes) -> Self {
        Self { length: part.len(), parts: vec![part] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same bytes, in parts of that size.
    fn in_parts(bytes: &[u8], size: usize) -> Chunk {
        let mut chunk = Chunk::default();
        bytes.chunks(size).for_each(|part| chunk.push(Bytes::copy_from_slice(part)));
        chunk
    }

    fn lengths(chunk: Chunk, sparse: bool) -> Vec<(usize, usize)> {
        chunk.runs(sparse).map(|(at, run)| (at as usize, run.len())).collect()
    }

    #[test]
    fn runs_leave_out_zeros_at_both_ends_and_inside() {
        let mut bytes = vec![0; 6 * GRAIN + 10];
        bytes[GRAIN + 5] = 1;
        bytes[2 * GRAIN] = 1;
        bytes[5 * GRAIN - 1] = 1;
        bytes[6 * GRAIN + 9] = 1;
        for size in [bytes.len(), GRAIN, GRAIN / 2 + 1, 3 * GRAIN - 7] {
            let chunk = in_parts(&bytes, size);
            assert_eq!(
                lengths(chunk, true),
                [(GRAIN, 2 * GRAIN), (4 * GRAIN, GRAIN), (6 * GRAIN, 10)],
                "{size}"
            );
        }
    }

    #[test]
    fn runs_hold_the_bytes_of_their_places() {
        let bytes: Vec<u8> =
            (0..3 * GRAIN).map(|at| if at / GRAIN == 1 { 0 } else { (at % 251) as u8 }).collect();
        for (at, run) in in_parts(&bytes, 50_001).runs(true) {
            assert_eq!(run.parts().concat(), bytes[at as usize..][..run.len()]);
        }
    }

    #[test]
    fn no_runs_in_zeros_or_in_nothing() {
        assert_eq!(lengths(in_parts(&vec![0; 3 * GRAIN + 1], 1000), true), []);
        assert_eq!(lengths(Bytes::new().into(), true), []);
    }

    #[test]
    fn one_run_where_zeros_count() {
        assert_eq!(lengths(in_parts(&vec![0; 3 * GRAIN + 1], 1000), false), [(0, 3 * GRAIN + 1)]);
        assert_eq!(lengths(Bytes::new().into(), false), []);
    }
}
