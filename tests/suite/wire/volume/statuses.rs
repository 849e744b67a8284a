//! Which status allows what: everything that can be asked for, in every status. `statuses.txt` says what is accepted, and
//! what comes of it; all else is refused and changes nothing.

use std::fmt::Write;

use pumice::config::Backend;
use pumice::db::VolumeReset;
use pumice::model::{ImageId, SnapshotId, SnapshotStatus, VolumeId, VolumeStatus};
use serde_json::{Value, json};

use super::{assert_refused, fault};
use crate::support::{Answer, Call, Site};

/// A request about the thing with this id.
#[derive(Clone, Copy)]
struct Operation {
    name: &'static str,
    method: &'static str,
    /// With `{id}` in it.
    path: &'static str,
    version: u16,
    body: fn(&str) -> Value,
}

const fn operation(
    name: &'static str,
    method: &'static str,
    path: &'static str,
    version: u16,
    body: fn(&str) -> Value,
) -> Operation {
    Operation { name, method, path, version, body }
}

const VOLUME: &str = "/v3/volumes/{id}";
const VOLUME_ACTION: &str = "/v3/volumes/{id}/action";
const SNAPSHOT: &str = "/v3/snapshots/{id}";
const SNAPSHOT_ACTION: &str = "/v3/snapshots/{id}/action";

const CASCADE: Operation =
    operation("DELETE ?cascade", "DELETE", "/v3/volumes/{id}?cascade=true", 71, |_| Value::Null);

const ON_VOLUMES: &[Operation] = &[
    operation("DELETE", "DELETE", VOLUME, 71, |_| Value::Null),
    operation("DELETE ?force", "DELETE", "/v3/volumes/{id}?force=true", 71, |_| Value::Null),
    CASCADE,
    operation("os-force_delete", "POST", VOLUME_ACTION, 71, |_| json!({"os-force_delete": {}})),
    operation("os-unmanage", "POST", VOLUME_ACTION, 71, |_| json!({"os-unmanage": {}})),
    operation(
        "os-reset_status",
        "POST",
        VOLUME_ACTION,
        71,
        |_| json!({"os-reset_status": {"status": "error"}}),
    ),
    operation("PUT", "PUT", VOLUME, 71, |_| json!({"volume": {"name": "another"}})),
    operation("POST metadata", "POST", "/v3/volumes/{id}/metadata", 71, |_| json!({"metadata": {"k": "v"}})),
    operation(
        "os-set_image_metadata",
        "POST",
        VOLUME_ACTION,
        71,
        |_| json!({"os-set_image_metadata": {"metadata": {"k": "v"}}}),
    ),
    operation("PUT metadata", "PUT", "/v3/volumes/{id}/metadata", 71, |_| json!({"metadata": {"k": "v"}})),
    operation(
        "os-unset_image_metadata",
        "POST",
        VOLUME_ACTION,
        71,
        |_| json!({"os-unset_image_metadata": {"key": "k"}}),
    ),
    operation("os-extend 3.41", "POST", VOLUME_ACTION, 41, |_| json!({"os-extend": {"new_size": 2}})),
    operation("os-extend 3.42", "POST", VOLUME_ACTION, 42, |_| json!({"os-extend": {"new_size": 2}})),
    operation(
        "POST snapshots 3.65",
        "POST",
        "/v3/snapshots",
        65,
        |id| json!({"snapshot": {"volume_id": id}}),
    ),
    operation(
        "POST snapshots 3.65 force",
        "POST",
        "/v3/snapshots",
        65,
        |id| json!({"snapshot": {"volume_id": id, "force": true}}),
    ),
    operation(
        "POST snapshots 3.66",
        "POST",
        "/v3/snapshots",
        66,
        |id| json!({"snapshot": {"volume_id": id}}),
    ),
    operation(
        "POST volumes source_volid",
        "POST",
        "/v3/volumes",
        71,
        |id| json!({"volume": {"source_volid": id}}),
    ),
    operation(
        "POST volume-transfers",
        "POST",
        "/v3/volume-transfers",
        71,
        |id| json!({"transfer": {"volume_id": id}}),
    ),
];

