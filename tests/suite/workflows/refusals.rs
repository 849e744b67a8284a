//! What was not deleted is as it was, or does not say that it is available.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pumice::block::{Backends, BlockStore, ErrorKind, OpenMode};
use pumice::config::Config;
use pumice::db::VolumeReset;
use pumice::jobs::{Fault, Faults, Moment, NoFaults, Run, VolumeSource};
use pumice::model::{ImageStatus, JobState, VolumeId, VolumeStatus};
use pumice::workflows::names;

use super::imports::copy_to_second;
use super::moves::{FIRST, SECOND};
use super::{HoldBefore, house, is_set, pattern};
use crate::house::reluctant::Reluctant;
use crate::house::{DatabaseKind, House, StoreKind};

/// In which deletions are given up after so many attempts.
pub(super) async fn reluctant_house(attempts: u32) -> (House, Arc<Reluctant>) {
    let (mut stores, keep) = StoreKind::Directory.make().await;
    let store = Reluctant::before(stores.volumes.first().store.clone());
    let second = stores.volumes.named(SECOND).unwrap().store.clone();
    stores.volumes = Backends::one(FIRST, store.clone()).and(SECOND, second);
    let mut config = Config::default();
    config.jobs.max_attempts = attempts;
    let house = House::on((stores, keep), DatabaseKind::Sqlite, config, Arc::new(NoFaults)).await;
    (house, store)
}

async fn can_be_deleted_again(mut house: House, volume: &VolumeId) {
    assert!(house.delete_volume(volume).await);
    house.settle().await;
    assert_eq!(house.volume_status(volume).await, None);
    house.assert_nothing_is_left().await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_somebody_has_open_is_as_it_was() {
    let (house, store) = reluctant_house(1).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    house.write(&volume, 4096, &pattern(10_000, 1)).await;
    store.refuse_removals([ErrorKind::Busy]);
    assert!(house.delete_volume(&volume).await);
    house.settle().await;
    assert_eq!(house.volume_status(&volume).await, Some(VolumeStatus::Available));
    assert_eq!(house.read(&volume, 4096, 10_000).await, pattern(10_000, 1));
    can_be_deleted_again(house, &volume).await;
}

/// In a full pool its data go before it does.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_emptied_does_not_become_available() {
    let (house, store) = reluctant_house(2).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    house.write(&volume, 4096, &pattern(10_000, 2)).await;
    store.refuse_removals([ErrorKind::NoSpace, ErrorKind::NoSpace, ErrorKind::Busy]);
    assert!(house.delete_volume(&volume).await);
    house.settle().await;
    assert_eq!(house.volume_status(&volume).await, Some(VolumeStatus::ErrorDeleting));
    can_be_deleted_again(house, &volume).await;
}

/// It was put aside for its clone already.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_another_name_does_not_become_available() {
    let (house, store) = reluctant_house(1).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    house.clone_of(&volume).await;
    store.shut(Some(".deleted"));
    assert!(house.delete_volume(&volume).await);
    house.settle().await;
    assert_eq!(house.volume_status(&volume).await, Some(VolumeStatus::ErrorDeleting));
    store.shut(None);
    can_be_deleted_again(house, &volume).await;
}

/// The process dies at one moment, once.
struct Death(Moment, AtomicBool);

impl Faults for Death {
    fn at(&self, run: &Run, moment: Moment) -> Fault {
        let is_now = run.kind == "delete_volume" && moment == self.0;
        if is_now && !self.1.swap(true, Ordering::SeqCst) { Fault::Crash } else { Fault::None }
    }
}

