//! What users are told when a job of theirs fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pumice::config::Config;
use pumice::db::{Message, MessageFilter, Page, Volume};
use pumice::jobs::{self, Destination, Fault, Faults, Moment, Origin, Run, Task, VolumeSource};
use pumice::model::{Gib, ImageId, JobState, ProjectId, SnapshotId, VolumeId, VolumeStatus};

use crate::house::{DatabaseKind, House, StoreKind};

/// From then on every job fails before its first step.
#[derive(Default)]
struct AllFail(AtomicBool);

impl Faults for AllFail {
    fn at(&self, _: &Run, moment: Moment) -> Fault {
        let fails = self.0.load(Ordering::SeqCst) && matches!(moment, Moment::Before(_));
        if fails { Fault::Fail } else { Fault::None }
    }
}

async fn messages(house: &House) -> Vec<Message> {
    let mut repository = house.database.read().await.unwrap();
    repository.messages(&MessageFilter::default(), &Page::default()).await.unwrap()
}

/// A job that fails, and what its user is told of which of the two.
struct Case {
    task: fn(VolumeId, SnapshotId) -> Task,
    event: Option<&'static str>,
    is_of_snapshot: bool,
}

const CASES: &[Case] = &[
    Case {
        task: |volume_id, _| Task::CreateVolume { volume_id, source: VolumeSource::Empty },
        event: Some("VOLUME_VOLUME_008_012"),
        is_of_snapshot: false,
    },
    Case {
        task: |volume_id, _| {
            let image_id = ImageId::from(uuid::Uuid::nil());
            Task::CreateVolume { volume_id, source: VolumeSource::Image { image_id, signed_by: None } }
        },
        event: Some("VOLUME_VOLUME_005_001"),
        is_of_snapshot: false,
    },
    Case {
        task: |volume_id, _| {
            let image_id = ImageId::from(uuid::Uuid::nil());
            Task::CreateVolume { volume_id, source: VolumeSource::Disk { image_id, signed_by: None } }
        },
        event: Some("VOLUME_VOLUME_005_001"),
        is_of_snapshot: false,
    },
    Case {
        task: |volume_id, _| Task::ExtendVolume { volume_id, new_size: Gib::new(2).unwrap() },
        event: Some("VOLUME_VOLUME_007_010"),
        is_of_snapshot: false,
    },
    Case {
        task: |volume_id, snapshot_id| Task::CreateSnapshot { snapshot_id, volume_id },
        event: Some("VOLUME_VOLUME_SNAPSHOT_009_013"),
        is_of_snapshot: true,
    },
    Case {
        task: |volume_id, snapshot_id| Task::DeleteSnapshot { snapshot_id, volume_id },
        event: Some("VOLUME_VOLUME_SNAPSHOT_010_016"),
        is_of_snapshot: true,
    },
    Case { task: |volume_id, _| Task::DeleteVolume { volume_id }, event: None, is_of_snapshot: false },
];

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_says_what_failed() {
    for case in CASES {
        let faults = Arc::new(AllFail::default());
        let mut house =
            House::with(StoreKind::Directory, DatabaseKind::Sqlite, Config::default(), faults.clone()).await;
        let volume = house.volume(VolumeSource::Empty, 1).await;
        // An image that has one is not taken away again.
        let snapshot = match case.is_of_snapshot {
            true => house.snapshot(&volume).await,
            false => SnapshotId::from(uuid::Uuid::nil()),
        };
        faults.0.store(true, Ordering::SeqCst);
        let task = (case.task)(volume.clone(), snapshot.clone());
        let mut repository = house.database.begin().await.unwrap();
        let origin = Origin { project_id: Some(ProjectId("p".into())), request_id: Some("req-1".into()) };
        jobs::enqueue(&mut repository, &house.world, task, &origin).await.unwrap();
        repository.commit().await.unwrap();
        house.settle().await;
        let of = if case.is_of_snapshot { snapshot.as_str() } else { volume.as_str() };
        let found = messages(&house).await;
        let shown: Vec<(&str, Option<&str>)> = found
            .iter()
            .map(|message| (message.event_id.as_str(), message.resource_uuid.as_deref()))
            .collect();
        let expected: Vec<(&str, Option<&str>)> = case.event.iter().map(|event| (*event, Some(of))).collect();
        assert_eq!(shown, expected);
        for message in &found {
            assert_eq!((message.project_id.as_str(), message.request_id.as_deref()), ("p", Some("req-1")));
        }
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_without_a_place_was_not_scheduled() {
    let mut house = House::new(StoreKind::Directory, DatabaseKind::Sqlite).await;
    let placed = house.volume(VolumeSource::Empty, 1).await;
    let mut repository = house.database.begin().await.unwrap();
    let row = repository.volume(&placed).await.unwrap().unwrap();
    let volume = Volume {
        id: VolumeId::from(house.world.ids.random()),
        status: VolumeStatus::Creating,
        host: None,
        ..row
    };
    repository.add_volume(&volume).await.unwrap();
    let task = Task::CreateVolume { volume_id: volume.id.clone(), source: VolumeSource::Empty };
    let origin = Origin { project_id: Some(ProjectId("p".into())), request_id: None };
    jobs::enqueue(&mut repository, &house.world, task, &origin).await.unwrap();
    repository.commit().await.unwrap();
    house.settle().await;
    assert_eq!(house.volume_status(&volume.id).await, Some(VolumeStatus::Error));
    let found = messages(&house).await;
    let shown: Vec<_> = found.iter().map(|message| message.event_id.as_str()).collect();
    assert_eq!(shown, ["VOLUME_VOLUME_001_003"]);
    house.stop().await;
}

/// Of no use to anybody, and not to be tried for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_ends_whose_volume_is_gone() {
    let mut house = House::new(StoreKind::Directory, DatabaseKind::Sqlite).await;
    let (volume_id, snapshot_id) =
        (house.volume(VolumeSource::Empty, 1).await, SnapshotId::from(uuid::Uuid::nil()));
    assert!(house.delete_volume(&volume_id).await);
    house.settle().await;
    let place = Destination::Place { host: "pumice@directory#volumes".into(), zone: "nova".into() };
    let tasks = [
        Task::CreateVolume { volume_id: volume_id.clone(), source: VolumeSource::Empty },
        Task::ExtendVolume { volume_id: volume_id.clone(), new_size: Gib::new(2).unwrap() },
        Task::CreateSnapshot { snapshot_id: snapshot_id.clone(), volume_id: volume_id.clone() },
        Task::DeleteSnapshot { snapshot_id, volume_id: volume_id.clone() },
        Task::ManageVolume { volume_id: volume_id.clone(), source: "disk".into() },
        Task::MigrateVolume { volume_id, from: "pumice@directory#volumes".into(), to: place },
    ];
    for task in tasks {
        let mut repository = house.database.begin().await.unwrap();
        let id = jobs::enqueue(&mut repository, &house.world, task, &Origin::default()).await.unwrap();
        repository.commit().await.unwrap();
        house.settle().await;
        let job = house.database.read().await.unwrap().job(&id).await.unwrap().unwrap();
        assert_eq!(job.state, JobState::Failed, "{job:?}");
        assert_eq!(job.error.as_deref(), Some("The volume is not there any more."));
    }
    house.stop().await;
}
