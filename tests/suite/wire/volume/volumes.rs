//! Volumes: what they look like, what is done with them, what is refused.

use pumice::jobs::{Task, VolumeSource};
use pumice::model::{Gib, ImageStatus, SnapshotId, SnapshotStatus, VolumeId, VolumeStatus};
use serde_json::{Value, json};

use super::{PROJECT, assert_refused, fault, id_of};
use crate::support::Site;

const ID: &str = "00000000-0000-0000-0000-000000000004";
const BASE: &str = concat!(
    r#"{"volume":{"id":"00000000-0000-0000-0000-000000000004","status":"creating","size":1,"#,
    r#""availability_zone":"nova","created_at":"2026-11-22T11:47:29.970525","updated_at":null,"name":"vol","#,
    r#""description":null,"volume_type":"__DEFAULT__","snapshot_id":null,"source_volid":null,"#,
    r#""metadata":{"a":"b"},"links":[{"rel":"self","href":"#,
    r#""http://cloud.example:8080/volume/v3/volumes/00000000-0000-0000-0000-000000000004"},"#,
    r#"{"rel":"bookmark","href":"#,
    r#""http://cloud.example:8080/volume/volumes/00000000-0000-0000-0000-000000000004"}],"#,
    r#""user_id":"00000000000000000000000000000002","bootable":"false","encrypted":false,"#,
    r#""replication_status":null,"consistencygroup_id":null,"multiattach":false,"attachments":[],"#,
    r#""migration_status":null"#
);
const LATER: &str = concat!(
    r#","group_id":null,"provider_id":null,"shared_targets":false,"service_uuid":null,"cluster_name":null,"#,
    r#""volume_type_id":"00000000-0000-0000-0000-000000000002","consumes_quota":true"#
);
const READ: &str = concat!(
    r#","os-vol-tenant-attr:tenant_id":"00000000000000000000000000000001","#,
    r#""os-vol-mig-status-attr:migstat":null,"os-vol-mig-status-attr:name_id":null,"#,
    r#""os-vol-host-attr:host":"pumice@directory#rbd""#
);

/// What the services's start and the request took from the clock, so that exact times can stand here.
fn with_time(expected: &str, answer: &Value) -> String {
    let time = answer["created_at"].as_str().unwrap();
    assert_eq!(time.len(), "2026-11-22T11:47:26.970525".len());
    expected.replace("2026-11-22T11:47:29.970525", time)
}

