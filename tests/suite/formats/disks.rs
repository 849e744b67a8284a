//! The disks in images of every format that QEMU writes: the same bytes that `qemu-img convert` finds. And in damaged
//! ones: an error, or some bytes, but neither a panic nor an end without bounds.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use pumice::block::directory::Directory;
use pumice::block::{BlockImage, BlockStore, BlockingPool, OpenMode, Progress};
use pumice::formats::{self, Danger, Disk, Ends, Format, Next, Place};
use pumice::transfer::{CopyOptions, TransferError, convert, open_disk};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

use super::bases::{qemu_img, qemu_io};

/// Ends in the middle of a cluster, a grain and a block of every format.
pub const SIZE: u64 = (13 << 20) + 3 * 512;

/// Name, format, options for `qemu-img`, whether it compresses.
const MADE: &[(&str, &str, &str, bool)] = &[
    ("v2", "qcow2", "compat=0.10", false),
    ("v2-packed", "qcow2", "compat=0.10", true),
    ("v3", "qcow2", "compat=1.1", false),
    ("packed", "qcow2", "compat=1.1", true),
    ("zstd", "qcow2", "compression_type=zstd", true),
    ("clusters-of-512", "qcow2", "cluster_size=512", false),
    ("clusters-of-512-packed", "qcow2", "cluster_size=512", true),
    ("clusters-of-4k-packed", "qcow2", "cluster_size=4k", true),
    ("clusters-of-2m", "qcow2", "cluster_size=2M", false),
    ("clusters-of-2m-packed", "qcow2", "cluster_size=2M", true),
    ("clusters-of-2m-zstd", "qcow2", "cluster_size=2M,compression_type=zstd", true),
    ("parts", "qcow2", "extended_l2=on,cluster_size=128k", false),
    ("parts-packed", "qcow2", "extended_l2=on,cluster_size=16k", true),
    ("lazy", "qcow2", "lazy_refcounts=on", false),
    ("wide-refcounts", "qcow2", "refcount_bits=64", false),
    ("prepared", "qcow2", "preallocation=metadata", false),
    ("prepared-full", "qcow2", "preallocation=full", false),
    ("prepared-parts", "qcow2", "preallocation=metadata,extended_l2=on", false),
    ("sparse", "vmdk", "subformat=monolithicSparse", false),
    ("zero-grains", "vmdk", "subformat=monolithicSparse,zeroed_grain=on", false),
    ("stream", "vmdk", "subformat=streamOptimized", false),
    ("dynamic", "vpc", "subformat=dynamic,force_size=on", false),
    ("fixed", "vpc", "subformat=fixed,force_size=on", false),
    ("dynamic", "vhdx", "subformat=dynamic", false),
    ("blocks-of-1m", "vhdx", "subformat=dynamic,block_size=1M", false),
    ("no-zero-state", "vhdx", "block_size=2M,block_state_zero=off", false),
    ("fixed", "vhdx", "subformat=fixed", false),
    ("dynamic", "vdi", "static=off", false),
    ("static", "vdi", "static=on", false),
];

pub fn format(qemus: &str) -> Format {
    formats::readable(if qemus == "vpc" { "vhd" } else { qemus }).unwrap()
}

/// Noise, text that can be compressed, zeros that are written and holes, in stretches of all lengths.
pub fn content(size: u64, seed: u64) -> Vec<u8> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut disk = vec![0; size as usize];
    let mut at = 0;
    while at < disk.len() {
        let length = 1 << random.random_range(9..22);
        let end = disk.len().min(at + random.random_range(1..=length));
        match random.random_range(0..5) {
            0 => random.fill_bytes(&mut disk[at..end]),
            1 => disk[at..end].iter_mut().enumerate().for_each(|(i, byte)| *byte = (i / 100) as u8),
            _ => {}
        }
        at = end;
    }
    disk
}

pub struct Scene {
    folder: tempfile::TempDir,
    store: Arc<dyn BlockStore>,
}

impl Scene {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::open(folder.path().join("store"), BlockingPool::new(4, 1, 1, 4)).unwrap();
        let store = directory.pool("p").unwrap();
        Self { folder, store }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub async fn image(&self, name: &str, size: u64, object_size: u64) -> Arc<dyn BlockImage> {
        self.store.create(name, size, object_size).await.unwrap();
        self.store.open(name, OpenMode::ReadWrite).await.unwrap()
    }

    /// An image file of the folder, as an image of the store.
    async fn bring_in(&self, name: &str) -> Arc<dyn BlockImage> {
        let bytes = std::fs::read(self.path().join(name)).unwrap();
        let image = self.image(name, bytes.len() as u64, 1 << 20).await;
        for (number, chunk) in bytes.chunks(1 << 20).enumerate() {
            if chunk.iter().any(|byte| *byte != 0) {
                image.write((number as u64) << 20, Bytes::copy_from_slice(chunk)).await.unwrap();
            }
        }
        image
    }