/// What is there beside the volumes: an image, a type and another place for volumes.
const IMAGE: &str = "b8c5a0f4-0000-4000-8000-000000000001";
const TYPE: &str = "another";
const PLACE: &str = "pumice@far#far-pool";

/// What moves bytes.
const ON_BYTES: &[Operation] = &[
    operation(
        "os-retype",
        "POST",
        VOLUME_ACTION,
        71,
        |_| json!({"os-retype": {"new_type": TYPE, "migration_policy": "never"}}),
    ),
    operation(
        "os-migrate_volume",
        "POST",
        VOLUME_ACTION,
        71,
        |_| json!({"os-migrate_volume": {"host": PLACE}}),
    ),
    operation(
        "os-migrate_volume lock_volume",
        "POST",
        VOLUME_ACTION,
        71,
        |_| json!({"os-migrate_volume": {"host": PLACE, "lock_volume": true}}),
    ),
    operation(
        "os-volume_upload_image",
        "POST",
        VOLUME_ACTION,
        71,
        |_| json!({"os-volume_upload_image": {"image_name": "of a volume"}}),
    ),
    operation(
        "os-volume_upload_image force",
        "POST",
        VOLUME_ACTION,
        71,
        |_| json!({"os-volume_upload_image": {"image_name": "of a volume", "force": true}}),
    ),
    operation("os-reimage", "POST", VOLUME_ACTION, 71, |_| json!({"os-reimage": {"image_id": IMAGE}})),
    operation(
        "os-reimage reimage_reserved",
        "POST",
        VOLUME_ACTION,
        71,
        |_| json!({"os-reimage": {"image_id": IMAGE, "reimage_reserved": true}}),
    ),
];

/// Of a volume with one snapshot, in whose place there is its id.
const REVERT: Operation =
    operation("revert", "POST", VOLUME_ACTION, 71, |snapshot| json!({"revert": {"snapshot_id": snapshot}}));

/// Of a transfer whose volume is in the status; in the body there is its key.
const ON_TRANSFERS: &[Operation] = &[
    operation("DELETE transfer", "DELETE", "/v3/volume-transfers/{id}", 71, |_| Value::Null),
    operation(
        "POST transfer accept",
        "POST",
        "/v3/volume-transfers/{id}/accept",
        71,
        |key| json!({"accept": {"auth_key": key}}),
    ),
];

const ON_SNAPSHOTS: &[Operation] = &[
    operation("DELETE", "DELETE", SNAPSHOT, 71, |_| Value::Null),
    operation("os-force_delete", "POST", SNAPSHOT_ACTION, 71, |_| json!({"os-force_delete": {}})),
    operation("os-unmanage", "POST", SNAPSHOT_ACTION, 71, |_| json!({"os-unmanage": {}})),
    operation(
        "os-reset_status",
        "POST",
        SNAPSHOT_ACTION,
        71,
        |_| json!({"os-reset_status": {"status": "error"}}),
    ),
    operation(
        "os-update_snapshot_status available",
        "POST",
        SNAPSHOT_ACTION,
        71,
        |_| json!({"os-update_snapshot_status": {"status": "available"}}),
    ),
    operation(
        "os-update_snapshot_status creating",
        "POST",
        SNAPSHOT_ACTION,
        71,
        |_| json!({"os-update_snapshot_status": {"status": "creating"}}),
    ),
    operation(
        "os-update_snapshot_status error",
        "POST",
        SNAPSHOT_ACTION,
        71,
        |_| json!({"os-update_snapshot_status": {"status": "error"}}),
    ),
    operation(
        "os-update_snapshot_status deleting",
        "POST",
        SNAPSHOT_ACTION,
        71,
        |_| json!({"os-update_snapshot_status": {"status": "deleting"}}),
    ),
    operation(
        "os-update_snapshot_status error_deleting",
        "POST",
        SNAPSHOT_ACTION,
        71,
        |_| json!({"os-update_snapshot_status": {"status": "error_deleting"}}),
    ),
    operation("PUT", "PUT", SNAPSHOT, 71, |_| json!({"snapshot": {"name": "another"}})),
    operation(
        "POST volumes snapshot_id",
        "POST",
        "/v3/volumes",
        71,
        |id| json!({"volume": {"snapshot_id": id}}),
    ),
];

