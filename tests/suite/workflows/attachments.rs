//! What attachments that come and go make of volumes with a job.

use pumice::db::VolumeChange;
use pumice::jobs::{self, Origin, Task, VolumeSource};
use pumice::model::{AttachmentStatus, Gib, VolumeStatus};

use super::{house, on_every_store};
use crate::house::{DatabaseKind, House, StoreKind};

on_every_store!(
    what_is_reserved_while_it_is_made_stays_reserved,
    what_is_detached_while_it_grows_is_available
);

#[tokio::test(flavor = "multi_thread")]
async fn with_postgresql() {
    reserve(House::new(StoreKind::Directory, DatabaseKind::Postgres).await).await;
    detach(House::new(StoreKind::Directory, DatabaseKind::Postgres).await).await;
}

async fn what_is_reserved_while_it_is_made_stays_reserved(store: StoreKind) {
    reserve(house(store).await).await;
}

async fn what_is_detached_while_it_grows_is_available(store: StoreKind) {
    detach(house(store).await).await;
}

async fn reserve(mut house: House) {
    let volume = house.create_volume_for(VolumeSource::Empty, 1, &["s"]).await;
    house.settle().await;
    assert_eq!(house.volume_status(&volume).await, Some(VolumeStatus::Reserved));
    // They go with it.
    assert!(house.delete_volume(&volume).await);
    house.settle().await;
    house.assert_nothing_is_left().await;
    let mut repository = house.database.read().await.unwrap();
    assert_eq!(repository.attachments_of(&volume).await.unwrap(), []);
    drop(repository);
    house.stop().await;
}

async fn detach(mut house: House) {
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let mut attachment = house.reservation(&volume, "s");
    attachment.status = AttachmentStatus::Attached;
    let now = house.world.now();
    let mut repository = house.database.begin().await.unwrap();
    repository.add_attachment(&attachment).await.unwrap();
    repository.follow_attachments(&volume, now).await.unwrap();
    let (from, to) = (VolumeStatus::InUse, VolumeStatus::Extending);
    assert!(repository.change_volume(&volume, from, to, &VolumeChange::default(), now).await.unwrap());
    let task = Task::ExtendVolume { volume_id: volume.clone(), new_size: Gib::new(2).unwrap() };
    jobs::enqueue(&mut repository, &house.world, task, &Origin::default()).await.unwrap();
    // Before anybody sees the job.
    assert!(repository.remove_attachment(&attachment.id).await.unwrap());
    repository.follow_attachments(&volume, now).await.unwrap();
    repository.commit().await.unwrap();
    house.settle().await;
    let found = house.database.read().await.unwrap().volume(&volume).await.unwrap().unwrap();
    assert_eq!((found.status, found.size.get()), (VolumeStatus::Available, 2));
    assert!(house.delete_volume(&volume).await);
    house.settle().await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}
