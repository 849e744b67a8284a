//! Places that answer nobody any more, or are not configured any more: what was asked of them comes to an end, and
//! what is elsewhere does not wait for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use pumice::block::{Backends, BlockStore, Stores};
use pumice::config::Config;
use pumice::db::Leftover;
use pumice::jobs::{Destination, ImportSource, Moment, NoFaults, VolumeSource};
use pumice::model::{ImageStatus, JobState, MigrationStatus, SnapshotStatus, VolumeStatus};
use pumice::workflows::names;

use super::imports::{copy_to_second, stores_of};
use super::moves::{FIRST, SECOND};
use super::{DeathAt, pattern};
use crate::house::reluctant::Reluctant;
use crate::house::{DatabaseKind, House, StoreKind};

/// With a third backend, so that hosts have a meaning also without the first.
async fn house_of_three(death: DeathAt) -> (House, Arc<DeathAt>) {
    let (mut stores, keep) = StoreKind::Directory.make().await;
    stores.volumes = stores.volumes.and("third", stores.images.clone());
    let death = Arc::new(death);
    let house = House::on((stores, keep), DatabaseKind::Sqlite, Config::default(), death.clone()).await;
    (house, death)
}

fn without_the_first(stores: &Stores) -> Stores {
    let others = ["third", SECOND].map(|name| stores.volumes.named(name).unwrap().store.clone());
    let [third, second] = others;
    let volumes = Backends::one("third", third).and(SECOND, second);
    // Its pool is that of the second store for images.
    Stores { volumes, more_images: BTreeMap::new(), ..stores.clone() }
}

/// In which a step is tried twice.
fn impatient() -> Config {
    let mut config = Config::default();
    config.jobs.max_attempts = 2;
    config
}

/// With a second backend that can fall silent.
async fn house_with_silent_backend() -> (House, Arc<Reluctant>) {
    let (mut stores, keep) = StoreKind::Directory.make().await;
    let second = Reluctant::before(stores.volumes.named(SECOND).unwrap().store.clone());
    stores.volumes = Backends::one(FIRST, stores.volumes.first().store.clone()).and(SECOND, second.clone());
    let house = House::on((stores, keep), DatabaseKind::Sqlite, impatient(), Arc::new(NoFaults)).await;
    (house, second)
}

/// Likewise, a second store for images.
async fn house_with_silent_images() -> (House, Arc<Reluctant>) {
    let (mut stores, keep) = StoreKind::Directory.make().await;
    let second = Reluctant::before(stores.volumes.named(SECOND).unwrap().store.clone());
    stores.more_images.insert("second".to_owned(), second.clone());
    let house = House::on((stores, keep), DatabaseKind::Sqlite, impatient(), Arc::new(NoFaults)).await;
    (house, second)
}