impl Operation {
    fn call(&self, site: &Site, id: &str) -> Call {
        self.call_with(site, id, id)
    }

    /// With the id of something else in the body.
    fn call_with(&self, site: &Site, id: &str, other: &str) -> Call {
        let call = site.volume(self.method, &self.path.replace("{id}", id)).version(self.version);
        match (self.body)(other) {
            Value::Null => call,
            body => call.json(&body),
        }
    }
}

impl Site {
    /// Whatever the table of moves says.
    pub async fn reset_volume(&self, id: &str, status: VolumeStatus) {
        let reset = VolumeReset { status: Some(status), ..VolumeReset::default() };
        let mut repository = self.app().database.begin().await.unwrap();
        repository.reset_volume(&VolumeId::parse(id).unwrap(), &reset, self.app().world.now()).await.unwrap();
        repository.commit().await.unwrap();
    }

    pub async fn reset_snapshot(&self, id: &str, status: SnapshotStatus) {
        let mut repository = self.app().database.begin().await.unwrap();
        let id = SnapshotId::parse(id).unwrap();
        repository.reset_snapshot(&id, status, self.app().world.now()).await.unwrap();
        repository.commit().await.unwrap();
    }

    pub async fn volume_status(&self, id: &str) -> VolumeStatus {
        self.volume_row(id).await.status
    }

    pub async fn snapshot_status(&self, id: &str) -> SnapshotStatus {
        let id = SnapshotId::parse(id).unwrap();
        self.app().database.read().await.unwrap().snapshot(&id).await.unwrap().unwrap().status
    }
}

/// A service with what the operations name.
async fn site() -> Site {
    let site = Site::with(|config| {
        config.volumes.enable_force_upload = true;
        let elsewhere = Backend {
            rbd_pool: "far-pool".to_owned(),
            backend_availability_zone: Some("moon".to_owned()),
            ..Backend::default()
        };
        config.backends.0.insert("far".to_owned(), elsewhere);
    })
    .await;
    site.report().await;
    site.new_image(|image| image.id = ImageId::parse(IMAGE).unwrap()).await;
    site.post("/v3/types", json!({"volume_type": {"name": TYPE}})).await.expect(200);
    site
}

async fn with_snapshot(site: &Site) -> (String, String) {
    let volume = site.available_volume(json!({"size": 1})).await;
    let snapshot = site.available_snapshot(&volume).await;
    (volume, snapshot)
}

/// In which statuses a volume goes back to its snapshot, which is available.
async fn reverted(site: &Site) -> String {
    let mut accepted = Vec::new();
    for &status in VolumeStatus::ALL {
        let (volume, snapshot) = with_snapshot(site).await;
        site.reset_volume(&volume, status).await;
        let answer = REVERT.call_with(site, &volume, &snapshot).send().await;
        let after = site.volume_status(&volume).await;
        accepted.extend(outcome(&REVERT, &answer, status.as_str(), after.as_str()));
        let of_snapshot = site.snapshot_status(&snapshot).await;
        assert_eq!(of_snapshot == SnapshotStatus::Restoring, answer.status.is_success(), "{status}");
    }
    listed(accepted)
}

