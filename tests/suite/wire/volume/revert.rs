//! Back to the latest snapshot: what is refused, and what is begun.

use pumice::jobs::Task;
use pumice::model::{SnapshotId, SnapshotStatus, VolumeId, VolumeStatus};
use serde_json::{Value, json};

use super::{assert_refused, fault};
use crate::support::Site;

#[tokio::test]
async fn a_volume_goes_back_to_its_latest_snapshot() {
    let site = Site::new().await;
    let volume = site.available_volume(json!({"size": 1})).await;
    let path = format!("/v3/volumes/{volume}/action");
    let revert = async |snapshot: Value| site.post(&path, json!({"revert": {"snapshot_id": snapshot}})).await;
    assert_refused(&revert(json!("x")).await, &format!("Volume {volume} doesn't have any snapshots."));
    let older = site.available_snapshot(&volume).await;
    let latest = site.available_snapshot(&volume).await;
    for (wanted, shown) in [(json!(older), older.as_str()), (json!(null), "None"), (json!("x"), "x")] {
        let refusal = format!("Specified snapshot {shown} is None or not the latest one of volume {volume}.");
        assert_refused(&revert(wanted).await, &refusal);
    }
    for (volume_status, snapshot_status, kind, name) in [
        (VolumeStatus::InUse, SnapshotStatus::Available, "volume", "Volume"),
        (VolumeStatus::Available, SnapshotStatus::BackingUp, "snapshot", "Snapshot"),
    ] {
        site.reset_volume(&volume, volume_status).await;
        site.reset_snapshot(&latest, snapshot_status).await;
        let message = format!(
            "Invalid {kind}: Can't revert volume {volume} to its latest snapshot {latest}. {name}'s status must be \
             'available'."
        );
        let answer = revert(json!(latest)).await.expect(409);
        assert_eq!(answer.text(), fault("conflictingRequest", 409, &message));
        assert_eq!(site.volume_status(&volume).await, volume_status);
    }
    site.reset_volume(&volume, VolumeStatus::Available).await;
    site.reset_snapshot(&latest, SnapshotStatus::Available).await;
    let body = json!({"revert": {"snapshot_id": latest}});
    let early = site.volume("POST", &path).version(39).json(&body).send().await.expect(404);
    assert_eq!(early.text(), fault("itemNotFound", 404, "The resource could not be found."));
    assert_eq!(revert(json!(latest)).await.expect(202).text(), "");
    assert_eq!(site.volume_status(&volume).await, VolumeStatus::Reverting);
    assert_eq!(site.snapshot_status(&latest).await, SnapshotStatus::Restoring);
    let task = Task::RevertVolume {
        volume_id: VolumeId::parse(&volume).unwrap(),
        snapshot_id: SnapshotId::parse(&latest).unwrap(),
    };
    assert_eq!(site.tasks().await.pop(), Some((task, false)));
}

#[tokio::test]
async fn an_extended_volume_does_not_shrink() {
    let site = Site::new().await;
    let volume = site.available_volume(json!({"size": 1})).await;
    let snapshot = site.available_snapshot(&volume).await;
    let path = format!("/v3/volumes/{volume}/action");
    site.post(&path, json!({"os-extend": {"new_size": 2}})).await.expect(202);
    let mut repository = site.app().database.begin().await.unwrap();
    let change = pumice::db::VolumeChange { size: pumice::model::Gib::new(2), ..Default::default() };
    let (id, now) = (VolumeId::parse(&volume).unwrap(), site.app().world.now());
    let (from, to) = (VolumeStatus::Extending, VolumeStatus::Available);
    assert!(repository.change_volume(&id, from, to, &change, now).await.unwrap());
    repository.commit().await.unwrap();
    let refusal = format!(
        "Can't revert volume {volume} to its latest snapshot {snapshot}. The volume size must be equal to the snapshot \
         size."
    );
    assert_refused(&site.post(&path, json!({"revert": {"snapshot_id": snapshot}})).await, &refusal);
}
