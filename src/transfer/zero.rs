//! Finding zeros, and making them.

use std::sync::LazyLock;

use bytes::Bytes;

/// How finely a chunk is searched for zeros, in bytes. Smaller finds little more in real images and breaks
/// a chunk into more writes, each of which costs a round trip.
pub const GRAIN: usize = 64 << 10;

/// What zeros are made of. Small enough to stay in the cache of the core that sends or compares them.
static ZEROS: [u8; GRAIN] = [0; GRAIN];

/// Whether all of it is zero. Stops at the first block of 4 KiB that is not.
pub fn is_zero(bytes: &[u8]) -> bool {
    // The comparison of slices is the C library's, which is fast in every build profile.
    bytes.chunks(4 << 10).all(|block| block == &ZEROS[..block.len()])
}

/// At most `length` zeros, which take no memory of their own.
pub(super) fn zeros(length: u64) -> Bytes {
    let length = usize::try_from(length).unwrap_or(GRAIN).min(GRAIN);
    Bytes::from_static(&ZEROS[..length])
}

/// As many zeros as that. Chunks of the usual sizes share memory that nobody ever wrote to: the system keeps one page
/// for all of it.
pub(super) fn zero_chunk(length: usize) -> Bytes {
    const LARGEST: usize = 8 << 20;
    static CHUNK: LazyLock<Vec<u8>> = LazyLock::new(|| vec![0; LARGEST]);
    match CHUNK.get(..length) {
        Some(zeros) => Bytes::from_static(zeros),
        None => vec![0; length].into(),
    }
}

/// What is to be written of a chunk, with the places in it: when `sparse`, the stretches that are not all
/// zero, otherwise all of it. Shares the chunk's memory.
pub(super) fn runs(chunk: Bytes, sparse: bool) -> impl Iterator<Item = (u64, Bytes)> + Send {
    let mut at = 0;
    std::iter::from_fn(move || {
        let is_hole = |at: usize| sparse && is_zero(&chunk[at..chunk.len().min(at + GRAIN)]);
        while at < chunk.len() && is_hole(at) {
            at += GRAIN;
        }
        let start = at;
        while at < chunk.len() && !is_hole(at) {
            at += GRAIN;
        }
        (start < chunk.len()).then(|| (start as u64, chunk.slice(start..at.min(chunk.len()))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_anywhere_is_found() {
        for length in [1, 7, 8, 4095, 4096, 4097, 70_000] {
            let mut bytes = vec![0; length];
            assert!(is_zero(&bytes), "{length}");
            for place in [0, length / 2, length - 1] {
                bytes[place] = 1;
                assert!(!is_zero(&bytes), "{place} of {length}");
                bytes[place] = 0;
            }
        }
        assert!(is_zero(&[]));
    }

    #[test]
    fn runs_leave_out_zeros_at_both_ends_and_inside() {
        let mut chunk = vec![0; 6 * GRAIN + 10];
        chunk[GRAIN + 5] = 1;
        chunk[2 * GRAIN] = 1;
        chunk[5 * GRAIN - 1] = 1;
        chunk[6 * GRAIN + 9] = 1;
        let runs: Vec<_> = runs(chunk.into(), true).map(|(at, run)| (at as usize, run.len())).collect();
        assert_eq!(runs, [(GRAIN, 2 * GRAIN), (4 * GRAIN, GRAIN), (6 * GRAIN, 10)]);
    }

    #[test]
    fn no_runs_in_zeros_or_in_nothing() {
        assert_eq!(runs(vec![0; 3 * GRAIN + 1].into(), true).count(), 0);
        assert_eq!(runs(Bytes::new(), true).count(), 0);
    }

    #[test]
    fn one_run_where_zeros_count() {
        let chunk = Bytes::from(vec![0; 3 * GRAIN + 1]);
        assert_eq!(runs(chunk.clone(), false).collect::<Vec<_>>(), [(0, chunk)]);
        assert_eq!(runs(Bytes::new(), false).count(), 0);
    }

    #[test]
    fn zeros_are_never_more_than_asked_for() {
        assert_eq!(zeros(0).len(), 0);
        assert_eq!(zeros(5).len(), 5);
        assert_eq!(zeros(u64::MAX).len(), GRAIN);
        for length in [0, 1, 8 << 20, (8 << 20) + 1] {
            let chunk = zero_chunk(length);
            assert!(chunk.len() == length && is_zero(&chunk));
        }
    }
}
