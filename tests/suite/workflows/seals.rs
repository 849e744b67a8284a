//! An image is active before its snapshot is there. Whatever comes in between, a volume made from it is right, and
//! nothing is left of it once it is deleted.

use std::sync::Arc;
use std::time::Duration;

use pumice::block::OpenMode;
use pumice::config::Config;
use pumice::db::Image;
use pumice::jobs::{Fault, Faults, Moment, NoFaults, Origin, Run, VolumeSource};
use pumice::model::{ImageId, ImageStatus, JobState, VolumeId, VolumeStatus};
use pumice::workflows::{names, upload_image};
use serde_json::Value;

use super::{HoldBefore, house, on_every_store, pattern};
use crate::house::{DatabaseKind, House, StoreKind};
use crate::process::pools;

const LENGTH: usize = 2_000_000;

struct NoSeal;

impl Faults for NoSeal {
    fn at(&self, run: &Run, moment: Moment) -> Fault {
        let is_seal = run.kind == "seal_image" && moment == Moment::Before("snapshot");
        if is_seal { Fault::Fail } else { Fault::None }
    }
}

/// Active, by a process that ends before it makes the snapshot.
async fn left_unsealed(house: &mut House) -> ImageId {
    let id = house.queued_image().await;
    let uploader = house.uploader();
    house.stop().await;
    let body = futures::stream::iter([Ok::<_, std::io::Error>(pattern(LENGTH, 1).into())]);
    upload_image(uploader, id.clone(), Some(LENGTH as u64), body, Origin::default()).await.unwrap();
    assert_eq!(row(house, &id).await.status, ImageStatus::Active);
    assert_eq!(snapshots(house, &id).await, []);
    id
}

async fn row(house: &House, id: &ImageId) -> Image {
    house.database.read().await.unwrap().image(id).await.unwrap().unwrap()
}

/// Their names, and whether they are protected.
async fn snapshots(house: &House, id: &ImageId) -> Vec<(String, bool)> {
    let image = house.stores.images.open(id.as_str(), OpenMode::ReadOnly).await.unwrap();
    let snapshots = image.snapshots().await.unwrap();
    image.close().await.unwrap();
    snapshots.into_iter().map(|snapshot| (snapshot.name, snapshot.protected)).collect()
}

async fn assert_sealed(house: &House, id: &ImageId) {
    assert_eq!(snapshots(house, id).await, [(names::IMAGE_SNAPSHOT.to_owned(), true)]);
    let location = row(house, id).await.locations[0].url.clone().unwrap();
    assert_eq!(names::parse_location(&location).unwrap().image, id.as_str());
}

async fn create_volume(house: &House, image: &ImageId) -> VolumeId {
    house.create_volume(VolumeSource::Image { image_id: image.clone(), signed_by: None }, 1).await
}

async fn assert_volume(house: &House, id: &VolumeId) {
    assert_eq!(
        house.volume_status(id).await,
        Some(VolumeStatus::Available),
        "{:?}",
        house.last_job(id).await
    );
    assert_eq!(house.read(id, 0, LENGTH as u64).await, pattern(LENGTH, 1));
}