#[tokio::test]
async fn a_volume_is_shown_key_by_key() {
    for (version, later) in [(0, ""), (71, LATER)] {
        let site = Site::new().await;
        let body = json!({"volume": {"size": 1, "name": " vol ", "metadata": {"a": "b"}}});
        let made = site.volume("POST", "/v3/volumes").version(version).json(&body).send().await.expect(202);
        let expected = |tail: &str| with_time(&format!("{BASE}{later}{tail}}}}}"), &made.json()["volume"]);
        assert_eq!(made.text(), expected(""));

        let get = async |path: &str| site.volume("GET", path).version(version).send().await.expect(200);
        let shown = get(&format!("/v3/volumes/{ID}")).await;
        assert_eq!(shown.text(), expected(READ));
        let detail = get("/v3/volumes/detail").await;
        let one = expected(READ).replacen(r#"{"volume":"#, "", 1);
        assert_eq!(detail.text(), format!(r#"{{"volumes":[{}]}}"#, &one[..one.len() - 1]));
        let list = get("/v3/volumes").await;
        assert_eq!(
            list.text(),
            format!(
                concat!(
                    r#"{{"volumes":[{{"id":"{0}","name":"vol","links":[{{"rel":"self","href":"#,
                    r#""http://cloud.example:8080/volume/v3/volumes/{0}"}},{{"rel":"bookmark","href":"#,
                    r#""http://cloud.example:8080/volume/volumes/{0}"}}]}}]}}"#
                ),
                ID
            )
        );
        let id = VolumeId::parse(ID).unwrap();
        let task = Task::CreateVolume { volume_id: id, source: VolumeSource::Empty };
        assert_eq!(site.tasks().await, [(task, false)]);
    }
}

#[tokio::test]
async fn keys_come_with_their_versions() {
    let site = Site::new().await;
    let id = site.new_volume_id().await;
    for (key, since) in [
        ("group_id", 13),
        ("provider_id", 21),
        ("shared_targets", 48),
        ("service_uuid", 48),
        ("cluster_name", 61),
        ("volume_type_id", 63),
        ("consumes_quota", 65),
    ] {
        for (version, there) in [(since - 1, false), (since, true)] {
            let path = format!("/v3/volumes/{id}");
            let shown = site.volume("GET", &path).version(version).send().await.expect(200).json();
            assert_eq!(shown["volume"].get(key).is_some(), there, "{key} at 3.{version}");
        }
    }
}

#[tokio::test]
async fn what_is_missing_has_its_name() {
    let site = Site::new().await;
    for id in ["00000000-0000-0000-0000-0000000000ff", "nonsense", "..%2F.."] {
        let answer = site.get(&format!("/v3/volumes/{id}")).await.expect(404);
        let message = format!("Volume {} could not be found.", id.replace("%2F", "/"));
        assert_eq!(answer.text(), fault("itemNotFound", 404, &message));
    }
    for (volume, message) in [
        (json!({"size": 1, "volume_type": "fast"}), "Volume type with name fast could not be found."),
        (json!({"size": 1, "volume_type": uuid(9)}), &format!("Volume type {} could not be found.", uuid(9))),
        (json!({"snapshot_id": uuid(9)}), &format!("Snapshot {} could not be found.", uuid(9))),
        (json!({"source_volid": uuid(9)}), &format!("Volume {} could not be found.", uuid(9))),
        (json!({"size": 1, "group_id": uuid(9)}), &format!("Group {} could not be found.", uuid(9))),
        (json!({"size": 1, "backup_id": uuid(9)}), &format!("Backup {} could not be found.", uuid(9))),
    ] {
        let answer = site.post("/v3/volumes", json!({"volume": volume})).await.expect(404);
        assert_eq!(answer.text(), fault("itemNotFound", 404, message));
    }
    assert_eq!(site.tasks().await, []);
}

#[tokio::test]
async fn a_volume_from_a_snapshot_or_a_volume_has_what_its_source_has() {
    let site = Site::new().await;
    let image = site.new_image(|_| {}).await;
    let origin = site.available_volume(json!({"size": 2, "imageRef": image})).await;
    let snapshot = site.available_snapshot(&origin).await;

    let from_snapshot = site.new_volume(json!({"snapshot_id": snapshot})).await;
    assert_eq!((&from_snapshot["size"], &from_snapshot["snapshot_id"]), (&json!(2), &json!(snapshot)));
    let larger = json!({"size": "3", "source_volid": origin, "volume_type": "__DEFAULT__"});
    let from_volume = site.new_volume(larger).await;
    assert_eq!((&from_volume["size"], &from_volume["source_volid"]), (&json!(3), &json!(origin)));
    for volume in [&from_snapshot, &from_volume] {
        assert_eq!(volume["bootable"], "true");
        let shown = site.get(&format!("/v3/volumes/{}", id_of(volume))).await.json();
        assert_eq!(shown["volume"]["volume_image_metadata"]["image_id"], image.as_str());
    }
    let sources: Vec<VolumeSource> = site
        .tasks()
        .await
        .into_iter()
        .filter_map(|(task, _)| match task {
            Task::CreateVolume { source, .. } => Some(source),
            _ => None,
        })
        .collect();
    let volume_id = VolumeId::parse(&origin).unwrap();
    let snapshot_id = SnapshotId::parse(&snapshot).unwrap();
    assert_eq!(
        sources,
        [
            VolumeSource::Image { image_id: image, signed_by: None },
            VolumeSource::Snapshot { snapshot_id, volume_id: volume_id.clone() },
            VolumeSource::Volume { volume_id },
        ]
    );

    for (volume, message) in [
        (
            json!({"size": 1, "snapshot_id": snapshot}),
            "Invalid input received: Volume size '1'GB cannot be smaller than the snapshot size 2GB. They must be \
             >= original snapshot size.",
        ),
        (
            json!({"size": 1, "source_volid": origin}),
            "Invalid input received: Volume size '1'GB cannot be smaller than original volume size  2GB. They must \
             be >= original volume size.",
        ),
        (
            json!({"snapshot_id": snapshot, "source_volid": origin}),
            "Invalid input received: May specify only one of backup, imageRef, snapshot, source volume",
        ),
    ] {
        assert_refused(&site.post("/v3/volumes", json!({"volume": volume})).await, message);
    }
}

#[tokio::test]
async fn sources_must_be_ready() {
    let site = Site::new().await;
    let creating = site.new_volume_id().await;
    assert_refused(
        &site.post("/v3/volumes", json!({"volume": {"source_volid": creating}})).await,
        "Invalid volume: Originating source volume status must be one of 'available, in-use' values",
    );
    let origin = site.available_volume(json!({"size": 1})).await;
    let snapshot = site.new_snapshot_id(&origin).await;
    assert_refused(
        &site.post("/v3/volumes", json!({"volume": {"snapshot_id": snapshot}})).await,
        "Invalid snapshot: Originating snapshot status must be one of 'available' values",
    );
}

#[tokio::test]
async fn a_volume_from_an_image_remembers_it() {
    let site = Site::new().await;
    let image = site.new_image(|_| {}).await;
    // Lists do not show these unless they are asked to.
    site.new_image(|image| image.os_hidden = true).await;
    site.new_image(|image| {
        image.visibility = "community".to_owned();
        image.project_id = None;
    })
    .await;
    for reference in [
        json!({"imageRef": image}),
        json!({"image_id": image}),
        json!({"imageRef": format!("http://cloud.example/image/v2/images/{image}")}),
        json!({"imageRef": "cirros"}),
    ] {
        let mut body = reference;
        body["size"] = json!(1);
        let made = site.new_volume(body).await;
        assert_eq!(made["bootable"], "true");
        let shown = site.get(&format!("/v3/volumes/{}", id_of(&made))).await.json();
        assert_eq!(
            shown["volume"]["volume_image_metadata"],
            json!({
                "checksum": "d41d8cd98f00b204e9800998ecf8427e", "container_format": "bare", "disk_format": "raw",
                "hw_disk_bus": "scsi", "image_id": image, "image_name": "cirros", "min_disk": "1",
                "min_ram": "64", "size": "1073741824",
            })
        );
    }
    site.new_image(|_| {}).await;
    let ambiguous = site.post("/v3/volumes", json!({"volume": {"size": 1, "imageRef": "cirros"}})).await;
    let message = "Multiple matches found for 'cirros', use an ID to be more specific.";
    assert_eq!(ambiguous.expect(409).text(), fault("conflictingRequest", 409, message));
}

#[tokio::test]
async fn an_image_must_fit() {
    let site = Site::new().await;
    let queued = site.new_image(|image| image.status = ImageStatus::Queued).await;
    let large = site.new_image(|image| image.size = Some((2 << 30) + 1)).await;
    let demanding = site.new_image(|image| image.min_disk = 4).await;
    let hollow = site.new_image(|image| image.virtual_size = Some(5 << 30)).await;
    let gone = site.new_image(|image| image.status = ImageStatus::Deleted).await;
    let ploop = site.new_image(|image| image.disk_format = Some("ploop".to_owned())).await;
    let unable = "Invalid image identifier or unable to access requested image.";
    for (image, message) in [
        (queued.as_str(), format!("Invalid input received: Image {queued} is not active.")),
        (
            large.as_str(),
            "Invalid input received: Size of specified image 3GB is larger than volume size 2GB.".to_owned(),
        ),
        (
            demanding.as_str(),
            "Invalid input received: Volume size 2GB cannot be smaller than the image minDisk size 4GB."
                .to_owned(),
        ),
        (
            hollow.as_str(),
            format!(
                "Image {hollow} is unacceptable: Image virtual size is 5GB and doesn't fit in a volume of size 2GB."
            ),
        ),
        (gone.as_str(), unable.to_owned()),
        ("nothing-like-it", unable.to_owned()),
    ] {
        let body = json!({"volume": {"size": 2, "imageRef": image}});
        assert_refused(&site.post("/v3/volumes", body).await, &message);
    }
    let answer =
        site.post("/v3/volumes", json!({"volume": {"size": 2, "imageRef": ploop}})).await.expect(501);
    let message = "The conversion of images of disk format ploop is not implemented.";
    assert_eq!(answer.text(), fault("notImplemented", 501, message));
    let generic =
        "The server could not comply with the request since it is either malformed or otherwise incorrect.";
    assert_refused(&site.post("/v3/volumes", json!({"volume": {"imageRef": hollow}})).await, generic);
}

#[tokio::test]
async fn limits_are_quotas() {
    let site = Site::with(|config| {
        config.quotas.quota_volumes = 1;
        config.limits.max_volume_size = 3;
        config.limits.max_metadata_items = 1;
    })
    .await;
    let over = |message: &str| {
        json!({"overLimit": {"code": 413, "message": message, "retryAfter": "0"}}).to_string()
    };
    let large = site.post("/v3/volumes", json!({"volume": {"size": 5}})).await.expect(413);
    let too_large =
        "VolumeSizeExceedsLimit: Requested volume size 5G is larger than maximum allowed limit 3G.";
    assert_eq!(large.text(), over(too_large));
    assert_eq!(large.header("retry-after"), Some("0"));
    let items = json!({"volume": {"size": 1, "metadata": {"a": "", "b": ""}}});
    site.post("/v3/volumes", items).await.expect(413);
    let id = site.available_volume(json!({"size": 1, "metadata": {"a": ""}})).await;
    let second = site.post("/v3/volumes", json!({"volume": {"size": 1}})).await.expect(413);
    let message = "VolumeLimitExceeded: Maximum number of volumes allowed (1) exceeded for quota 'volumes'.";
    assert_eq!(second.text(), over(message));
    let extend = json!({"os-extend": {"new_size": 5}});
    assert_eq!(site.post(&format!("/v3/volumes/{id}/action"), extend).await.text(), over(too_large));
    site.post(&format!("/v3/volumes/{id}/metadata"), json!({"metadata": {"b": ""}})).await.expect(413);
}

#[tokio::test]
async fn a_volume_is_updated() {
    let site = Site::new().await;
    let id = site.new_volume(json!({"size": 1, "name": "a", "metadata": {"k": "v"}})).await;
    let path = format!("/v3/volumes/{}", id_of(&id));
    let put = async |version, volume: Value| {
        site.volume("PUT", &path).version(version).json(&json!({"volume": volume})).send().await
    };
    let updated = put(71, json!({"name": " b ", "display_description": "text"})).await.expect(200).json();
    assert_eq!(updated["volume"]["name"], "b");
    assert_eq!(updated["volume"]["description"], "text");
    assert_eq!(updated["volume"]["metadata"], json!({"k": "v"}));
    assert!(updated["volume"]["updated_at"].is_string());
    assert_eq!(updated["volume"].get("os-vol-tenant-attr:tenant_id"), None);
    let updated = put(71, json!({"name": null, "metadata": {}})).await.expect(200).json();
    assert_eq!((&updated["volume"]["name"], &updated["volume"]["metadata"]), (&Value::Null, &json!({})));
    assert_eq!(site.get(&path).await.json()["volume"]["description"], "text");

    put(52, json!({})).await.expect(200);
    assert_refused(
        &put(53, json!({})).await,
        "Invalid input for field/attribute volume. Value: {}. {} is not valid under any of the given schemas",
    );
    assert_refused(
        &put(0, json!({"size": 5})).await,
        "Invalid input for field/attribute volume. Value: {'size': 5}. Additional properties are not allowed \
         ('size' was unexpected)",
    );
    let missing = site.volume("PUT", "/v3/volumes/x").json(&json!({"volume": {"name": "n"}})).send().await;
    missing.expect(404);
}

#[tokio::test]
async fn metadata_is_kept_item_by_item() {
    let site = Site::new().await;
    let volume = site.available_volume(json!({"size": 1})).await;
    let snapshot = site.available_snapshot(&volume).await;
    for (kind, path) in [
        ("Volume", format!("/v3/volumes/{volume}/metadata")),
        ("Snapshot", format!("/v3/snapshots/{snapshot}/metadata")),
    ] {
        let send = async |method: &str, path: &str, body: Value| {
            site.volume(method, path).version(71).json(&body).send().await
        };
        assert_eq!(site.get(&path).await.expect(200).text(), r#"{"metadata":{}}"#);
        let merged = send("POST", &path, json!({"metadata": {"a": "1", "b": "2"}})).await.expect(200);
        assert_eq!(merged.text(), r#"{"metadata":{"a":"1","b":"2"}}"#);
        let merged = send("POST", &path, json!({"metadata": {"c": "3"}})).await.expect(200);
        assert_eq!(merged.text(), r#"{"metadata":{"a":"1","b":"2","c":"3"}}"#);
        let replaced = send("PUT", &path, json!({"metadata": {"d": "4"}})).await.expect(200);
        assert_eq!(replaced.text(), r#"{"metadata":{"d":"4"}}"#);
        let item = send("PUT", &format!("{path}/e"), json!({"meta": {"e": "5"}})).await.expect(200);
        assert_eq!(item.text(), r#"{"meta":{"e":"5"}}"#);
        assert_eq!(site.get(&format!("{path}/e")).await.expect(200).text(), r#"{"meta":{"e":"5"}}"#);
        let removed = site.volume("DELETE", &format!("{path}/d")).send().await.expect(200);
        assert_eq!((removed.text(), removed.header("content-type")), ("", Some("text/html; charset=UTF-8")));
        assert_eq!(site.get(&path).await.text(), r#"{"metadata":{"e":"5"}}"#);

        let id = if kind == "Volume" { &volume } else { &snapshot };
        let message = format!("{kind} {id} has no metadata with key d.");
        for method in ["GET", "DELETE"] {
            let answer = site.volume(method, &format!("{path}/d")).send().await.expect(404);
            assert_eq!(answer.text(), fault("itemNotFound", 404, &message));
        }
        let mismatch = send("PUT", &format!("{path}/x"), json!({"meta": {"y": "5"}})).await;
        assert_refused(&mismatch, "Request body and URI mismatch");
        let key = send("POST", &path, json!({"metadata": {"é": "5"}})).await;
        assert_refused(
            &key,
            "Invalid input for field/attribute metadata. Value: {'é': '5'}. 'é' does not match any of the \
             regexes: '^[a-zA-Z0-9-_:. /]{1,255}$'",
        );
        let none = send("PUT", &format!("{path}/x"), json!({"meta": {}})).await;
        assert_refused(&none, "Invalid input for field/attribute meta. Value: {}. {} should be non-empty");
    }
}

#[tokio::test]
async fn metadata_is_written_only_over_what_the_client_knows() {
    let site = Site::new().await;
    let path = format!("/v3/volumes/{}/metadata", site.new_volume_id().await);
    assert_eq!(site.volume("GET", &path).version(14).send().await.header("etag"), None);
    let tag = site.volume("GET", &path).version(15).send().await.header("etag").unwrap().to_owned();
    let put = |version, tag: &str| {
        let body = json!({"metadata": {"a": "b"}});
        site.volume("PUT", &path).version(version).header("if-match", tag).json(&body).send()
    };
    let refused = put(15, "\"0123\"").await.expect(412);
    assert!(refused.body.is_empty());
    put(14, "\"0123\"").await.expect(200);
    put(15, &tag).await.expect(412);
    let tag = site.volume("GET", &path).version(15).send().await.header("etag").unwrap().to_owned();
    put(15, &format!("\"{tag}\"")).await.expect(200);
}

#[tokio::test]
async fn a_volume_is_extended() {
    let site = Site::new().await;
    let id = site.available_volume(json!({"size": 2})).await;
    let path = format!("/v3/volumes/{id}/action");
    let extend = async |size: Value| site.post(&path, json!({"os-extend": {"new_size": size}})).await;
    for size in [1, 2] {
        assert_refused(
            &extend(json!(size)).await,
            &format!(
                "Invalid input received: New size for extend must be greater than current size. (current: 2, \
                 extended: {size})."
            ),
        );
    }
    let accepted = extend(json!("5")).await.expect(202);
    assert_eq!((accepted.text(), accepted.header("content-type")), ("", Some("application/json")));
    assert_eq!(site.volume_row(&id).await.status, VolumeStatus::Extending);
    let task =
        Task::ExtendVolume { volume_id: VolumeId::parse(&id).unwrap(), new_size: Gib::new(5).unwrap() };
    assert_eq!(site.tasks().await.pop(), Some((task, false)));
    assert_refused(
        &extend(json!(6)).await,
        &format!(
            "Invalid volume: Volume {id} status must be '{{'status': 'available'}}' to extend, currently extending."
        ),
    );

    site.move_volume(&id, &[VolumeStatus::Available, VolumeStatus::InUse]).await;
    let early = site.volume("POST", &path).version(41).json(&json!({"os-extend": {"new_size": 7}}));
    early.send().await.expect(400);
    extend(json!(7)).await.expect(202);
}

#[tokio::test]
async fn actions_that_are_not_there_say_so() {
    let site = Site::new().await;
    let path = format!("/v3/volumes/{}/action", site.new_volume_id().await);
    let unknown = site.post(&path, json!({"os-nosuch": null})).await;
    let hint = "Verify the request body and Content-Type header and try again.";
    assert_refused(&unknown, &format!("There is no such action: os-nosuch. {hint}"));
    for body in [json!({}), json!({"os-extend": {}, "os-unmanage": {}}), json!([]), json!("os-extend")] {
        assert_refused(&site.post(&path, body).await, "Malformed request body");
    }
    let early = site.volume("POST", &path).version(67).json(&json!({"os-reimage": {}}));
    early.send().await.expect(404);
    assert_refused(
        &site.post("/v3/snapshots/x/action", json!({"os-extend": {}})).await,
        &format!("There is no such action: os-extend. {hint}"),
    );
}

const UNDELETABLE: &str = "Invalid volume: Volume status must be available or error or error_restoring or \
    error_extending or error_managing and must not be migrating, attached, belong to a group, have snapshots, \
    awaiting a transfer, or be disassociated from snapshots after volume transfer.";

#[tokio::test]
async fn a_volume_is_deleted_from_every_status_that_allows_it() {
    use VolumeStatus::*;
    let cases: [(&[VolumeStatus], u16, bool); 10] = [
        (&[], 202, true),
        (&[Downloading], 202, true),
        (&[Available], 202, false),
        (&[Error], 202, false),
        (&[Available, Extending, ErrorExtending], 202, false),
        (&[Available, Deleting, ErrorDeleting], 202, false),
        (&[Available, Deleting], 400, false),
        (&[Available, Extending], 400, false),
        (&[Available, InUse], 400, false),
        (&[Available, InUse, Extending], 400, false),
    ];
    for (path, status, cancels) in cases {
        let site = Site::new().await;
        let id = site.new_volume_id().await;
        site.move_volume(&id, path).await;
        let answer = site.volume("DELETE", &format!("/v3/volumes/{id}")).send().await.expect(status);
        if status == 400 {
            assert_refused(&answer, UNDELETABLE);
            continue;
        }
        assert_eq!((answer.text(), answer.header("content-type")), ("", Some("text/html; charset=UTF-8")));
        assert_eq!(site.volume_row(&id).await.status, Deleting);
        let tasks = site.tasks().await;
        assert_eq!(tasks[0].1, cancels, "{path:?}");
        assert_eq!(tasks[1], (Task::DeleteVolume { volume_id: VolumeId::parse(&id).unwrap() }, false));
    }
}

#[tokio::test]
async fn a_volume_goes_with_its_snapshots_or_not_at_all() {
    let site = Site::new().await;
    let id = site.available_volume(json!({"size": 1})).await;
    let path = format!("/v3/volumes/{id}");
    let mut snapshots = Vec::new();
    for through in [&[][..], &[SnapshotStatus::Error], &[SnapshotStatus::Available, SnapshotStatus::Deleting]]
    {
        let snapshot = site.new_snapshot_id(&id).await;
        site.move_snapshot(&snapshot, through).await;
        snapshots.push(snapshot);
    }
    assert_refused(&site.volume("DELETE", &path).send().await, UNDELETABLE);
    assert_refused(&site.volume("DELETE", &format!("{path}?cascade=false")).send().await, UNDELETABLE);
    assert_refused(
        &site.volume("DELETE", &format!("{path}?cascade=maybe")).send().await,
        "Value 'maybe' for 'cascade' is not a boolean.",
    );
    let before = site.tasks().await.len();
    site.volume("DELETE", &format!("{path}?cascade=True")).send().await.expect(202);
    let volume_id = VolumeId::parse(&id).unwrap();
    let mut tasks: Vec<Task> = site.tasks().await.into_iter().skip(before).map(|(task, _)| task).collect();
    // The volume's own comes last: it waits for the others.
    assert_eq!(tasks.pop(), Some(Task::DeleteVolume { volume_id: volume_id.clone() }));
    for snapshot in &snapshots[..2] {
        let snapshot_id = SnapshotId::parse(snapshot).unwrap();
        let task = Task::DeleteSnapshot { snapshot_id, volume_id: volume_id.clone() };
        assert!(tasks.contains(&task), "{tasks:?}");
    }
    assert_eq!(tasks.len(), 2);
    for snapshot in &snapshots {
        let shown = site.get(&format!("/v3/snapshots/{snapshot}")).await.json();
        assert_eq!(shown["snapshot"]["status"], "deleting");
    }
}

#[tokio::test]
async fn a_cascade_that_is_refused_changes_nothing() {
    let site = Site::new().await;
    let id = site.available_volume(json!({"size": 1})).await;
    let snapshot = site.available_snapshot(&id).await;
    site.move_volume(&id, &[VolumeStatus::InUse]).await;
    let refused = site.volume("DELETE", &format!("/v3/volumes/{id}?cascade=true")).send().await;
    assert_refused(&refused, UNDELETABLE);
    let shown = site.get(&format!("/v3/snapshots/{snapshot}")).await.json();
    assert_eq!(shown["snapshot"]["status"], "available");
}

#[tokio::test]
async fn force_is_for_those_who_know_of_it() {
    let site = Site::new().await;
    let id = site.available_volume(json!({"size": 1})).await;
    site.move_volume(&id, &[VolumeStatus::Deleting]).await;
    let path = format!("/v3/volumes/{id}?force=true");
    site.volume("DELETE", &path).version(22).send().await.expect(400);
    // Nothing is under way that would end that status.
    let before = site.tasks().await.len();
    for _ in 0..2 {
        site.volume("DELETE", &path).version(23).send().await.expect(202);
        assert_eq!(site.tasks().await.len(), before + 1);
    }
}

#[tokio::test]
async fn the_summary_adds_up() {
    let site = Site::new().await;
    let path = "/v3/volumes/summary";
    let early = site.volume("GET", path).version(11).send().await.expect(404);
    assert_eq!(early.text(), fault("itemNotFound", 404, "The resource could not be found."));
    site.new_volume(json!({"size": 1, "metadata": {"k": "b"}})).await;
    site.new_volume(json!({"size": 2, "metadata": {"k": "a"}})).await;
    site.new_volume(json!({"size": 4, "name": "n", "metadata": {"k": "a", "l": ""}})).await;
    assert_eq!(
        site.volume("GET", path).version(12).send().await.text(),
        r#"{"volume-summary":{"total_count":3,"total_size":7}}"#
    );
    assert_eq!(
        site.get(path).await.text(),
        r#"{"volume-summary":{"total_count":3,"total_size":7,"metadata":{"k":["a","b"],"l":[""]}}}"#
    );
    // Filters are nobody's business here, known or not.
    for query in ["?name=n", "?colour=red"] {
        let totals = site.get(&format!("{path}{query}")).await.expect(200).json();
        assert_eq!(totals["volume-summary"]["total_count"], 3, "{query}");
    }
}

/// Of many at once, one wins; the others are told why not.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_deletes_and_extends_wins() {
    let site = Site::new().await;
    for round in 0..8 {
        let id = site.available_volume(json!({"size": 1})).await;
        let before = site.tasks().await.len();
        let calls = (0..8).map(|i| {
            let call = if (i + round) % 2 == 0 {
                site.volume("DELETE", &format!("/v3/volumes/{id}"))
            } else {
                let body = json!({"os-extend": {"new_size": 2 + i}});
                site.volume("POST", &format!("/v3/volumes/{id}/action")).json(&body)
            };
            tokio::spawn(call.send())
        });
        let mut accepted = 0;
        for answer in futures::future::join_all(calls).await {
            let answer = answer.unwrap();
            match answer.status.as_u16() {
                202 => accepted += 1,
                400 => {
                    let message = answer.json()["badRequest"]["message"].as_str().unwrap().to_owned();
                    let lost = format!("Invalid volume: Volume {id} status must be ");
                    assert!(message == UNDELETABLE || message.starts_with(&lost), "{message}");
                }
                _ => panic!("{answer:?}"),
            }
        }
        assert_eq!(accepted, 1);
        assert_eq!(site.tasks().await.len(), before + 1);
    }
}

#[tokio::test]
async fn rows_say_whose_they_are() {
    let site = Site::new().await;
    let row = site.volume_row(&site.new_volume_id().await).await;
    assert_eq!(row.project_id.as_str(), PROJECT);
    assert_eq!(row.host.as_deref(), Some("pumice@directory#rbd"));
    assert_eq!((row.previous_status, row.multiattach, row.image_metadata.is_none()), (None, false, true));
}

fn uuid(number: u8) -> String {
    format!("00000000-0000-4000-8000-0000000000{number:02}")
}

#[tokio::test]
async fn one_that_is_called_deleting_is_deleted_by_force_once() {
    let site = Site::new().await;
    let id = site.available_volume(json!({"size": 1})).await;
    let path = format!("/v3/volumes/{id}/action");
    site.move_volume(&id, &[VolumeStatus::Deleting]).await;
    let before = site.tasks().await.len();
    for _ in 0..2 {
        site.post(&path, json!({"os-force_delete": {}})).await.expect(202);
        assert_eq!(site.tasks().await.len(), before + 1);
    }

    // What keeps others from being deleted keeps this one.
    let id = site.available_volume(json!({"size": 1})).await;
    site.new_snapshot_id(&id).await;
    let path = format!("/v3/volumes/{id}/action");
    site.move_volume(&id, &[VolumeStatus::Deleting]).await;
    site.post(&path, json!({"os-force_delete": {}})).await.expect(400);
}
