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
