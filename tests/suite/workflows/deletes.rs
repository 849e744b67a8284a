//! No order of deletes leaves anything behind.

use std::sync::Arc;

use pumice::block::{BlockStore, ErrorKind, OpenMode, Progress};
use pumice::config::Config;
use pumice::jobs::{Fault, Faults, Moment, NoFaults, Run, VolumeSource};
use pumice::model::{ImageStatus, JobState, VolumeId, VolumeStatus};
use pumice::workflows::names;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::refusals::reluctant_images;
use super::{DeathAt, house, on_every_store, pattern, snapshots};
use crate::house::{DatabaseKind, House, StoreKind};
use crate::process::pools;

/// Trees of volumes, snapshots and clones, grown and cut at random, sometimes many cuts at once.
async fn random_trees_leave_nothing(store: StoreKind) {
    random_trees(store, DatabaseKind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_trees_leave_nothing_with_postgresql() {
    random_trees(StoreKind::Directory, DatabaseKind::Postgres).await;
}

async fn random_trees(store: StoreKind, database: DatabaseKind) {
    let seeds = std::env::var("PUMICE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in seeds.map_or(0..4, |seed: u64| seed..seed + 1) {
        println!("PUMICE_TEST_SEED={seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let mut house = House::new(store, database).await;
        let image = house.upload(pattern(2_500_000, seed as u8)).await;
        house.volume(VolumeSource::Image { image_id: image.clone(), signed_by: None }, 1).await;
        for _ in 0..24 {
            act(&house, &mut random).await;
            if random.random_bool(0.6) {
                house.settle().await;
                house.assert_settled().await;
            }
        }
        house.settle().await;
        if random.random_bool(0.5) {
            house.delete_image(&image).await;
            house.settle().await;
        }
        for volume in house.volumes().await {
            assert_ne!(volume.status, VolumeStatus::ErrorDeleting, "{:?}", house.last_job(&volume.id).await);
        }
        house.assert_nothing_is_left().await;
        house.stop().await;
    }
}

async fn act(house: &House, random: &mut StdRng) {
    let volumes = house.volumes().await;
    let ready: Vec<&VolumeId> =
        volumes.iter().filter(|v| v.status == VolumeStatus::Available).map(|v| &v.id).collect();
    let snapshots = house.snapshots().await;
    let image = house.images().await.into_iter().find(|image| image.status == ImageStatus::Active);
    match (random.random_range(0..10), ready.choose(random)) {
        (0, _) => {
            house.create_volume(VolumeSource::Empty, 1).await;
        }
        (1, _) => {
            if let Some(image) = image {
                house.create_volume(VolumeSource::Image { image_id: image.id, signed_by: None }, 1).await;
            }
        }
        (2 | 3, Some(volume)) => {
            house.create_volume(VolumeSource::Volume { volume_id: (*volume).clone() }, 1).await;
        }
        (4, Some(volume)) => {
            house.create_snapshot(volume).await;
        }
        (5, _) => {
            if let Some(snapshot) = snapshots.choose(random)
                && snapshot.status.is_settled()
                && house.volume_status(&snapshot.volume_id).await == Some(VolumeStatus::Available)
            {
                let source = VolumeSource::Snapshot {
                    snapshot_id: snapshot.id.clone(),
                    volume_id: snapshot.volume_id.clone(),
                };
                house.create_volume(source, 1).await;
            }
        }
        (6, _) => {
            if let Some(snapshot) = snapshots.choose(random) {
                house.delete_snapshot(&snapshot.id).await;
            }
        }
        (_, Some(_)) => {
            // Also those that are being made.
            if let Some(volume) = volumes.choose(random) {
                house.delete_volume(&volume.id).await;
            }
        }
        (_, None) => {}
    }
}

/// The order in which Cinder leaves `volume-A.deleted` behind for ever.
async fn source_first_then_clone(store: StoreKind) {
    let mut house = house(store).await;
    let first = house.volume(VolumeSource::Empty, 1).await;
    house.write(&first, 0, &pattern(9_000, 1)).await;
    let second = house.clone_of(&first).await;
    let third = house.clone_of(&second).await;
    assert!(house.delete_volume(&first).await);
    assert!(house.delete_volume(&second).await);
    house.settle().await;
    assert_eq!(house.volume_status(&first).await, None);
    assert_eq!(house.read(&third, 0, 9_000).await, pattern(9_000, 1));
    assert!(house.delete_volume(&third).await);
    house.settle().await;
    assert_eq!(house.on_pools().await, Vec::<String>::new());
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// The flattened source is cut loose, and whoever was kept for it goes.
async fn clones_too_deep_flatten_their_source(store: StoreKind) {
    let mut house = house(store).await;
    let mut chain = vec![house.volume(VolumeSource::Empty, 1).await];
    house.write(&chain[0], 8_000_000, &pattern(9_000, 7)).await;
    for _ in 0..7 {
        let clone = house.clone_of(chain.last().unwrap()).await;
        chain.push(clone);
    }
    for volume in &chain {
        assert_eq!(house.read(volume, 8_000_000, 9_000).await, pattern(9_000, 7));
    }
    // The sixth clone's source was five clones deep: it stands on its own now.
    let name = names::volume(&chain[5]);
    let image = house.stores.volumes.first().store.open(&name, OpenMode::ReadOnly).await.unwrap();
    assert_eq!(image.parent().await.unwrap(), None);
    image.close().await.unwrap();
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// An instance that runs from a clone of a clone keeps all of its bytes, whatever is deleted meanwhile.
async fn a_snapshot_goes_and_its_clones_do_not_notice(store: StoreKind) {
    let mut house = house(store).await;
    let bytes = pattern(9_000, 5);
    let first = house.volume(VolumeSource::Empty, 1).await;
    house.write(&first, 8_000_000, &bytes).await;
    let snapshot = house.snapshot(&first).await;
    let source = VolumeSource::Snapshot { snapshot_id: snapshot.clone(), volume_id: first.clone() };
    let second = house.volume(source, 1).await;
    let third = house.clone_of(&second).await;
    let place = house.stores.volumes.first().store.clone();
    let opened = place.open(&names::volume(&third), OpenMode::ReadWrite).await.unwrap();
    assert!(house.delete_snapshot(&snapshot).await);
    house.settle().await;
    assert_eq!(house.snapshot_status(&snapshot).await, None);
    assert_eq!(&opened.read(8_000_000, 9_000).await.unwrap()[..], bytes);
    assert!(house.delete_volume(&first).await);
    house.settle().await;
    assert_eq!(house.volume_status(&first).await, None);
    assert_eq!(&opened.read(8_000_000, 9_000).await.unwrap()[..], bytes);
    opened.close().await.unwrap();
    drop(opened);
    assert_eq!(house.read(&third, 8_000_000, 9_000).await, bytes);
    assert_eq!(house.read(&second, 8_000_000, 9_000).await, bytes);
    assert!(house.delete_volume(&second).await);
    assert!(house.delete_volume(&third).await);
    house.settle().await;
    assert_eq!(house.on_pools().await, Vec::<String>::new());
    house.sweep().await;
    house.stop().await;
}

/// The process dies when the volume is removed and what it hung on is not; by its row it was made from a snapshot, which
/// is gone.
async fn a_crash_leaves_nothing_of_a_deleted_snapshot(store: StoreKind) {
    let death = Arc::new(DeathAt::new("delete_volume", Moment::After("remove")));
    let mut house = House::with(store, DatabaseKind::Sqlite, Config::default(), death.clone()).await;
    let first = house.volume(VolumeSource::Empty, 1).await;
    let snapshot = house.snapshot(&first).await;
    let source = VolumeSource::Snapshot { snapshot_id: snapshot.clone(), volume_id: first.clone() };
    let clone = house.volume(source, 1).await;
    assert!(house.delete_snapshot(&snapshot).await);
    house.settle().await;
    assert!(house.delete_volume(&clone).await);
    death.comes().await;
    house.stop().await;
    house.start(Arc::new(NoFaults)).await;
    house.settle().await;
    assert_eq!(house.volume_status(&clone).await, None);
    assert_eq!(house.sweeper().sweep().await.unwrap(), 0);
    assert_eq!(snapshots(&house, &first).await, Vec::<String>::new());
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// A process died while it removed what had been kept for the last clone, and with it the clone.
async fn a_removal_of_what_was_kept_broke_off(store: StoreKind) {
    let mut house = house(store).await;
    let first = house.volume(VolumeSource::Empty, 1).await;
    house.write(&first, 0, &pattern(9_000, 1)).await;
    let second = house.clone_of(&first).await;
    house.write(&second, 0, &pattern(9_000, 2)).await;
    let third = house.clone_of(&second).await;
    assert!(house.delete_volume(&first).await);
    assert!(house.delete_volume(&second).await);
    house.settle().await;
    let place = house.stores.volumes.first().store.clone();
    let kept = names::deleted(&names::volume(&second));
    place.remove(&names::volume(&third), &Progress::new()).await.unwrap();
    let open = place.open(&kept, OpenMode::ReadWrite).await.unwrap();
    for snapshot in open.snapshots().await.unwrap() {
        open.unprotect_snapshot(&snapshot.name).await.unwrap();
        open.remove_snapshot(&snapshot.name).await.unwrap();
    }
    open.close().await.unwrap();
    let id = pools::leave_half_removed(place.pool(), &kept, pools::Died::AtTheData);
    assert!(house.delete_volume(&third).await);
    house.settle().await;
    assert_eq!(house.on_pools().await, Vec::<String>::new());
    assert!(!pools::objects(place.pool()).contains(&format!("rbd_header.{id}")));
    house.sweep().await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_of_what_was_kept_broke_off_with_clone_format_1() {
    a_removal_of_what_was_kept_broke_off(StoreKind::RbdV1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_of_what_was_kept_broke_off_with_clone_format_2() {
    a_removal_of_what_was_kept_broke_off(StoreKind::RbdV2).await;
}

/// The process dies when the clone is removed and its snapshot is not; meanwhile what it hung on is unmanaged, and gets
/// another name when it is managed again.
async fn a_clone_that_went_meanwhile_leaves_no_snapshot(store: StoreKind) {
    let death = Arc::new(DeathAt::new("delete_volume", Moment::After("remove")));
    let mut house = House::with(store, DatabaseKind::Sqlite, Config::default(), death.clone()).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let [clone, other] = [house.clone_of(&volume).await, house.clone_of(&volume).await];
    house.unmanage_volume(&volume).await;
    house.settle().await;
    assert!(house.delete_volume(&clone).await);
    death.comes().await;
    house.stop().await;
    let managed = house.manage_volume(&names::volume(&volume), 1).await;
    let place = house.stores.volumes.first().store.clone();
    // As far as the managing came when the deletion went on.
    place.rename(&names::volume(&volume), &names::volume(&managed)).await.unwrap();
    house.start(Arc::new(NoFaults)).await;
    house.settle().await;
    assert_eq!(house.volume_status(&clone).await, None);
    assert_eq!(house.volume_status(&managed).await, Some(VolumeStatus::Available));
    assert_eq!(snapshots(&house, &managed).await, [names::clone_snapshot(&other)]);
    assert!(house.delete_volume(&other).await);
    house.settle().await;
    assert_eq!(snapshots(&house, &managed).await, Vec::<String>::new());
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// Its row does not say that it is a clone.
async fn a_clone_that_was_managed_takes_its_snapshot_along(store: StoreKind) {
    let mut house = house(store).await;
    let first = house.volume(VolumeSource::Empty, 1).await;
    let clone = house.clone_of(&first).await;
    house.unmanage_volume(&clone).await;
    house.settle().await;
    let managed = house.manage_volume(&names::volume(&clone), 1).await;
    house.settle().await;
    assert_eq!(house.volume_status(&managed).await, Some(VolumeStatus::Available));
    house.sweeper().sweep().await.unwrap();
    assert_eq!(snapshots(&house, &first).await, [names::clone_snapshot(&clone)]);
    assert!(house.delete_volume(&managed).await);
    house.settle().await;
    assert_eq!(house.sweeper().sweep().await.unwrap(), 0);
    assert_eq!(snapshots(&house, &first).await, Vec::<String>::new());
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn an_image_in_use(store: StoreKind) {
    let mut house = house(store).await;
    let image = house.upload(pattern(2_000_000, 3)).await;
    let volume = house.volume(VolumeSource::Image { image_id: image.clone(), signed_by: None }, 1).await;
    assert_eq!(house.read(&volume, 0, 2_000_000).await, pattern(2_000_000, 3));
    assert!(house.delete_image(&image).await);
    house.settle().await;
    let job = house.last_job(&image).await.unwrap();
    if store == StoreKind::RbdV2 {
        assert_eq!(house.image_status(&image).await, None);
        assert_eq!(house.read(&volume, 0, 2_000_000).await, pattern(2_000_000, 3));
        assert_eq!(house.on_pools().await.len(), 2, "the volume, and the image's bytes in the trash");
    } else {
        assert_eq!(job.state, JobState::Failed);
        assert_eq!(house.image_status(&image).await, Some(ImageStatus::Active));
        // Nothing was changed: it can still be cloned.
        house.volume(VolumeSource::Image { image_id: image.clone(), signed_by: None }, 1).await;
    }
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// It fails when what was staged is gone.
struct FailAfterUnstaging;

impl Faults for FailAfterUnstaging {
    fn at(&self, run: &Run, moment: Moment) -> Fault {
        let is_now = run.kind == "delete_image" && moment == Moment::Before("purge");
        if is_now { Fault::Fail } else { Fault::None }
    }
}

async fn an_image_without_its_staged_bytes_is_not_as_it_was(store: StoreKind) {
    let faults = Arc::new(FailAfterUnstaging);
    let mut house = House::with(store, DatabaseKind::Sqlite, Config::default(), faults).await;
    let image = house.stage(pattern(300_000, 4)).await;
    assert!(house.delete_image(&image).await);
    house.settle().await;
    assert_eq!(house.last_job(&image).await.unwrap().state, JobState::Failed);
    assert_eq!(house.image_status(&image).await, None);
    house.sweep().await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// The sweeper takes away what the deletion could not.
#[tokio::test(flavor = "multi_thread")]
async fn staged_bytes_that_a_deletion_left_are_swept() {
    let (mut house, store) = reluctant_images(1).await;
    let image = house.stage(pattern(300_000, 5)).await;
    // Nothing has the image's own name.
    store.refuse_removals([ErrorKind::NotFound, ErrorKind::Io]);
    assert!(house.delete_image(&image).await);
    house.settle().await;
    assert_eq!(house.last_job(&image).await.unwrap().state, JobState::Failed);
    assert_eq!(house.image_status(&image).await, None);
    assert_eq!(store.list().await.unwrap(), [names::staged(&image)]);
    house.sweep().await;
    assert_eq!(store.list().await.unwrap(), Vec::<String>::new());
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn a_volume_open_elsewhere_stays(store: StoreKind) {
    let mut config = Config::default();
    config.jobs.max_attempts = 3;
    let mut house = House::with(store, DatabaseKind::Sqlite, config, Arc::new(NoFaults)).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let user =
        house.stores.volumes.first().store.open(&names::volume(&volume), OpenMode::ReadWrite).await.unwrap();
    user.write(0, bytes::Bytes::from_static(b"mine")).await.unwrap();
    assert!(house.delete_volume(&volume).await);
    house.settle().await;
    assert_eq!(house.volume_status(&volume).await, Some(VolumeStatus::Available));
    let job = house.last_job(&volume).await.unwrap();
    assert_eq!(job.error.as_deref(), Some("The storage is in use by somebody else."));
    assert_eq!(&user.read(0, 4).await.unwrap()[..], b"mine");
    user.close().await.unwrap();
    drop(user);
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn a_volume_whose_image_is_gone_can_be_deleted(store: StoreKind) {
    let mut house = house(store).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let progress = pumice::block::Progress::new();
    house.stores.volumes.first().store.remove(&names::volume(&volume), &progress).await.unwrap();
    assert!(house.delete_volume(&volume).await);
    house.settle().await;
    assert_eq!(house.volume_status(&volume).await, None);
    house.stop().await;
}

/// Snapshots that a backup service left are not the user's: they go with the volume.
async fn backup_snapshots_go_first(store: StoreKind) {
    let mut house = house(store).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let image =
        house.stores.volumes.first().store.open(&names::volume(&volume), OpenMode::ReadWrite).await.unwrap();
    image.create_snapshot("backup.0f4c.snap.1700000000.12").await.unwrap();
    image.close().await.unwrap();
    drop(image);
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn a_foreign_snapshot_is_not_destroyed(store: StoreKind) {
    let mut house = house(store).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let name = names::volume(&volume);
    let image = house.stores.volumes.first().store.open(&name, OpenMode::ReadWrite).await.unwrap();
    image.create_snapshot("by-hand").await.unwrap();
    image.close().await.unwrap();
    drop(image);
    assert!(house.delete_volume(&volume).await);
    house.settle().await;
    assert_eq!(house.volume_status(&volume).await, Some(VolumeStatus::Available));
    let image = house.stores.volumes.first().store.open(&name, OpenMode::ReadWrite).await.unwrap();
    image.remove_snapshot("by-hand").await.unwrap();
    image.close().await.unwrap();
    drop(image);
    house.assert_nothing_is_left().await;
    house.stop().await;
}

on_every_store!(
    random_trees_leave_nothing,
    source_first_then_clone,
    clones_too_deep_flatten_their_source,
    a_snapshot_goes_and_its_clones_do_not_notice,
    a_crash_leaves_nothing_of_a_deleted_snapshot,
    a_clone_that_was_managed_takes_its_snapshot_along,
    a_clone_that_went_meanwhile_leaves_no_snapshot,
    an_image_in_use,
    an_image_without_its_staged_bytes_is_not_as_it_was,
    a_volume_open_elsewhere_stays,
    a_volume_whose_image_is_gone_can_be_deleted,
    backup_snapshots_go_first,
    a_foreign_snapshot_is_not_destroyed,
);