/// It was told that its volume has arrived, and takes the place out of the configuration.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_volume_left_waits_for_its_backend() {
    let (mut house, death) = house_of_three(DeathAt::new("migrate_volume", Moment::Before("leave"))).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    house.write(&volume, 0, &pattern(9_000, 41)).await;
    house.migrate(&volume, SECOND).await;
    death.comes().await;
    house.stop().await;
    let all = house.stores.clone();
    house.stores = without_the_first(&all);
    house.start(Arc::new(NoFaults)).await;
    house.settle().await;
    assert_eq!(house.last_job(&volume).await.unwrap().state, JobState::Done);
    assert_eq!(house.sweeper().sweep().await.unwrap(), 1);
    let left = Leftover { pool: all.volumes.first().store.pool().to_owned(), name: names::volume(&volume) };
    assert!(house.database.read().await.unwrap().has_leftover(&left).await.unwrap());
    house.stop().await;
    house.stores = all;
    house.start(Arc::new(NoFaults)).await;
    house.sweep().await;
    assert_eq!(house.stores.volumes.first().store.list().await.unwrap(), Vec::<String>::new());
    house.assert_lies_in(SECOND, &volume, 0, &pattern(9_000, 41)).await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// Whatever is asked of a volume there ends, and is repeated when the backend is back.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_in_a_backend_that_is_not_configured_end() {
    let death = DeathAt::new("delete_snapshot", Moment::After("unprotect"));
    let (mut house, death) = house_of_three(death).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let kept = house.snapshot(&volume).await;
    assert!(house.delete_snapshot(&kept).await);
    death.comes().await;
    house.stop().await;
    let all = house.stores.clone();
    house.stores = without_the_first(&all);
    let new = house.create_snapshot(&volume).await;
    let clone = house.create_volume(VolumeSource::Volume { volume_id: volume.clone() }, 1).await;
    let image = house.upload_volume(&volume).await;
    house.start(Arc::new(NoFaults)).await;
    house.settle().await;
    assert_eq!(house.snapshot_status(&kept).await, Some(SnapshotStatus::ErrorDeleting));
    assert_eq!(house.snapshot_status(&new).await, Some(SnapshotStatus::Error));
    assert_eq!(house.volume_status(&clone).await, Some(VolumeStatus::Error));
    assert_eq!(house.image_status(&image).await, None);
    assert_eq!(house.volume_status(&volume).await, Some(VolumeStatus::Available));
    house.stop().await;
    house.stores = all;
    house.start(Arc::new(NoFaults)).await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// It is whole where it was, and the beginning of a copy goes as soon as that can be asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_volume_does_not_wait_for_where_it_was_to_go() {
    let (mut house, second) = house_with_silent_backend().await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    house.write(&volume, 0, &pattern(9_000, 42)).await;
    let before = house.row(&volume).await;
    let of = house.limited_type(&[("total_iops_sec", "1")]).await;
    second.make_the_last();
    let to = Destination::Place { host: house.place(SECOND), zone: "nova".into() };
    house.retype(&volume, &of, to).await;
    house.settle().await;
    let job = house.last_job(&volume).await.unwrap();
    assert_eq!((job.state, job.attempts), (JobState::Failed, 2), "{job:?}");
    let row = house.row(&volume).await;
    assert_eq!((row.status, row.migration_status), (VolumeStatus::Available, Some(MigrationStatus::Error)));
    assert_eq!(row.volume_type_id, before.volume_type_id);
    assert_eq!(house.sweeper().sweep().await.unwrap(), 1);
    second.answer_again();
    house.sweep().await;
    assert_eq!(second.list().await.unwrap(), Vec::<String>::new());
    house.assert_lies_in(FIRST, &volume, 0, &pattern(9_000, 42)).await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// The image is whole in the first store.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_does_not_wait_for_where_it_was_copied_to() {
    let (mut house, second) = house_with_silent_images().await;
    let bytes = pattern(300_000, 43);
    let image = house.upload(bytes.clone()).await;
    house.settle().await;
    second.make_the_last();
    house.import_to(&image, copy_to_second()).await;
    house.settle().await;
    assert_eq!(house.last_job(&image).await.unwrap().state, JobState::Failed);
    assert_eq!(stores_of(&house, &image).await, (vec![None], "second".to_owned()));
    let volume = house.volume(VolumeSource::Image { image_id: image.clone(), signed_by: None }, 1).await;
    assert!(house.read(&volume, 0, bytes.len() as u64).await == bytes);
    second.answer_again();
    assert_eq!(second.list().await.unwrap(), [image.as_str()]);
    house.sweeper().sweep().await.unwrap();
    house.settle().await;
    assert_eq!(second.list().await.unwrap(), Vec::<String>::new());
    // What is left there is in nobody's way.
    second.make_the_last();
    house.import_to(&image, copy_to_second()).await;
    house.settle().await;
    second.answer_again();
    house.import_to(&image, copy_to_second()).await;
    house.settle().await;
    assert_eq!(house.sweeper().sweep().await.unwrap(), 0);
    assert_eq!(stores_of(&house, &image).await, (vec![None, Some("second".to_owned())], String::new()));
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// An import for which one store is enough, whenever the other one falls silent.
#[tokio::test(flavor = "multi_thread")]
async fn one_store_that_answers_is_enough() {
    let (mut house, second) = house_with_silent_images().await;
    let bytes = pattern(300_000, 44);
    for from_the_beginning in [true, false] {
        let image = house.stage(bytes.clone()).await;
        if from_the_beginning {
            second.fall_silent();
        } else {
            second.make_the_last();
        }
        house.import_twice(&image, ImportSource::Staged, false).await;
        house.settle().await;
        let job = house.last_job(&image).await.unwrap();
        assert_eq!((job.state, job.attempts), (JobState::Done, 2), "{job:?}");
        assert_eq!(house.image_status(&image).await, Some(ImageStatus::Active));
        assert_eq!(stores_of(&house, &image).await, (vec![None], "second".to_owned()));
        let volume = house.volume(VolumeSource::Image { image_id: image.clone(), signed_by: None }, 1).await;
        assert!(house.read(&volume, 0, bytes.len() as u64).await == bytes);
        second.answer_again();
        house.sweeper().sweep().await.unwrap();
        house.settle().await;
        assert_eq!(second.list().await.unwrap(), Vec::<String>::new());
        assert_eq!(house.sweeper().sweep().await.unwrap(), 0);
    }
    // All of them are needed, or none answers: it can be repeated.
    for (all_must_succeed, fails_in_both) in [(true, false), (false, true)] {
        let image = house.stage(bytes.clone()).await;
        if fails_in_both {
            house.stores.images.create(image.as_str(), 4096, 1 << 20).await.unwrap();
            second.fall_silent();
        } else {
            second.make_the_last();
        }
        house.import_twice(&image, ImportSource::Staged, all_must_succeed).await;
        house.settle().await;
        assert_eq!(house.image_status(&image).await, Some(ImageStatus::Queued));
        assert_eq!(stores_of(&house, &image).await, (Vec::new(), "default,second".to_owned()));
        second.answer_again();
        if fails_in_both {
            house.stores.images.remove(image.as_str(), &pumice::block::Progress::new()).await.unwrap();
        }
        assert!(house.delete_image(&image).await);
        house.settle().await;
        assert_eq!(second.list().await.unwrap(), Vec::<String>::new());
    }
    house.assert_nothing_is_left().await;
    house.stop().await;
}
