//! What lies on the pool already, and how it becomes a volume or a snapshot.

use pumice::block::{BlockImage, OpenMode};
use pumice::jobs::Task;
use pumice::model::{GIB, SnapshotStatus, VolumeId, VolumeStatus};
use pumice::workflows::names;
use serde_json::{Value, json};
use std::sync::Arc;

use super::{assert_refused, fault, id_of};
use crate::support::{Answer, Site};

const HOST: &str = "pumice@directory#rbd";
const IN_QUERY: &str = "host=pumice@directory%23rbd";

impl Site {
    async fn lay(&self, name: &str, size: u64) {
        self.app().stores.volumes.first().store.create(name, size, 4 << 20).await.unwrap();
    }

    async fn open(&self, name: &str) -> Arc<dyn BlockImage> {
        self.app().stores.volumes.first().store.open(name, OpenMode::ReadWrite).await.unwrap()
    }

    async fn manage(&self, change: Value) -> Answer {
        let mut body = json!({"volume": {"host": HOST, "ref": {"source-name": "disk"}}});
        for (key, value) in change.as_object().unwrap() {
            body["volume"][key] = value.clone();
        }
        self.post("/v3/manageable_volumes", body).await
    }
}

fn names_of(answer: &Answer, list: &str) -> Vec<String> {
    let entries = answer.json()[list].as_array().unwrap().clone();
    entries.iter().map(|entry| entry["reference"]["source-name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn images_on_the_pool_are_listed() {
    let site = Site::new().await;
    let managed = site.available_volume(json!({"size": 1})).await;
    let managed_name = names::volume(&VolumeId::parse(&managed).unwrap());
    let unknown = "volume-00000000-0000-0000-0000-0000000000ff";
    let image = site.new_image(|_| {}).await;
    for (name, size) in [
        (managed_name.as_str(), GIB),
        (unknown, 2 * GIB),
        ("half", GIB + GIB / 2),
        ("a.deleted", GIB),
        ("used", GIB),
        (image.as_str(), GIB),
    ] {
        site.lay(name, size).await;
    }
    let user = site.open("used").await;
    let detail =
        site.get(&format!("/v3/manageable_volumes/detail?{IN_QUERY}&sort=reference:asc")).await.expect(200);
    let entry = |name: &str, size: u64, reason: Value, id: Value| {
        json!({
            "reference": {"source-name": name}, "size": size, "safe_to_manage": reason.is_null(),
            "reason_not_safe": reason, "cinder_id": id, "extra_info": null,
        })
    };
    let mut expected = vec![
        entry(&managed_name, 1, json!("already managed"), json!(managed)),
        entry(unknown, 2, json!(null), json!(null)),
        entry("half", 2, json!("its size is not a whole number of GiB"), json!(null)),
        entry("a.deleted", 1, json!("volume marked as deleted"), json!(null)),
        entry("used", 1, json!("volume in use"), json!(null)),
        entry(image.as_str(), 1, json!("already managed"), json!(null)),
    ];
    expected.sort_by_key(|entry| entry["reference"]["source-name"].as_str().unwrap().to_owned());
    assert_eq!(detail.json(), json!({"manageable-volumes": expected}));
    user.close().await.unwrap();

    let list = async |query: &str| {
        names_of(
            &site.get(&format!("/v3/manageable_volumes?{IN_QUERY}{query}")).await.expect(200),
            "manageable-volumes",
        )
    };
    let all = list("").await;
    let mut sorted = all.clone();
    sorted.sort_by(|a, b| b.cmp(a));
    assert_eq!(all, sorted, "from the last name to the first, unless asked otherwise");
    let marker = "%7B%22source-name%22%3A%22used%22%7D";
    let after_used = all.iter().position(|name| name == "used").unwrap() + 1;
    assert_eq!(
        list(&format!("&marker={marker}&limit=2&offset=1")).await,
        all[after_used + 1..after_used + 3]
    );
    assert_eq!(list("&sort=size:desc,reference:asc&limit=2").await, ["half", unknown]);
    assert_eq!(list(&format!("&sort=size:desc,reference:asc&marker={marker}")).await.len(), 1);
    let summary =
        site.volume("GET", "/v3/os-volume-manage?host=pumice@directory&limit=1").send().await.expect(200);
    assert_eq!(
        summary.text(),
        format!(
            r#"{{"manageable-volumes":[{{"reference":{{"source-name":"{unknown}"}},"size":2,"safe_to_manage":true}}]}}"#
        )
    );
}

#[tokio::test]
async fn what_the_service_needs_is_not_to_be_managed() {
    let site = Site::new().await;
    let id = "0c5e1dd4-27c5-4d07-b9f4-0a3b5f4f6e15";
    let of_import = "used for an import";
    let kept = [
        (format!("cache-{id}"), "used by the cache of images"),
        (format!("volume-{id}.fetched"), "used for a volume that is being made"),
        (format!("{id}.staged"), of_import),
        (format!("{id}.unpacked"), of_import),
        (format!("{id}.converted"), of_import),
    ];
    let in_use = ("disk".to_owned(), "volume in use");
    for (name, _) in kept.iter().chain([&in_use]) {
        site.lay(name, GIB).await;
    }
    let user = site.open("disk").await;
    let listed = site.get(&format!("/v3/manageable_volumes/detail?{IN_QUERY}")).await.expect(200).json();
    for (name, reason) in kept.iter().chain([&in_use]) {
        let entries = listed["manageable-volumes"].as_array().unwrap();
        let entry = entries.iter().find(|entry| entry["reference"]["source-name"] == *name).unwrap();
        assert_eq!(
            (&entry["safe_to_manage"], &entry["reason_not_safe"]),
            (&json!(false), &json!(reason)),
            "{name}"
        );
    }
    for (name, reason) in &kept {
        let message =
            format!("Manage existing volume failed due to invalid backend reference {name}: {reason}");
        assert_refused(&site.manage(json!({"ref": {"source-name": name}})).await, &message);
    }
    // Whoever knows that nothing comes of it may have a running server's disk, as in the real service.
    site.manage(json!({})).await.expect(202);
    user.close().await.unwrap();
}

#[tokio::test]
async fn a_list_is_of_one_host() {
    let site = Site::new().await;
    let get = async |path: &str, version: u16| site.volume("GET", path).version(version).send().await;
    for kind in ["volumes", "snapshots"] {
        let path = format!("/v3/manageable_{kind}");
        let answer = get(&format!("{path}?{IN_QUERY}"), 7).await.expect(404);
        assert_eq!(answer.text(), fault("itemNotFound", 404, "The resource could not be found."));
        for (query, version, refusal) in [
            ("", 8, "Invalid input received: Host field is missing."),
            ("?cluster=c", 16, "Invalid input received: Host field is missing."),
            (
                "?cluster=c&host=h",
                17,
                "Invalid input received: One and only one of cluster and host must be set.",
            ),
            ("?cluster=c", 17, "Cluster 'c' not found"),
            ("?host=pumice", 71, "Host 'pumice' not found"),
            ("?host=pumice@directory%23other", 71, "Host 'pumice@directory#other' not found"),
        ] {
            assert_refused(&get(&format!("{path}{query}"), version).await, refusal);
        }
    }
}

#[tokio::test]
async fn an_image_becomes_a_volume() {
    let site = Site::new().await;
    site.lay("disk", 2 * GIB).await;
    let made = site
        .manage(json!({
            "name": " n ", "description": "d", "bootable": true, "metadata": {"a": "b"}, "volume_type": "__DEFAULT__",
        }))
        .await
        .expect(202);
    let volume = &made.json()["volume"];
    let keys: Vec<&String> = volume.as_object().unwrap().keys().collect();
    assert_eq!(keys.last().unwrap().as_str(), "migration_status", "{keys:?}");
    assert_eq!(
        (&volume["status"], &volume["size"], &volume["name"], &volume["bootable"], &volume["metadata"]["a"]),
        (&json!("creating"), &json!(2), &json!("n"), &json!("true"), &json!("b"))
    );
    let id = id_of(volume);
    assert_eq!(site.volume_status(&id).await, VolumeStatus::Managing);
    assert_eq!(site.volume_row(&id).await.host.as_deref(), Some(HOST));
    let task = Task::ManageVolume { volume_id: VolumeId::parse(&id).unwrap(), source: "disk".to_owned() };
    assert_eq!(site.tasks().await.pop(), Some((task, false)));
    let usage = async || {
        let usage = site.get(&format!("/v3/os-quota-sets/{}?usage=true", super::PROJECT)).await.json();
        usage["quota_set"]["volumes"]["in_use"].clone()
    };
    assert_eq!(usage().await, 1);
    // What never became a volume takes no place.
    site.reset_volume(&id, VolumeStatus::ErrorManaging).await;
    assert_eq!(usage().await, 0);
}

#[tokio::test]
async fn a_managed_volume_is_in_the_zone_of_its_backend_unless_another_is_asked_for() {
    let site = Site::with(|config| config.volumes.backend_availability_zone = Some("moon".to_owned())).await;
    site.lay("disk", GIB).await;
    for (asked, zone) in [
        (json!({}), "moon"),
        (json!({"availability_zone": null}), "moon"),
        (json!({"availability_zone": "moon"}), "moon"),
        (json!({"availability_zone": "mars"}), "mars"),
    ] {
        let made = site.manage(asked).await.expect(202).json()["volume"].clone();
        assert_eq!(made["availability_zone"], zone);
    }
}

#[tokio::test]
async fn what_cannot_be_managed() {
    let site = Site::new().await;
    let managed = site.available_volume(json!({"size": 1})).await;
    let managed_name = names::volume(&VolumeId::parse(&managed).unwrap());
    for (name, size) in [(managed_name.as_str(), GIB), ("half", GIB / 2), ("a.deleted", GIB), ("disk", GIB)] {
        site.lay(name, size).await;
    }
    let invalid = |name: &str, reason: &str| {
        format!("Manage existing volume failed due to invalid backend reference {name}: {reason}")
    };
    for (change, refusal) in [
        (json!({"ref": {"source-name": "none"}}), invalid("none", "Specified RBD image does not exist.")),
        (json!({"ref": {"source-name": "../x"}}), invalid("../x", "Specified RBD image does not exist.")),
        (json!({"ref": "disk"}), invalid("disk", "Reference must contain source-name element.")),
        (
            json!({"ref": {"source-name": "half"}}),
            invalid(
                "half",
                "Its size of 536870912 bytes is not a whole number of GiB; resize it first, to 1 GiB.",
            ),
        ),
        (
            json!({"ref": {"source-name": "a.deleted"}}),
            invalid("a.deleted", "It is kept only for volumes that were made from it."),
        ),
        (
            json!({"ref": {"source-name": managed_name}}),
            "Unable to manage existing volume. The volume is already managed".to_owned(),
        ),
        (
            json!({"volume_type": "no"}),
            "Invalid volume type: Cannot find requested 'no' volume type".to_owned(),
        ),
        (json!({"host": "elsewhere"}), "Host 'elsewhere' not found".to_owned()),
        (
            json!({"host": "a b"}),
            "Invalid input for field/attribute host. Value: a b. 'a b' does not match \
             '^[a-zA-Z0-9-._#@:/+\\\\[\\\\]]*$'"
                .to_owned(),
        ),
        (
            json!({"ref": 5}),
            "Invalid input for field/attribute ref. Value: 5. 5 is not of type 'object', 'string'".to_owned(),
        ),
    ] {
        assert_refused(&site.manage(change).await, &refusal);
    }
    assert_eq!(site.tasks().await.len(), 1, "only that of the volume which was made");
    let old = json!({"volume": {"cluster": "c", "ref": {"source-name": "disk"}}});
    let refused = site.volume("POST", "/v3/os-volume-manage").version(15).json(&old).send().await.expect(400);
    assert!(refused.text().contains("('cluster' was unexpected)"), "{}", refused.text());
    let refused = site.volume("POST", "/v3/os-volume-manage").version(16).json(&old).send().await;
    assert_refused(&refused, "Cluster 'c' not found");
}

#[tokio::test]
async fn snapshots_on_the_pool_are_listed_and_managed() {
    let site = Site::new().await;
    let volume = site.available_volume(json!({"size": 1})).await;
    let id = VolumeId::parse(&volume).unwrap();
    let name = names::volume(&id);
    site.lay(&name, GIB).await;
    let snapshot = site.available_snapshot(&volume).await;
    let managed = format!("snapshot-{snapshot}");
    let clone = names::clone_snapshot(&id);
    let image = site.open(&name).await;
    for name in [managed.as_str(), "by-hand", "backup.1.snap.1700000000.0", &clone] {
        image.create_snapshot(name).await.unwrap();
    }
    image.close().await.unwrap();
    site.lay("half", GIB / 2).await;
    let image = site.open("half").await;
    image.create_snapshot("small").await.unwrap();
    image.close().await.unwrap();

    let detail =
        site.get(&format!("/v3/manageable_snapshots/detail?{IN_QUERY}&sort=reference:asc")).await.expect(200);
    let entry = |name: &str, reason: Value, id: Value, of: &str| {
        json!({
            "reference": {"source-name": name}, "size": 1, "safe_to_manage": reason.is_null(),
            "reason_not_safe": reason, "extra_info": null, "cinder_id": id, "source_reference": {"source-name": of},
        })
    };
    assert_eq!(
        detail.json(),
        json!({"manageable-snapshots": [
            entry("backup.1.snap.1700000000.0", json!("used for volume backup"), json!(null), &name),
            entry("by-hand", json!(null), json!(null), &name),
            entry("small", json!("its size is not a whole number of GiB"), json!(null), "half"),
            entry(&managed, json!("already managed"), json!(snapshot), &name),
            entry(&clone, json!("used for clone snap"), json!(null), &name),
        ]})
    );
    let manage = async |reference: Value| {
        let body =
            json!({"snapshot": {"volume_id": volume, "ref": reference, "name": "s", "metadata": {"a": "b"}}});
        site.post("/v3/manageable_snapshots", body).await
    };
    let invalid = |name: &str, reason: &str| {
        format!("Manage existing volume failed due to invalid backend reference {name}: {reason}")
    };
    for (name, reason) in [
        ("none", "Specified snapshot does not exist."),
        (clone.as_str(), "used for clone snap"),
        (managed.as_str(), "already managed"),
    ] {
        assert_refused(&manage(json!({"source-name": name})).await, &invalid(name, reason));
    }
    let made = manage(json!("by-hand")).await.expect(202).json()["snapshot"].clone();
    assert_eq!((&made["status"], &made["size"], &made["name"]), (&json!("creating"), &json!(1), &json!("s")));
    let made = id_of(&made);
    assert_eq!(site.snapshot_status(&made).await, SnapshotStatus::Creating);
    let task = Task::ManageSnapshot {
        snapshot_id: pumice::model::SnapshotId::parse(&made).unwrap(),
        volume_id: id,
        source: "by-hand".to_owned(),
        was_protected: false,
    };
    assert_eq!(site.tasks().await.pop(), Some((task, false)));
    let unknown = "00000000-0000-0000-0000-0000000000ff";
    let body = json!({"snapshot": {"volume_id": unknown, "ref": {"source-name": "x"}}});
    let missing = site.post("/v3/os-snapshot-manage", body).await.expect(404);
    assert_eq!(missing.text(), fault("itemNotFound", 404, &format!("Volume {unknown} could not be found.")));
}

#[tokio::test]
async fn a_volume_with_snapshots_is_not_forgotten() {
    let site = Site::new().await;
    let volume = site.available_volume(json!({"size": 1})).await;
    let snapshot = site.available_snapshot(&volume).await;
    let refused = site.post(&format!("/v3/volumes/{volume}/action"), json!({"os-unmanage": {}})).await;
    assert!(refused.expect(400).text().contains("have snapshots"));
    let path = format!("/v3/snapshots/{snapshot}/action");
    let done = site.post(&path, json!({"os-unmanage": null})).await.expect(202);
    assert_eq!((done.text(), done.header("content-type")), ("", Some("text/html; charset=UTF-8")));
    assert_eq!(site.snapshot_status(&snapshot).await, SnapshotStatus::Unmanaging);
}
