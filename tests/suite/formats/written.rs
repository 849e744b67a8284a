//! Files of every format that we write: `qemu-img` finds the disk in them and nothing to complain of, and so do we.

use std::ops::Range;

use bytes::Bytes;
use futures::TryStreamExt;
use pumice::formats::{Danger, encode};
use pumice::transfer::{SendOptions, send_encoded};

use super::bases::qemu_img;
use super::disks::{SIZE, Scene, content, format};

/// As `qemu-img` calls it, and whether it can check one.
const WRITTEN: [(&str, bool); 5] =
    [("qcow2", true), ("vmdk", true), ("vpc", false), ("vhdx", true), ("vdi", true)];

/// Not aligned to anything but sectors, and none where the disk ends.
const SOME: [Range<u64>; 4] =
    [0..512, (1 << 20) + 512..(1 << 20) + 1024, 3 << 20..7 << 20, (7 << 20) + 512..9 << 20];

impl Scene {
    /// A disk that holds this, as a file of the folder.
    async fn write(&self, name: &str, qemus: &str, disk: &[u8], extents: &[Range<u64>]) {
        let size = disk.len() as u64;
        let image = self.image(&format!("{name}.source"), size, 1 << 20).await;
        for extent in extents {
            let bytes = &disk[extent.start as usize..extent.end as usize];
            image.write(extent.start, Bytes::copy_from_slice(bytes)).await.unwrap();
        }
        let file = encode(format(qemus), size, extents, [7; 16]).unwrap();
        let options = SendOptions { chunk: 1 << 20, ..SendOptions::default() };
        let body = send_encoded(image, file.segments, options);
        let bytes: Vec<Bytes> = body.try_collect().await.unwrap();
        let bytes = bytes.concat();
        assert_eq!(bytes.len() as u64, file.length, "{name}");
        std::fs::write(self.path().join(name), bytes).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_formats_hold_what_was_put_in() {
    let scene = Scene::new();
    let noise = content(SIZE, 5);
    let mut some = vec![0; SIZE as usize];
    for Range { start, end } in SOME.map(|range| range.start as usize..range.end as usize) {
        some[start..end].copy_from_slice(&noise[start..end]);
    }
    let nothing = vec![0; SIZE as usize];
    let all: Vec<Range<u64>> = std::iter::once(0..SIZE).collect();
    let disks = [("some", &some, SOME.to_vec()), ("all", &noise, all), ("nothing", &nothing, Vec::new())];
    for (qemus, can_be_checked) in WRITTEN {
        for (what, disk, extents) in &disks {
            let name = &format!("{qemus}-{what}");
            scene.write(name, qemus, disk, extents).await;
            if can_be_checked {
                qemu_img(scene.path(), &["check", "-q", "-f", qemus, name]);
            }
            assert!(scene.expected(name, qemus) == **disk, "qemu-img finds another disk in {name}");
            let (found, _) = scene.converted(name, format(qemus), 1 << 20).await;
            assert!(found == **disk, "we find another disk in {name}");
        }
    }
}

/// The places of clusters do not fit into one table, and their numbers of references not into one block.
#[tokio::test(flavor = "multi_thread")]
async fn large_disks_have_several_tables() {
    let scene = Scene::new();
    for (qemus, gib) in
        [("qcow2", 3u64), ("qcow2", 4096), ("vmdk", 100), ("vhdx", 4096), ("vdi", 100), ("vpc", 100)]
    {
        let (size, name) = (gib << 30, &format!("{qemus}-{gib}"));
        let extents: Vec<Range<u64>> =
            [0, size / 3, size - 4096].map(|at| at / 4096 * 4096).map(|at| at..at + 4096).to_vec();
        let image = scene.image(&format!("{name}.source"), size, 4 << 20).await;
        for extent in &extents {
            image.write(extent.start, vec![9; 4096].into()).await.unwrap();
        }
        let file = encode(format(qemus), size, &extents, [7; 16]).unwrap();
        let body = send_encoded(image, file.segments, SendOptions::default());
        let bytes: Vec<Bytes> = body.try_collect().await.unwrap();
        std::fs::write(scene.path().join(name), bytes.concat()).unwrap();
        if qemus != "vpc" {
            qemu_img(scene.path(), &["check", "-q", "-f", qemus, name]);
        }
        for extent in extents {
            let read = format!("read -P 9 {} 4096", extent.start);
            super::bases::qemu_io(scene.path(), qemus, name, &[read]);
            if extent.start > 0 {
                let read = format!("read -P 0 {} 4096", extent.start - 4096);
                super::bases::qemu_io(scene.path(), qemus, name, &[read]);
            }
        }
    }
}

#[test]
fn what_has_no_room_in_a_format_is_refused() {
    for (qemus, gib) in
        [("vpc", 2041u64), ("vmdk", 2048), ("qcow2", 65_537), ("vdi", 65_537), ("vhdx", 65_537)]
    {
        let made = encode(format(qemus), gib << 30, &[], [7; 16]);
        assert!(matches!(made, Err(Danger::TooLarge)), "{qemus}");
    }
}