    /// What we find in it, and how much of that was written.
    pub async fn converted(&self, name: &str, format: Format, object_size: u64) -> (Vec<u8>, u64) {
        let file = self.bring_in(name).await;
        let disk = open_disk(&*file, format).await.unwrap();
        let size = disk.size();
        let target = self.image(&format!("{name}.disk"), size, object_size).await;
        let options = CopyOptions { chunk: object_size, ..CopyOptions::default() };
        let progress = Progress::new();
        let written = convert(file, disk, target.clone(), options, &progress).await.unwrap();
        assert_eq!(progress.get(), (size, size), "{name}");
        (target.read(0, size).await.unwrap().to_vec(), written)
    }

    /// What `qemu-img` finds.
    pub fn expected(&self, name: &str, qemus: &str) -> Vec<u8> {
        let raw = format!("{name}.raw");
        qemu_img(self.path(), &["convert", "-f", qemus, "-O", "raw", name, &raw]);
        std::fs::read(self.path().join(raw)).unwrap()
    }

    async fn compare(&self, name: &str, qemus: &str) {
        let object_size = if name.len().is_multiple_of(2) { 1 << 20 } else { 4 << 20 };
        let (found, written) = self.converted(name, format(qemus), object_size).await;
        let expected = self.expected(name, qemus);
        assert_eq!(found.len(), expected.len(), "{name}");
        let first = found.iter().zip(&expected).position(|(found, expected)| found != expected);
        assert_eq!(first, None, "{name} differs");
        assert!(written < found.len() as u64, "{name}: zeros were written");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_formats_hold_what_qemu_finds() {
    let scene = Scene::new();
    std::fs::write(scene.path().join("raw"), content(SIZE, 1)).unwrap();
    for (name, qemus, options, packs) in MADE {
        let name = &format!("{qemus}-{name}");
        let mut arguments = vec!["convert", "-f", "raw", "-O", qemus, "-o", options, "raw", name];
        if *packs {
            arguments.insert(1, "-c");
        }
        qemu_img(scene.path(), &arguments);
        scene.compare(name, qemus).await;
    }
}

/// Not only as `qemu-img` writes them, from the beginning to the end.
#[tokio::test(flavor = "multi_thread")]
async fn used_images_hold_what_qemu_finds() {
    let scene = Scene::new();
    let mut random = StdRng::seed_from_u64(2);
    for (name, qemus, options, _) in MADE {
        if options.contains("streamOptimized") {
            // Nobody writes into one.
            continue;
        }
        let name = &format!("{qemus}-{name}");
        qemu_img(scene.path(), &["create", "-q", "-f", qemus, "-o", options, name, "13M"]);
        for round in 0..2 {
            let mut commands = Vec::new();
            for _ in 0..30 {
                let at = random.random_range(0..12 << 11) * 512;
                let length = random.random_range(1..1 << 11) * 512;
                commands.push(match random.random_range(0..6) {
                    0 => format!("write -z {at} {length}"),
                    1 => format!("write -z -u {at} {length}"),
                    2 => format!("discard {at} {length}"),
                    _ => format!("write -P {} {at} {length}", random.random_range(1..255)),
                });
            }
            qemu_io(scene.path(), qemus, name, &commands);
            if round == 0 && *qemus == "qcow2" {
                qemu_img(scene.path(), &["snapshot", "-c", "before", name]);
            }
        }
        scene.compare(name, qemus).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_target_holds_the_disk_and_zeros() {
    let scene = Scene::new();
    std::fs::write(scene.path().join("raw"), content(5 << 20, 3)).unwrap();
    qemu_img(scene.path(), &["convert", "-c", "-f", "raw", "-O", "qcow2", "raw", "packed"]);
    let file = scene.bring_in("packed").await;
    let target = scene.image("target", 8 << 20, 1 << 20).await;
    target.write(0, vec![7; 8 << 20].into()).await.unwrap();
    let disk = open_disk(&*file, Format::Qcow2).await.unwrap();
    let options = CopyOptions { chunk: 1 << 20, onto_empty: false, ..CopyOptions::default() };
    convert(file, disk, target.clone(), options, &Progress::new()).await.unwrap();
    let mut expected = content(5 << 20, 3);
    expected.resize(8 << 20, 0);
    assert!(target.read(0, 8 << 20).await.unwrap() == expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_and_what_is_cancelled_is_told() {
    let scene = Scene::new();
    std::fs::write(scene.path().join("raw"), content(5 << 20, 4)).unwrap();
    qemu_img(scene.path(), &["convert", "-f", "raw", "-O", "qcow2", "raw", "image"]);
    let file = scene.bring_in("image").await;
    let small = scene.image("small", (5 << 20) - 512, 1 << 20).await;
    let disk = open_disk(&*file, Format::Qcow2).await.unwrap();
    let outcome = convert(file.clone(), disk, small, CopyOptions::default(), &Progress::new()).await;
    assert!(matches!(outcome, Err(TransferError::TargetTooSmall { .. })), "{outcome:?}");

    let (target, progress) = (scene.image("target", 5 << 20, 1 << 20).await, Progress::new());
    progress.cancel();
    let disk = open_disk(&*file, Format::Qcow2).await.unwrap();
    let outcome = convert(file.clone(), disk, target, CopyOptions::default(), &progress).await;
    assert!(matches!(outcome, Err(TransferError::Cancelled)), "{outcome:?}");
    let outcome = open_disk(&*file, Format::Vdi).await.err();
    assert!(matches!(outcome, Some(TransferError::Content(_))), "{outcome:?}");
}

/// So many steps are enough for all that is made here.
const MOST_STEPS: usize = 400_000;

/// Walks over the whole disk, and unpacks what is packed. Answers the bytes of the disk that it was told of.
fn walk(format: Format, file: &[u8]) -> Result<u64, Danger> {
    let length = file.len() as u64;
    let ends = Ends::of(length);
    let part = |range: &std::ops::Range<u64>| &file[range.start as usize..range.end as usize];
    let (head, tail) = (part(&ends.head), part(&ends.tail));
    let metadata = formats::metadata(format, head, length).map(|range| (range.start, part(&range)));
    let mut disk = Disk::open(format, head, metadata, tail, length)?;
    let mut at = 0;
    for _ in 0..MOST_STEPS {
        match disk.advance()? {
            Next::Read(range) => {
                assert!(range.end <= length && range.end - range.start <= 64 << 10, "{range:?}");
                disk.feed(part(&range));
            }
            Next::Piece(piece) => {
                assert!(piece.disk.start == at && piece.disk.end > at, "{piece:?} at {at}");
                at = piece.disk.end;
                assert!(at <= disk.size());
                if let Place::Packed(packed) = piece.place {
                    let bytes = packed.bytes(length);
                    assert!(
                        bytes.end <= length && bytes.end - bytes.start <= 2 * disk.largest_packed() + 1024
                    );
                    let mut room = vec![0; (piece.disk.end - piece.disk.start) as usize];
                    packed.unpack(part(&bytes), &mut room)?;
                }
            }
            Next::End => {
                assert_eq!(at, disk.size());
                return Ok(at);
            }
        }
    }
    Ok(at)
}

/// Most places are of tables and headers, where a change means something.
fn damaged(random: &mut StdRng, file: &[u8]) -> Vec<u8> {
    let mut bytes = file.to_vec();
    for _ in 0..random.random_range(1..6) {
        let places = [600, 4 << 10, 70 << 10, 300 << 10, 4 << 20, bytes.len()];
        let place = places[random.random_range(0..places.len())];
        let Some(at) = bytes.len().min(place).checked_sub(8).map(|end| random.random_range(0..=end)) else {
            break;
        };
        let values: [u64; 7] = [
            0,
            u64::MAX,
            1 << 62,
            1,
            random.next_u64(),
            u64::from(random.next_u32()) << 9,
            file.len() as u64,
        ];
        let value = values[random.random_range(0..values.len())];
        let at = if random.random_ratio(1, 2) { at / 8 * 8 } else { at };
        match random.random_range(0..4) {
            0 => bytes[at..at + 8].copy_from_slice(&value.to_be_bytes()),
            1 => bytes[at..at + 8].copy_from_slice(&value.to_le_bytes()),
            2 => bytes[at..at + 4].copy_from_slice(&value.to_le_bytes()[..4]),
            _ => bytes[at] ^= 1 << random.random_range(0..8),
        }
    }
    if random.random_ratio(1, 6) {
        bytes.truncate(random.random_range(0..=bytes.len()));
    }
    bytes
}

#[test]
fn damaged_images_neither_panic_nor_go_on_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("raw"), content((3 << 20) + 512, 5)).unwrap();
    let mut random = StdRng::seed_from_u64(6);
    let (mut refused, mut read) = (0, 0);
    for (name, qemus, options, packs) in MADE {
        let mut arguments = vec!["convert", "-f", "raw", "-O", qemus, "-o", options, "raw", name];
        if *packs {
            arguments.insert(1, "-c");
        }
        qemu_img(folder.path(), &arguments);
        let file = std::fs::read(folder.path().join(name)).unwrap();
        walk(format(qemus), &file).unwrap();
        for _ in 0..60 {
            match walk(format(qemus), &damaged(&mut random, &file)) {
                Ok(_) => read += 1,
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 100 && read > 100, "{refused} refused, {read} read");
}

/// Tables that are about more than there is, and one table that all others are.
#[test]
fn absurd_disks_cost_little() {
    let mut header = [0; 64 << 10];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"QFI\xfb\0\0\0\x02");
    put(20, &16u32.to_be_bytes());
    put(24, &(1u64 << 50).to_be_bytes());
    put(36, &(1u32 << 21).to_be_bytes());
    put(40, &(64u64 << 10).to_be_bytes());
    // The table with its two million entries is not there.
    assert_eq!(
        walk(Format::Qcow2, &header),
        Err(Danger::Malformed("a table lies behind the end of the file"))
    );
    // It is, and empty: a hole of a PiB.
    let mut whole = header.to_vec();
    whole.resize((64 << 10) + (16 << 20), 0);
    let walked = walk(Format::Qcow2, &whole).unwrap();
    // Each step but one in thousands is half a GiB further.
    assert!(walked > (MOST_STEPS as u64 - 1000) * (512 << 20), "{walked}");
}
