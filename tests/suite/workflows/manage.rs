//! Volumes that go back to a snapshot, and what comes from the pool and stays there.

use std::sync::Arc;

use pumice::block::OpenMode;
use pumice::config::Config;
use pumice::jobs::{Fault, Faults, Moment, Run, VolumeSource};
use pumice::model::{GIB, JobState, SnapshotStatus, VolumeStatus};
use pumice::workflows::names;

use super::{HoldBefore, house, on_every_store, pattern};
use crate::house::{DatabaseKind, House, StoreKind};

async fn a_reverted_volume_has_the_bytes_of_its_snapshot(store: StoreKind) {
    let mut house = house(store).await;
    let origin = house.volume(VolumeSource::Empty, 1).await;
    house.write(&origin, 8_000_000, &pattern(9_000, 1)).await;
    // A clone, so that some of its bytes are its parent's.
    let volume = house.clone_of(&origin).await;
    house.write(&volume, 0, &pattern(9_000, 2)).await;
    let snapshot = house.snapshot(&volume).await;
    let source = VolumeSource::Snapshot { snapshot_id: snapshot.clone(), volume_id: volume.clone() };
    let clone = house.volume(source, 1).await;
    house.write(&volume, 0, &pattern(9_000, 3)).await;
    house.write(&volume, 8_000_000, &pattern(9_000, 4)).await;
    house.revert(&volume, &snapshot).await;
    house.settle().await;
    assert_eq!(house.volume_status(&volume).await, Some(VolumeStatus::Available));
    assert_eq!(house.snapshot_status(&snapshot).await, Some(SnapshotStatus::Available));
    for volume in [&volume, &clone] {
        assert_eq!(house.read(volume, 0, 9_000).await, pattern(9_000, 2));
        assert_eq!(house.read(volume, 8_000_000, 9_000).await, pattern(9_000, 1));
    }
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// The bytes are neither here nor there then: nobody may take them for whole.
async fn a_volume_that_cannot_go_back_is_in_error(store: StoreKind) {
    let mut house = house(store).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let snapshot = house.snapshot(&volume).await;
    let image =
        house.stores.volumes.first().store.open(&names::volume(&volume), OpenMode::ReadWrite).await.unwrap();
    image.unprotect_snapshot(&names::snapshot(&snapshot)).await.unwrap();
    image.remove_snapshot(&names::snapshot(&snapshot)).await.unwrap();
    image.close().await.unwrap();
    drop(image);
    house.revert(&volume, &snapshot).await;
    house.settle().await;
    assert_eq!(house.volume_status(&volume).await, Some(VolumeStatus::Error));
    assert_eq!(house.snapshot_status(&snapshot).await, Some(SnapshotStatus::Available));
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn an_image_becomes_a_volume_and_an_image_again(store: StoreKind) {
    let mut house = house(store).await;
    let disk = house.lay(1).await;
    let image = house.stores.volumes.first().store.open(&disk, OpenMode::ReadWrite).await.unwrap();
    image.write(0, pattern(9_000, 5).into()).await.unwrap();
    image.create_snapshot("by-hand").await.unwrap();
    image.close().await.unwrap();
    drop(image);
    let volume = house.manage_volume(&disk, 1).await;
    house.settle().await;
    assert_eq!(house.volume_status(&volume).await, Some(VolumeStatus::Available));
    assert_eq!(house.read(&volume, 0, 9_000).await, pattern(9_000, 5));
    let snapshot = house.manage_snapshot(&volume, "by-hand").await;
    house.settle().await;
    assert_eq!(house.snapshot_status(&snapshot).await, Some(SnapshotStatus::Available));
    // As good as one that was taken here.
    let source = VolumeSource::Snapshot { snapshot_id: snapshot.clone(), volume_id: volume.clone() };
    let clone = house.volume(source, 1).await;
    assert_eq!(house.read(&clone, 0, 9_000).await, pattern(9_000, 5));
    assert!(house.delete_volume(&clone).await);
    house.settle().await;
    house.unmanage_snapshot(&snapshot).await;
    house.settle().await;
    assert_eq!(house.snapshot_status(&snapshot).await, None);
    house.unmanage_volume(&volume).await;
    house.settle().await;
    assert_eq!(house.volume_status(&volume).await, None);
    let image =
        house.stores.volumes.first().store.open(&names::volume(&volume), OpenMode::ReadOnly).await.unwrap();
    assert_eq!(&image.read(0, 9_000).await.unwrap()[..], pattern(9_000, 5));
    let found = image.snapshots().await.unwrap();
    assert_eq!((found[0].name.as_str(), found[0].protected), (names::snapshot(&snapshot).as_str(), false));
    image.close().await.unwrap();
    drop(image);
    house.clear_by_hand().await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn an_image_that_is_not_as_it_was_keeps_its_name(store: StoreKind) {
    let mut house = house(store).await;
    let disk = house.lay(2).await;
    for source in [disk.as_str(), "none"] {
        let volume = house.manage_volume(source, 1).await;
        house.settle().await;
        assert_eq!(house.volume_status(&volume).await, Some(VolumeStatus::ErrorManaging));
        assert_eq!(house.last_job(&volume).await.unwrap().state, JobState::Failed);
        assert!(house.delete_volume(&volume).await);
        house.settle().await;
        assert_eq!(house.volume_status(&volume).await, None);
    }
    let image = house.stores.volumes.first().store.open(&disk, OpenMode::ReadOnly).await.unwrap();
    image.close().await.unwrap();
    drop(image);
    house.clear_by_hand().await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// What was found not to suit meanwhile cannot have its name again, for another image has that.
struct FailsLate(Arc<HoldBefore>);

impl Faults for FailsLate {
    fn at(&self, run: &Run, moment: Moment) -> Fault {
        self.0.at(run, moment);
        let is_now = run.kind == "manage_volume" && moment == Moment::Before("suit");
        if is_now { Fault::Fail } else { Fault::None }
    }
}

async fn an_image_that_lost_its_name_is_nobodys_to_delete(store: StoreKind) {
    let hold = HoldBefore::new("manage_volume", "suit");
    let faults = Arc::new(FailsLate(hold.clone()));
    let mut house = House::with(store, DatabaseKind::Sqlite, Config::default(), faults).await;
    let disk = house.lay(1).await;
    let pool = house.stores.volumes.first().store.clone();
    let image = pool.open(&disk, OpenMode::ReadWrite).await.unwrap();
    image.write(0, pattern(9_000, 5).into()).await.unwrap();
    image.close().await.unwrap();
    drop(image);
    let volume = house.manage_volume(&disk, 1).await;
    hold.begins().await;
    pool.create(&disk, GIB, 4 << 20).await.unwrap();
    hold.let_go();
    house.settle().await;
    assert_eq!(house.volume_status(&volume).await, Some(VolumeStatus::ErrorManaging));
    assert!(house.delete_volume(&volume).await);
    house.settle().await;
    assert_eq!(house.volume_status(&volume).await, None);
    let image = pool.open(&names::volume(&volume), OpenMode::ReadOnly).await.unwrap();
    assert_eq!(&image.read(0, 9_000).await.unwrap()[..], pattern(9_000, 5));
    image.close().await.unwrap();
    drop(image);
    house.clear_by_hand().await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// Two want it at once: one gets it, and the other's end leaves it be.
async fn an_image_becomes_one_volume_of_two(store: StoreKind) {
    let mut house = house(store).await;
    let disk = house.lay(1).await;
    let image = house.stores.volumes.first().store.open(&disk, OpenMode::ReadWrite).await.unwrap();
    image.write(0, pattern(9_000, 5).into()).await.unwrap();
    image.close().await.unwrap();
    drop(image);
    let (one, other) = tokio::join!(house.manage_volume(&disk, 1), house.manage_volume(&disk, 1));
    house.settle().await;
    let (won, lost) = match house.volume_status(&one).await {
        Some(VolumeStatus::Available) => (one, other),
        _ => (other, one),
    };
    assert_eq!(house.volume_status(&won).await, Some(VolumeStatus::Available));
    assert_eq!(house.volume_status(&lost).await, Some(VolumeStatus::ErrorManaging));
    assert!(house.delete_volume(&lost).await);
    house.settle().await;
    assert_eq!(house.volume_status(&lost).await, None);
    assert_eq!(house.read(&won, 0, 9_000).await, pattern(9_000, 5));
    house.assert_nothing_is_left().await;
    house.stop().await;
}

on_every_store!(
    a_reverted_volume_has_the_bytes_of_its_snapshot,
    a_volume_that_cannot_go_back_is_in_error,
    an_image_becomes_a_volume_and_an_image_again,
    an_image_that_is_not_as_it_was_keeps_its_name,
    an_image_that_lost_its_name_is_nobodys_to_delete,
    an_image_becomes_one_volume_of_two,
);