/// In which statuses a snapshot is gone back to by its volume, which is available.
async fn reverted_to(site: &Site) -> String {
    let mut accepted = Vec::new();
    for &status in SnapshotStatus::ALL {
        let (volume, snapshot) = with_snapshot(site).await;
        site.reset_snapshot(&snapshot, status).await;
        let answer = REVERT.call_with(site, &volume, &snapshot).send().await;
        let after = site.snapshot_status(&snapshot).await;
        accepted.extend(outcome(&REVERT, &answer, status.as_str(), after.as_str()));
        let of_volume = site.volume_status(&volume).await;
        assert_eq!(of_volume == VolumeStatus::Reverting, answer.status.is_success(), "{status}");
    }
    listed(accepted)
}

/// In which statuses a volume goes with its snapshot, and in which ones of the snapshot.
async fn cascaded(site: &Site) -> (String, String) {
    let (mut of_volumes, mut of_snapshots) = (Vec::new(), Vec::new());
    let tried = VolumeStatus::ALL.iter().map(|&of_volume| (of_volume, SnapshotStatus::Available));
    for (of_volume, of_snapshot) in
        tried.chain(SnapshotStatus::ALL.iter().map(|&of_snapshot| (VolumeStatus::Available, of_snapshot)))
    {
        let (volume, snapshot) = with_snapshot(site).await;
        site.reset_volume(&volume, of_volume).await;
        site.reset_snapshot(&snapshot, of_snapshot).await;
        let answer = CASCADE.call(site, &volume).send().await;
        let (volume, snapshot) = (site.volume_status(&volume).await, site.snapshot_status(&snapshot).await);
        of_volumes.extend(
            outcome(&CASCADE, &answer, of_volume.as_str(), volume.as_str())
                .filter(|_| of_snapshot == SnapshotStatus::Available),
        );
        of_snapshots.extend(
            outcome(&CASCADE, &answer, of_snapshot.as_str(), snapshot.as_str())
                .filter(|_| of_volume == VolumeStatus::Available),
        );
    }
    (listed(of_volumes), listed(of_snapshots))
}

/// In which statuses of a volume its transfer ends this way.
async fn transferred(site: &Site, operation: &Operation) -> String {
    let mut accepted = Vec::new();
    for &status in VolumeStatus::ALL {
        let volume = site.available_volume(json!({"size": 1})).await;
        let body = json!({"transfer": {"volume_id": volume}});
        let transfer = site.post("/v3/volume-transfers", body).await.expect(202).json()["transfer"].clone();
        site.reset_volume(&volume, status).await;
        let (id, key) = (transfer["id"].as_str().unwrap(), transfer["auth_key"].as_str().unwrap());
        let answer = operation.call_with(site, id, key).send().await;
        let after = site.volume_status(&volume).await;
        accepted.extend(outcome(operation, &answer, status.as_str(), after.as_str()));
        let left = site.get(&format!("/v3/volume-transfers/{id}")).await.status.as_u16();
        assert_eq!(left, if answer.status.is_success() { 404 } else { 200 }, "{status}");
    }
    listed(accepted)
}

fn listed(mut outcomes: Vec<String>) -> String {
    outcomes.sort_unstable();
    outcomes.dedup();
    outcomes.join(" ")
}

/// `from`, or `from>to` where it changed; nothing when it was refused, but `from=501` when that is not served.
fn outcome(operation: &Operation, answer: &Answer, from: &str, to: &str) -> Option<String> {
    if answer.status.is_success() {
        return Some(if from == to { from.to_owned() } else { format!("{from}>{to}") });
    }
    assert_eq!(from, to, "{} was refused and changed it", operation.name);
    let refused = if operation.name == REVERT.name { 409 } else { 400 };
    match answer.status.as_u16() {
        501 => Some(format!("{from}=501")),
        status => {
            assert_eq!(status, refused, "{} of {from}: {}", operation.name, answer.text());
            None
        }
    }
}