async fn a_volume_made_at_once(store: StoreKind) {
    let mut house = house(store).await;
    let image = house.upload(pattern(LENGTH, 1)).await;
    let volume = create_volume(&house, &image).await;
    house.settle().await;
    assert_sealed(&house, &image).await;
    assert_volume(&house, &volume).await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn a_process_that_dies_before_the_snapshot(store: StoreKind) {
    let mut house = house(store).await;
    let image = left_unsealed(&mut house).await;
    assert_eq!(row(&house, &image).await.locations[0].url, None);
    house.start(Arc::new(NoFaults)).await;
    house.settle().await;
    assert_sealed(&house, &image).await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn deleted_while_the_job_is_queued(store: StoreKind) {
    let mut house = house(store).await;
    let image = left_unsealed(&mut house).await;
    assert!(house.delete_image(&image).await);
    house.start(Arc::new(NoFaults)).await;
    house.settle().await;
    assert_eq!(house.image_status(&image).await, None);
    assert_eq!(house.on_pools().await, Vec::<String>::new());
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn deleted_while_the_job_runs(store: StoreKind) {
    let mut house = house(store).await;
    let image = house.upload(pattern(LENGTH, 1)).await;
    while house.last_job(&image).await.unwrap().state == JobState::Queued {
        tokio::task::yield_now().await;
    }
    assert!(house.delete_image(&image).await);
    house.settle().await;
    assert_eq!(house.image_status(&image).await, None);
    assert_eq!(house.on_pools().await, Vec::<String>::new());
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// What a process leaves that dies while librbd takes the snapshot: it is there, but its object map is not.
async fn half_a_snapshot(store: StoreKind) {
    let mut house = house(store).await;
    let image = left_unsealed(&mut house).await;
    let open = house.stores.images.open(image.as_str(), OpenMode::ReadWrite).await.unwrap();
    open.create_snapshot(names::IMAGE_SNAPSHOT).await.unwrap();
    open.close().await.unwrap();
    let pool = house.stores.images.pool();
    let info = pools::run("rbd", &["info", "--format", "json", &format!("{pool}/{image}")]);
    let info: Value = serde_json::from_str(&info).unwrap();
    let maps = format!("rbd_object_map.{}.", info["id"].as_str().unwrap());
    let objects = pools::objects(pool);
    let map = objects.iter().find(|object| object.starts_with(&maps)).unwrap();
    pools::run("rados", &["-p", pool, "rm", map]);

    house.start(Arc::new(NoFaults)).await;
    let volume = create_volume(&house, &image).await;
    house.settle().await;
    assert_sealed(&house, &image).await;
    assert_volume(&house, &volume).await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_snapshot_with_clone_format_1() {
    half_a_snapshot(StoreKind::RbdV1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_snapshot_with_clone_format_2() {
    half_a_snapshot(StoreKind::RbdV2).await;
}

/// Volumes make up for it, many at once, in two processes.
async fn a_job_that_fails(store: StoreKind) {
    let mut config = Config::default();
    config.jobs.workers = 2;
    let mut house = House::with(store, DatabaseKind::Postgres, config, Arc::new(NoSeal)).await;
    house.start(Arc::new(NoSeal)).await;
    let image = house.upload(pattern(LENGTH, 1)).await;
    house.settle().await;
    assert_eq!(house.last_job(&image).await.unwrap().state, JobState::Failed);
    assert_eq!(row(&house, &image).await.status, ImageStatus::Active);
    let mut volumes = Vec::new();
    for _ in 0..4 {
        volumes.push(create_volume(&house, &image).await);
    }
    house.settle().await;
    for volume in &volumes {
        assert_volume(&house, volume).await;
    }
    assert_sealed(&house, &image).await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// A request that changes an image's locations writes down those that it has read.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_said_of_a_place_is_not_overwritten() {
    let hold = HoldBefore::new("seal_image", "snapshot");
    let (store, database) = (StoreKind::Directory, DatabaseKind::Postgres);
    let mut house = House::with(store, database, Config::default(), hold.clone()).await;
    let image = house.upload(pattern(LENGTH, 1)).await;
    hold.begins().await;
    let mut repository = house.database.begin().await.unwrap();
    let read = repository.image_to_change(&image).await.unwrap().unwrap();
    assert_eq!(read.locations[0].url, None);
    hold.let_go();
    // The snapshot is made meanwhile.
    tokio::time::sleep(Duration::from_millis(500)).await;
    repository.set_locations(&image, &read.locations).await.unwrap();
    repository.commit().await.unwrap();
    house.settle().await;
    assert_sealed(&house, &image).await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

on_every_store!(
    a_volume_made_at_once,
    a_process_that_dies_before_the_snapshot,
    deleted_while_the_job_is_queued,
    deleted_while_the_job_runs,
    a_job_that_fails,
);
