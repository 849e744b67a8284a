//! What users are told when a job of theirs fails.

use std::sync::Arc;

use pumice::config::Config;
use pumice::db::{Message, MessageFilter, Page};
use pumice::jobs::{self, Fault, Faults, Moment, Origin, Run, Task, VolumeSource};
use pumice::model::{Gib, ImageId, ProjectId, SnapshotId, VolumeId};

use crate::house::{DatabaseKind, House, StoreKind};

/// Every job fails before its first step.
struct AllFail;

impl Faults for AllFail {
    fn at(&self, _: &Run, moment: Moment) -> Fault {
        if matches!(moment, Moment::Before(_)) { Fault::Fail } else { Fault::None }
    }
}

async fn messages(house: &House) -> Vec<Message> {
    let mut repository = house.database.read().await.unwrap();
    repository.messages(&MessageFilter::default(), &Page::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_says_what_failed() {
    let volume_id = VolumeId::from(uuid::Uuid::from_u128(1));
    let snapshot_id = SnapshotId::from(uuid::Uuid::from_u128(2));
    let image_id = ImageId::from(uuid::Uuid::from_u128(3));
    let create = |source| Task::CreateVolume { volume_id: volume_id.clone(), source };
    let (volume, snapshot) = (volume_id.to_string(), snapshot_id.to_string());
    let cases = [
        (create(VolumeSource::Empty), Some(("VOLUME_VOLUME_008_012", &volume))),
        (create(VolumeSource::Image { image_id }), Some(("VOLUME_VOLUME_005_001", &volume))),
        (
            Task::ExtendVolume { volume_id: volume_id.clone(), new_size: Gib::new(2).unwrap() },
            Some(("VOLUME_VOLUME_007_010", &volume)),
        ),
        (
            Task::CreateSnapshot { snapshot_id: snapshot_id.clone(), volume_id: volume_id.clone() },
            Some(("VOLUME_VOLUME_SNAPSHOT_009_013", &snapshot)),
        ),
        (
            Task::DeleteSnapshot { snapshot_id: snapshot_id.clone(), volume_id: volume_id.clone() },
            Some(("VOLUME_VOLUME_SNAPSHOT_010_016", &snapshot)),
        ),
        (Task::DeleteVolume { volume_id: volume_id.clone() }, None),
    ];
    for (task, expected) in cases {
        let mut house =
            House::with(StoreKind::Directory, DatabaseKind::Sqlite, Config::default(), Arc::new(AllFail))
                .await;
        let mut repository = house.database.begin().await.unwrap();
        let origin = Origin { project_id: Some(ProjectId("p".into())), request_id: Some("req-1".into()) };
        jobs::enqueue(&mut repository, &house.world, task.clone(), &origin).await.unwrap();
        repository.commit().await.unwrap();
        house.settle().await;
        let found = messages(&house).await;
        let shown: Vec<(&str, &str)> = found
            .iter()
            .map(|message| (message.event_id.as_str(), message.resource_uuid.as_deref().unwrap()))
            .collect();
        let expected: Vec<(&str, &str)> = expected.iter().map(|(event, id)| (*event, id.as_str())).collect();
        assert_eq!(shown, expected, "{task:?}");
        for message in found {
            assert_eq!((message.project_id.as_str(), message.request_id.as_deref()), ("p", Some("req-1")));
        }
        house.stop().await;
    }
}