#[tokio::test]
async fn each_status_allows_what_the_table_says() {
    let site = site().await;
    let mut found = String::new();
    for operation in ON_VOLUMES.iter().chain(ON_BYTES) {
        let mut accepted = Vec::new();
        for &status in VolumeStatus::ALL {
            let id = site.available_volume(json!({"size": 1})).await;
            site.act(&id, "os-set_image_metadata", json!({"metadata": {"k": "v"}})).await.expect(200);
            site.reset_volume(&id, status).await;
            // By the clock here the last time is long ago.
            site.report().await;
            let answer = operation.call(&site, &id).send().await;
            let after = site.volume_status(&id).await;
            accepted.extend(outcome(operation, &answer, status.as_str(), after.as_str()));
        }
        writeln!(found, "volume {}: {}", operation.name, listed(accepted)).unwrap();
    }
    writeln!(found, "volume revert: {}", reverted(&site).await).unwrap();
    for operation in ON_TRANSFERS {
        writeln!(found, "volume {}: {}", operation.name, transferred(&site, operation).await).unwrap();
    }
    let (of_volumes, of_snapshots) = cascaded(&site).await;
    writeln!(found, "volume DELETE ?cascade with a snapshot: {of_volumes}").unwrap();
    writeln!(found, "snapshot DELETE ?cascade of its volume: {of_snapshots}").unwrap();
    for operation in ON_SNAPSHOTS {
        let mut accepted = Vec::new();
        for &status in SnapshotStatus::ALL {
            let volume = site.available_volume(json!({"size": 1})).await;
            let id = site.available_snapshot(&volume).await;
            site.reset_snapshot(&id, status).await;
            let answer = operation.call(&site, &id).send().await;
            let after = site.snapshot_status(&id).await;
            accepted.extend(outcome(operation, &answer, status.as_str(), after.as_str()));
        }
        writeln!(found, "snapshot {}: {}", operation.name, listed(accepted)).unwrap();
    }
    writeln!(found, "snapshot revert: {}", reverted_to(&site).await).unwrap();
    let table = include_str!("statuses.txt");
    let expected: String =
        table.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    assert!(found == expected, "the statuses allow otherwise than statuses.txt says:\n{found}");
}

const STATUSES: &str = concat!(
    "('creating', 'available', 'deleting', 'error', 'error_deleting', 'error_managing', 'managing', 'attaching', ",
    "'in-use', 'detaching', 'maintenance', 'restoring-backup', 'error_restoring', 'reserved', 'awaiting-transfer', ",
    "'backing-up', 'error_backing-up', 'error_extending', 'downloading', 'uploading', 'retyping', 'extending')"
);

#[tokio::test]
async fn a_volume_is_what_an_administrator_says() {
    let site = Site::new().await;
    let id = site.available_volume(json!({"size": 1})).await;
    let path = format!("/v3/volumes/{id}/action");
    let reset = async |body: Value| site.post(&path, json!({ "os-reset_status": body })).await;
    for &status in VolumeStatus::ALL.iter().filter(|status| STATUSES.contains(&format!("'{status}'"))) {
        let answer = reset(json!({"status": status.as_str().to_uppercase()})).await;
        let refusal = match status {
            VolumeStatus::Deleting => "Cannot reset-state to deleting",
            VolumeStatus::InUse => {
                "Cannot reset-state to in-use because volume does not have any attachments."
            }
            _ => {
                assert_eq!((answer.status.as_u16(), answer.text()), (202, ""));
                assert_eq!(site.volume_status(&id).await, status);
                let shown = site.get(&format!("/v3/volumes/{id}")).await.json()["volume"]["status"].clone();
                let expected = match status {
                    VolumeStatus::Managing => "creating",
                    VolumeStatus::ErrorManaging => "error",
                    other => other.as_str(),
                };
                assert_eq!(shown, expected);
                continue;
            }
        };
        assert_refused(&answer, refusal);
    }
    for (body, refusal) in [
        (json!({}), "Must specify 'status', 'attach_status' or 'migration_status' for update."),
        (json!({"status": ""}), "Must specify 'status', 'attach_status' or 'migration_status' for update."),
        (
            json!({"status": "reverting"}),
            &format!("Volume status: reverting is invalid, valid statuses are: {STATUSES}."),
        ),
        (
            json!({"attach_status": "attaching"}),
            "Volume attach status: attaching is invalid, valid statuses are: ['attached', 'detached'].",
        ),
        (
            json!({"migration_status": "over"}),
            "Volume migration status: over is invalid, valid statuses are: \
             ('migrating', 'error', 'success', 'completing', 'none', 'starting').",
        ),
        (
            json!({"status": 5}),
            "Invalid input for field/attribute status. Value: 5. 5 is not of type 'string', 'null'",
        ),
        (
            json!({"status": "error", "x": 1}),
            "Invalid input for field/attribute os-reset_status. Value: {'status': 'error', 'x': 1}. \
             Additional properties are not allowed ('x' was unexpected)",
        ),
    ] {
        assert_refused(&reset(body).await, refusal);
    }
    assert_refused(
        &site.post(&path, json!({"os-reset_status": null})).await,
        "Invalid input for field/attribute os-reset_status. Value: None. None is not of type 'object'",
    );
    let missing = site
        .post("/v3/volumes/nonsense/action", json!({"os-reset_status": {"status": "error"}}))
        .await
        .expect(404);
    assert_eq!(missing.text(), fault("itemNotFound", 404, "Volume nonsense could not be found."));
}

