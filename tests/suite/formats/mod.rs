//! What bytes mean: on real images, on hostile ones, and beside what the real service makes of them.

pub mod bases;
mod disks;
mod oracle;
mod verdicts;
mod written;

use proptest::prelude::*;
use pumice::formats::{Content, Inspector};

fn inspect(bytes: &[u8], chunk: usize) -> Content {
    let mut inspector = Inspector::default();
    bytes.chunks(chunk.max(1)).for_each(|chunk| inspector.feed(chunk));
    inspector.finish()
}

/// Beginnings that make the inspector look closer.
const STARTS: &[&[u8]] = &[
    b"",
    b"QFI\xfb\0\0\0\x02",
    b"QFI\xfb\0\0\0\x03",
    b"QED\0",
    b"KDMV\x01\0\0\0",
    b"COWD",
    b"# Disk DescriptorFile\nversion=1\n",
    b"conectix",
    b"vhdxfile",
    b"LUKS\xba\xbe\0\x01",
];

/// Places where formats have something: headers, tables, descriptors, and the end.
const PLACES: &[usize] = &[8, 64, 368, 446, 510, 512, 1024, 32 << 10, (192 << 10), (192 << 10) + 16, 1 << 20];

fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..200);
    let patch = (proptest::sample::select(PLACES), bytes());
    let lengths =
        prop_oneof![0..2000usize, 30_000..40_000usize, 190_000..270_000usize, 1_000_000..1_200_000usize];
    (proptest::sample::select(STARTS), proptest::collection::vec(patch, 0..6), lengths, bytes()).prop_map(
        |(start, patches, length, end)| {
            let mut whole = vec![0; length];
            let patches =
                patches.into_iter().chain([(0, start.to_vec()), (length.saturating_sub(end.len()), end)]);
            for (at, patch) in patches {
                let room = whole.len().saturating_sub(at).min(patch.len());
                whole.get_mut(at..).unwrap_or_default()[..room].copy_from_slice(&patch[..room]);
            }
            whole
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_chunks_do_not_matter(bytes in hostile(), chunk in prop_oneof![1..700usize, 700..200_000usize]) {
        prop_assert_eq!(inspect(&bytes, chunk), inspect(&bytes, bytes.len()));
    }
}

#[test]
fn endless_text_is_raw_bytes() {
    let mut inspector = Inspector::default();
    let lines = vec![b'a'; 1 << 20];
    for _ in 0..16 {
        inspector.feed(&lines);
    }
    assert_eq!(inspector.finish(), Content { length: 16 << 20, found: Vec::new() });
}
