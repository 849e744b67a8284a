//! What jobs leave behind, on every store: after each fault at each step, and after any order of deletes.

mod attachments;
mod bytes;
mod cancels;
mod deletes;
mod figures;
mod generic;
pub mod imports;
mod lost_places;
mod manage;
mod messages;
mod moves;
pub mod nova;
mod refusals;
mod remote;
mod replication;
mod seals;
mod swaps;
mod uploads;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use pumice::block::OpenMode;
use pumice::jobs::{Fault, Faults, Moment, Run};
use pumice::model::VolumeId;
use pumice::workflows::names;

use crate::house::{DatabaseKind, House, StoreKind};

/// Each case becomes a test per store.
macro_rules! on_every_store {
    ($($case:ident),* $(,)?) => {
        mod directory {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case($crate::house::StoreKind::Directory).await;
            })*
        }
        mod rbd_clone_v1 {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case($crate::house::StoreKind::RbdV1).await;
            })*
        }
        mod rbd_clone_v2 {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case($crate::house::StoreKind::RbdV2).await;
            })*
        }
    };
}
use on_every_store;

async fn house(store: StoreKind) -> House {
    House::new(store, DatabaseKind::Sqlite).await
}

/// The process dies at this moment of the first job of this kind.
struct DeathAt {
    kind: &'static str,
    moment: Moment,
    has_come: AtomicBool,
}

impl DeathAt {
    fn new(kind: &'static str, moment: Moment) -> Self {
        Self { kind, moment, has_come: AtomicBool::new(false) }
    }

    async fn comes(&self) {
        is_set(&self.has_come).await;
    }
}

/// A job waits before a step until it is let go.
struct HoldBefore {
    kind: &'static str,
    step: &'static str,
    begun: AtomicUsize,
    goes_on: AtomicBool,
}

impl HoldBefore {
    fn new(kind: &'static str, step: &'static str) -> Arc<Self> {
        Arc::new(Self { kind, step, begun: AtomicUsize::new(0), goes_on: AtomicBool::new(false) })
    }

    async fn begins(&self) {
        becomes(|| self.begun.load(Ordering::SeqCst) > 0).await;
    }

    fn let_go(&self) {
        self.goes_on.store(true, Ordering::SeqCst);
    }
}

impl Faults for HoldBefore {
    fn at(&self, run: &Run, moment: Moment) -> Fault {
        if run.kind == self.kind && moment == Moment::Before(self.step) {
            self.begun.fetch_add(1, Ordering::SeqCst);
            tokio::task::block_in_place(|| {
                while !self.goes_on.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
        }
        Fault::None
    }
}

async fn is_set(flag: &AtomicBool) {
    becomes(|| flag.load(Ordering::SeqCst)).await;
}

async fn becomes(so: impl Fn() -> bool) {
    let become_so = tokio::time::timeout(Duration::from_secs(60), async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    become_so.await.unwrap();
}

impl Faults for DeathAt {
    fn at(&self, run: &Run, moment: Moment) -> Fault {
        let is_now = run.kind == self.kind && moment == self.moment;
        if is_now && !self.has_come.swap(true, Ordering::SeqCst) { Fault::Crash } else { Fault::None }
    }
}

/// Bytes that differ from place to place: lines, each with its number at its end. Much of what tests compute is this,
/// and they are not optimised: it is copied a line at a time.
fn pattern(length: usize, seed: u8) -> Vec<u8> {
    let line: Vec<u8> = (0..504).map(|i| (i / 7) as u8 ^ seed).collect();
    let mut bytes = Vec::with_capacity(length + 512);
    while bytes.len() < length {
        let number = bytes.len() / 512;
        bytes.extend_from_slice(&line);
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A disk that begins with these bytes, as an image of another format than raw.
pub fn disk_image(bytes: &[u8], format: &str, options: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("raw"), bytes).unwrap();
    let arguments = [&["convert", "-f", "raw", "-O", format], options, &["raw", "image"]].concat();
    crate::formats::bases::qemu_img(folder.path(), &arguments);
    std::fs::read(folder.path().join("image")).unwrap()
}

/// Of a volume, on its pool.
async fn snapshots(house: &House, volume: &VolumeId) -> Vec<String> {
    let image =
        house.stores.volumes.first().store.open(&names::volume(volume), OpenMode::ReadOnly).await.unwrap();
    let snapshots = image.snapshots().await.unwrap();
    image.close().await.unwrap();
    snapshots.into_iter().map(|snapshot| snapshot.name).collect()
}