#[tokio::test]
async fn a_volume_that_migrates_stays_where_it_is() {
    let site = Site::new().await;
    let id = site.available_volume(json!({"size": 1})).await;
    let path = format!("/v3/volumes/{id}/action");
    let reset = async |status: &str| {
        site.post(
            &path,
            json!({"os-reset_status": {"migration_status": status, "attach_status": "detached"}}),
        )
        .await
        .expect(202);
        let shown = site.get(&format!("/v3/volumes/{id}")).await.json();
        assert_eq!(shown["volume"]["migration_status"], shown["volume"]["os-vol-mig-status-attr:migstat"]);
        shown["volume"]["migration_status"].clone()
    };
    assert_eq!(reset("Migrating").await, "migrating");
    let refusal = "Invalid volume: Volume  must not be migrating, attached, belong to a group, have snapshots, awaiting a \
        transfer, or be disassociated from snapshots after volume transfer.";
    assert_refused(&site.post(&path, json!({"os-force_delete": null})).await, refusal);
    let snapshot = site.post("/v3/snapshots", json!({"snapshot": {"volume_id": id}})).await;
    assert_refused(&snapshot, "Invalid volume: Snapshot cannot be created while volume is migrating.");
    let listed = site.get("/v3/volumes?migration_status=migrating").await.json();
    assert_eq!(listed["volumes"].as_array().unwrap().len(), 1);
    assert_eq!(reset("none").await, Value::Null);
    let listed = site.get("/v3/volumes?migration_status=None").await.json();
    assert_eq!(listed["volumes"].as_array().unwrap().len(), 1);
    assert_eq!(site.volume_status(&id).await, VolumeStatus::Available);
    site.post(&path, json!({"os-force_delete": {}})).await.expect(202);
}

#[tokio::test]
async fn a_snapshot_is_what_an_administrator_says() {
    let site = Site::new().await;
    let volume = site.available_volume(json!({"size": 1})).await;
    let id = site.available_snapshot(&volume).await;
    let path = format!("/v3/snapshots/{id}/action");
    let reset = async |body: Value| site.post(&path, json!({ "os-reset_status": body })).await;
    for &status in SnapshotStatus::ALL {
        let answer = reset(json!({"status": status.as_str()})).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (202, ""));
        let shown = site.get(&format!("/v3/snapshots/{id}")).await.json();
        assert_eq!(shown["snapshot"]["status"], status.as_str());
    }
    for (body, refusal) in [
        (
            json!({"status": "gone"}),
            "Snapshot status: gone is invalid, valid statuses are: ('error', 'available', 'creating', 'deleting', \
             'deleted', 'updating', 'error_deleting', 'unmanaging', 'backing-up', 'restoring').",
        ),
        (
            json!({}),
            "Invalid input for field/attribute os-reset_status. Value: {}. 'status' is a required property",
        ),
        (
            json!({"status": null}),
            "Invalid input for field/attribute status. Value: None. None is not of type 'string'",
        ),
    ] {
        assert_refused(&reset(body).await, refusal);
    }
}

