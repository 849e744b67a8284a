//! Snapshots: what they look like, what is done with them, what is refused.

use pumice::jobs::Task;
use pumice::model::{SnapshotId, SnapshotStatus, VolumeId, VolumeStatus};
use serde_json::{Value, json};

use super::{assert_refused, fault};
use crate::support::Site;

#[tokio::test]
async fn a_snapshot_is_shown_key_by_key() {
    let later =
        r#","group_snapshot_id":null,"user_id":"00000000000000000000000000000002","consumes_quota":true"#;
    let read = concat!(
        r#","os-extended-snapshot-attributes:project_id":"00000000000000000000000000000001","#,
        r#""os-extended-snapshot-attributes:progress":"0%""#
    );
    for (version, later) in [(0, ""), (71, later)] {
        let site = Site::new().await;
        let volume = site.available_volume(json!({"size": 3})).await;
        let body = json!({"snapshot": {"volume_id": volume, "name": " s ", "metadata": {"a": "b"}}});
        let made = site.volume("POST", "/v3/snapshots").version(version).json(&body).send().await.expect(202);
        let snapshot = &made.json()["snapshot"];
        let (id, time) = (snapshot["id"].as_str().unwrap(), snapshot["created_at"].as_str().unwrap());
        let base = format!(
            concat!(
                r#"{{"id":"{}","created_at":"{}","updated_at":null,"name":"s","description":null,"#,
                r#""volume_id":"{}","status":"creating","size":3,"metadata":{{"a":"b"}}"#
            ),
            id, time, volume
        );
        assert_eq!(made.text(), format!(r#"{{"snapshot":{base}{later}}}}}"#));

        let get = async |path: &str| site.volume("GET", path).version(version).send().await.expect(200);
        let shown = get(&format!("/v3/snapshots/{id}")).await;
        assert_eq!(shown.text(), format!(r#"{{"snapshot":{base}{later}{read}}}}}"#));
        let detail = get("/v3/snapshots/detail").await;
        assert_eq!(detail.text(), format!(r#"{{"snapshots":[{base}{later}{read}}}]}}"#));
        // The same in every version.
        assert_eq!(get("/v3/snapshots").await.text(), format!(r#"{{"snapshots":[{base}}}]}}"#));

        let task = Task::CreateSnapshot {
            snapshot_id: SnapshotId::parse(id).unwrap(),
            volume_id: VolumeId::parse(&volume).unwrap(),
        };
        assert_eq!(site.tasks().await.pop(), Some((task, false)));
        site.move_snapshot(id, &[SnapshotStatus::Available]).await;
        let shown = get(&format!("/v3/snapshots/{id}")).await.json();
        assert_eq!(shown["snapshot"]["os-extended-snapshot-attributes:progress"], "100%");
    }
}

#[tokio::test]
async fn the_volume_must_be_ready() {
    let site = Site::new().await;
    let id = site.new_volume_id().await;
    let create = async |version, force: Option<Value>| {
        let mut body = json!({"snapshot": {"volume_id": id}});
        if let Some(force) = force {
            body["snapshot"]["force"] = force;
        }
        site.volume("POST", "/v3/snapshots").version(version).json(&body).send().await
    };
    let message = |statuses: &str, status: &str| {
        format!("Invalid volume: Volume {id} status must be {statuses}, but current status is: {status}.")
    };
    assert_refused(&create(0, None).await, &message("available", "creating"));
    assert_refused(&create(66, None).await, &message("available, in-use", "creating"));
    site.move_volume(&id, &[VolumeStatus::Available, VolumeStatus::InUse]).await;
    assert_refused(&create(65, None).await, &message("available", "in-use"));
    create(0, Some(json!("on"))).await.expect(202);
    create(66, None).await.expect(202);
    create(66, Some(json!(true))).await.expect(202);
    let refused = create(66, Some(json!(false))).await.expect(400);
    assert!(refused.text().contains("the 'force' flag is invalid for this request"));

    for volume_id in [json!(null), json!("6f2d1c0a-0000-4000-8000-00000000abcd")] {
        let answer =
            site.post("/v3/snapshots", json!({"snapshot": {"volume_id": volume_id}})).await.expect(404);
        let name = volume_id.as_str().unwrap_or("None");
        assert_eq!(answer.text(), fault("itemNotFound", 404, &format!("Volume {name} could not be found.")));
    }
}

#[tokio::test]
async fn there_are_only_so_many() {
    let site = Site::with(|config| config.quotas.quota_snapshots = 0).await;
    let id = site.available_volume(json!({"size": 1})).await;
    let answer = site.post("/v3/snapshots", json!({"snapshot": {"volume_id": id}})).await.expect(413);
    let message = "SnapshotLimitExceeded: Maximum number of snapshots allowed (0) exceeded";
    let expected = json!({"overLimit": {"code": 413, "message": message, "retryAfter": "0"}});
    assert_eq!(answer.text(), expected.to_string());
}

#[tokio::test]
async fn a_snapshot_is_updated_and_deleted() {
    let site = Site::new().await;
    let volume = site.available_volume(json!({"size": 1})).await;
    let id = site.available_snapshot(&volume).await;
    let path = format!("/v3/snapshots/{id}");
    let put = async |snapshot: Value| {
        site.volume("PUT", &path).version(71).json(&json!({"snapshot": snapshot})).send().await
    };
    let updated = put(json!({"name": " n ", "display_description": "d"})).await.expect(200).json();
    assert_eq!(
        (&updated["snapshot"]["name"], &updated["snapshot"]["description"]),
        (&json!("n"), &json!("d"))
    );
    assert_eq!(updated["snapshot"].get("os-extended-snapshot-attributes:progress"), None);
    assert_refused(
        &put(json!({})).await,
        "Invalid input for field/attribute snapshot. Value: {}. {} is not valid under any of the given schemas",
    );

    let deleted = site.volume("DELETE", &path).send().await.expect(202);
    assert_eq!((deleted.text(), deleted.header("content-type")), ("", Some("text/html; charset=UTF-8")));
    let task = Task::DeleteSnapshot {
        snapshot_id: SnapshotId::parse(&id).unwrap(),
        volume_id: VolumeId::parse(&volume).unwrap(),
    };
    assert_eq!(site.tasks().await.pop(), Some((task, false)));
    assert_refused(
        &site.volume("DELETE", &path).send().await,
        "Invalid snapshot: Snapshot status must be available or error and must not be part of a group.",
    );
    for (method, path) in [("GET", "/v3/snapshots/x"), ("DELETE", "/v3/snapshots/x")] {
        let answer = site.volume(method, path).send().await.expect(404);
        assert_eq!(answer.text(), fault("itemNotFound", 404, "Snapshot x could not be found."));
    }
}

#[tokio::test]
async fn what_failed_or_is_not_finished_can_be_deleted() {
    use SnapshotStatus::*;
    for through in [&[][..], &[Error], &[Available, Deleting, ErrorDeleting]] {
        let site = Site::new().await;
        let volume = site.available_volume(json!({"size": 1})).await;
        let id = site.new_snapshot_id(&volume).await;
        site.move_snapshot(&id, through).await;
        site.volume("DELETE", &format!("/v3/snapshots/{id}")).send().await.expect(202);
        let tasks = site.tasks().await;
        assert_eq!(tasks[1].1, through.is_empty(), "only what is being made is told to stop");
        assert!(!tasks[2].1);
    }
}

#[tokio::test]
async fn one_that_is_called_deleting_is_deleted_by_force_once() {
    let site = Site::new().await;
    let volume = site.available_volume(json!({"size": 1})).await;
    let body = json!({"snapshot": {"volume_id": volume}});
    let made = site.volume("POST", "/v3/snapshots").json(&body).send().await.expect(202).json();
    let id = made["snapshot"]["id"].as_str().unwrap();
    site.move_snapshot(id, &[SnapshotStatus::Available]).await;
    let act = async |body: Value| {
        let path = format!("/v3/snapshots/{id}/action");
        site.volume("POST", &path).json(&body).send().await.expect(202);
    };
    act(json!({"os-reset_status": {"status": "deleting"}})).await;
    let before = site.tasks().await.len();
    for _ in 0..2 {
        act(json!({"os-force_delete": {}})).await;
        assert_eq!(site.tasks().await.len(), before + 1);
    }
}