/// A volume that an administrator calls available while its deletion waits for another process.
async fn reset_while_deleted(moment: Moment) -> (House, VolumeId) {
    let death = Arc::new(Death(moment, AtomicBool::new(false)));
    let mut house =
        House::with(StoreKind::Directory, DatabaseKind::Sqlite, Config::default(), death.clone()).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    house.write(&volume, 4096, &pattern(10_000, 3)).await;
    assert!(house.delete_volume(&volume).await);
    is_set(&death.1).await;
    house.stop().await;
    let reset = VolumeReset { status: Some(VolumeStatus::Available), migration_status: None };
    let mut repository = house.database.begin().await.unwrap();
    repository.reset_volume(&volume, &reset, house.world.now()).await.unwrap();
    repository.commit().await.unwrap();
    house.start(Arc::new(NoFaults)).await;
    house.settle().await;
    (house, volume)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_administrator_calls_available_stays() {
    let (house, volume) = reset_while_deleted(Moment::Before("remove")).await;
    assert_eq!(house.last_job(&volume).await.unwrap().state, JobState::Failed);
    assert_eq!(house.volume_status(&volume).await, Some(VolumeStatus::Available));
    assert_eq!(house.read(&volume, 4096, 10_000).await, pattern(10_000, 3));
    can_be_deleted_again(house, &volume).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_is_not_available_whatever_an_administrator_calls_it() {
    let (mut house, volume) = reset_while_deleted(Moment::After("remove")).await;
    assert_eq!(house.volume_status(&volume).await, None);
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// The process loses its job in the middle of a step, and does not know.
pub(super) struct Loss {
    kind: &'static str,
    step: &'static str,
    is_lost: AtomicBool,
}

impl Loss {
    pub(super) fn of(kind: &'static str, step: &'static str) -> Arc<Self> {
        Arc::new(Self { kind, step, is_lost: AtomicBool::new(false) })
    }

    pub(super) async fn came(&self) {
        is_set(&self.is_lost).await;
    }
}

impl Faults for Loss {
    fn at(&self, run: &Run, moment: Moment) -> Fault {
        if run.kind == self.kind && moment == Moment::Before(self.step) {
            run.progress.forbid();
            self.is_lost.store(true, Ordering::SeqCst);
        }
        Fault::None
    }
}

/// Machines are suspended, and clocks are set: who is still at a job does not begin it once more beside itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_process_does_not_claim_what_it_is_at() {
    let mut house = house(StoreKind::Directory).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    house.stop().await;
    // It takes longer than the job's lease.
    let hold = HoldBefore::new("create_snapshot", "snapshot");
    house.start(hold.clone()).await;
    let snapshot = house.create_snapshot(&volume).await;
    hold.begins().await;
    let mut repository = house.database.begin().await.unwrap();
    assert_eq!(repository.end_all_leases().await.unwrap(), 1);
    repository.commit().await.unwrap();
    // When this is done the queue was looked at.
    let other = house.create_volume(VolumeSource::Empty, 1).await;
    let looked = async {
        while house.volume_status(&other).await != Some(VolumeStatus::Available) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), looked).await.unwrap();
    hold.let_go();
    house.settle().await;
    let job = house.last_job(&snapshot).await.unwrap();
    assert_eq!((job.state, job.attempts, hold.begun.load(Ordering::SeqCst)), (JobState::Done, 1, 1));
    house.stop().await;
}

/// What lies there may be the volume by now, which somebody else has moved.
#[tokio::test(flavor = "multi_thread")]
async fn who_lost_a_job_takes_nothing_away() {
    let mut house = house(StoreKind::Directory).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    house.stop().await;
    let (store, name) = (house.stores.volumes.named(SECOND).unwrap().store.clone(), names::volume(&volume));
    store.create(&name, 1 << 30, 4 << 20).await.unwrap();
    let image = store.open(&name, OpenMode::ReadWrite).await.unwrap();
    image.write(0, pattern(10_000, 4).into()).await.unwrap();
    image.close().await.unwrap();
    house.migrate(&volume, SECOND).await;
    let loss = Loss::of("migrate_volume", "create");
    house.start(loss.clone()).await;
    loss.came().await;
    house.stop().await;
    let image = store.open(&name, OpenMode::ReadOnly).await.unwrap();
    assert_eq!(image.read(0, 10_000).await.unwrap(), pattern(10_000, 4));
    image.close().await.unwrap();
    house.start(Arc::new(NoFaults)).await;
    house.settle().await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// A step fails, and what was made until then is taken back.
struct Failure;

impl Faults for Failure {
    fn at(&self, run: &Run, moment: Moment) -> Fault {
        let is_now = run.kind == "migrate_volume" && moment == Moment::Before("copy");
        if is_now { Fault::Fail } else { Fault::None }
    }
}

/// What is being moved to the trash is remembered, also when the sweeper looks for it just before it is there.
#[tokio::test(flavor = "multi_thread")]
async fn what_goes_to_the_trash_is_not_forgotten() {
    let (mut stores, keep) = StoreKind::Directory.make().await;
    let (first, second) =
        (stores.volumes.first().store.clone(), stores.volumes.named(SECOND).unwrap().store.clone());
    let second = Reluctant::before(second);
    stores.volumes = Backends::one(FIRST, first).and(SECOND, second.clone());
    let mut house =
        House::on((stores, keep), DatabaseKind::Sqlite, Config::default(), Arc::new(Failure)).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let sweeper = Arc::new(house.sweeper());
    let swept = Arc::new(AtomicBool::new(false));
    second.before_trash({
        let swept = swept.clone();
        move || {
            let (sweeper, swept) = (sweeper.clone(), swept.clone());
            Box::pin(async move {
                sweeper.sweep().await.unwrap();
                swept.store(true, Ordering::SeqCst);
            })
        }
    });
    // Nothing is there before it is made, and somebody has it open when it is taken back.
    second.refuse_removals([ErrorKind::NotFound, ErrorKind::Busy]);
    house.migrate(&volume, SECOND).await;
    house.settle().await;
    assert!(swept.load(Ordering::SeqCst));
    house.sweeper().sweep().await.unwrap();
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// In which the store for images is the reluctant one.
pub(super) async fn reluctant_images(attempts: u32) -> (House, Arc<Reluctant>) {
    let (mut stores, keep) = StoreKind::Directory.make().await;
    let store = Reluctant::before(stores.images.clone());
    stores.images = store.clone();
    let mut config = Config::default();
    config.jobs.max_attempts = attempts;
    let house = House::on((stores, keep), DatabaseKind::Sqlite, config, Arc::new(NoFaults)).await;
    (house, store)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_somebody_has_open_is_as_it_was() {
    let (mut house, store) = reluctant_images(1).await;
    let image = house.upload(pattern(300_000, 5)).await;
    house.settle().await;
    for _ in 0..2 {
        store.refuse_removals([ErrorKind::Busy]);
        assert!(house.delete_image(&image).await);
        house.settle().await;
        assert_eq!(house.image_status(&image).await, Some(ImageStatus::Active));
        let open = store.open(image.as_str(), OpenMode::ReadOnly).await.unwrap();
        assert_eq!(open.read(0, 300_000).await.unwrap(), pattern(300_000, 5));
        open.close().await.unwrap();
        // Its snapshot went before that: nobody may look for it there.
        let row = house.database.read().await.unwrap().image(&image).await.unwrap().unwrap();
        assert_eq!(row.locations.iter().map(|place| place.url.as_ref()).collect::<Vec<_>>(), [None]);
    }
    let volume = house.volume(VolumeSource::Image { image_id: image.clone(), signed_by: None }, 1).await;
    assert_eq!(house.read(&volume, 0, 300_000).await, pattern(300_000, 5));
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// A removal that broke off may have taken some of its bytes.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_lost_bytes_does_not_become_active() {
    let (mut house, store) = reluctant_images(2).await;
    let image = house.upload(pattern(300_000, 6)).await;
    house.settle().await;
    store.refuse_removals([ErrorKind::TimedOut, ErrorKind::Busy]);
    assert!(house.delete_image(&image).await);
    house.settle().await;
    assert_eq!(house.image_status(&image).await, None);
    assert_eq!(store.list().await.unwrap(), [image.as_str()]);
    house.sweeper().sweep().await.unwrap();
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// Its bytes in one of two stores: what was not touched is as it was, and what was is removed as soon as that goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_lost_bytes_goes_in_the_end() {
    let (mut house, store) = reluctant_images(1).await;
    let image = house.upload(pattern(300_000, 7)).await;
    house.import_to(&image, copy_to_second()).await;
    house.settle().await;
    let places = async || -> Vec<Option<String>> {
        let row = house.database.read().await.unwrap().image(&image).await.unwrap().unwrap();
        row.places().map(|place| place.store.clone()).collect()
    };
    let second = Some("second".to_owned());
    store.refuse_removals([ErrorKind::Busy]);
    house.delete_from_store(&image, None).await;
    house.settle().await;
    assert_eq!(places().await, [None, second.clone()]);
    // Only here a snapshot may be gone.
    let row = house.database.read().await.unwrap().image(&image).await.unwrap().unwrap();
    let sealed: Vec<bool> = row.places().map(|place| place.url.is_some()).collect();
    assert_eq!(sealed, [false, true]);
    for _ in 0..2 {
        store.refuse_removals([ErrorKind::Io]);
        house.sweeper().sweep().await.unwrap();
        if places().await.len() == 2 {
            house.delete_from_store(&image, None).await;
        }
        house.settle().await;
        assert_eq!(places().await, std::slice::from_ref(&second));
        assert_eq!(store.list().await.unwrap(), [image.as_str()]);
    }
    assert_eq!(house.sweeper().sweep().await.unwrap(), 1);
    house.settle().await;
    assert_eq!(store.list().await.unwrap(), Vec::<String>::new());
    assert_eq!(places().await, [second]);
    house.assert_nothing_is_left().await;
    house.stop().await;
}