#[tokio::test]
async fn whoever_takes_a_snapshot_says_how_far_it_is() {
    let site = Site::new().await;
    let volume = site.available_volume(json!({"size": 1})).await;
    let id = site.new_snapshot_id(&volume).await;
    let path = format!("/v3/snapshots/{id}/action");
    let update = async |body: Value| site.post(&path, json!({ "os-update_snapshot_status": body })).await;
    let shown = async || {
        let shown = site.get(&format!("/v3/snapshots/{id}")).await.json();
        let progress = &shown["snapshot"]["os-extended-snapshot-attributes:progress"];
        (shown["snapshot"]["status"].as_str().unwrap().to_owned(), progress.as_str().unwrap().to_owned())
    };
    update(json!({"status": "creating", "progress": "35%"})).await.expect(202);
    assert_eq!(shown().await, ("creating".to_owned(), "35%".to_owned()));
    // It is kept as a number: a row does not grow with what somebody writes.
    let long = format!("{}7%", "0".repeat(10_000));
    update(json!({"status": "creating", "progress": long})).await.expect(202);
    assert_eq!(shown().await, ("creating".to_owned(), "7%".to_owned()));
    update(json!({"status": "error", "progress": "80%"})).await.expect(202);
    assert_eq!(shown().await, ("error".to_owned(), "80%".to_owned()));
    for (body, refusal) in [
        (json!({"status": "available"}), "Snapshot status error not allowed for update_snapshot_status"),
        (
            json!({"status": "error", "progress": "81"}),
            "Invalid input received: progress must be an integer percentage between 0 and 100",
        ),
        (
            json!({"status": "error", "progress": "101%"}),
            "Invalid input received: progress must be an integer percentage between 0 and 100",
        ),
        (
            json!({"status": "error", "progress": "ü"}),
            "Invalid input received: progress must be an integer percentage",
        ),
        (
            json!({"progress": "1%"}),
            "Invalid input for field/attribute os-update_snapshot_status. Value: {'progress': '1%'}. 'status' is a \
             required property",
        ),
    ] {
        assert_refused(&update(body).await, refusal);
    }
    site.reset_snapshot(&id, SnapshotStatus::Deleting).await;
    assert_refused(
        &update(json!({"status": "available"})).await,
        "Provided snapshot status available not allowed for snapshot with status deleting.",
    );
}

#[tokio::test]
async fn attachments_go_when_an_administrator_says_so() {
    let site = Site::new().await;
    let id = site.available_volume(json!({"size": 1})).await;
    let attach = async || {
        let body = json!({"attachment": {"volume_uuid": id, "instance_uuid": "83ec2e3b-4321-422b-8706-a84185f52a0a"}});
        site.post("/v3/attachments", body).await.expect(200);
        assert_eq!(site.volume_status(&id).await, VolumeStatus::Reserved);
    };
    let reset = async |body: Value| site.act(&id, "os-reset_status", body).await.expect(202);
    attach().await;
    reset(json!({"status": "in-use"})).await;
    assert_eq!(site.volume_status(&id).await, VolumeStatus::InUse);
    reset(json!({"attach_status": "detached"})).await;
    assert_eq!(site.volume_status(&id).await, VolumeStatus::Available);
    assert_eq!(site.get("/v3/attachments").await.expect(200).text(), r#"{"attachments":[]}"#);
    attach().await;
    reset(json!({"status": "error", "attach_status": "detached"})).await;
    assert_eq!(site.volume_status(&id).await, VolumeStatus::Error);
    assert_eq!(site.get("/v3/attachments").await.expect(200).text(), r#"{"attachments":[]}"#);
}
