//! Attachments of volumes: what they look like, and who may take them away.

use std::sync::atomic::Ordering;

use pumice::block::OpenMode;
use pumice::config::Seconds;
use pumice::db::Attachment;
use pumice::model::VolumeStatus::{self, Available, Downloading, InUse};
use pumice::model::{AttachmentId, MigrationStatus, VolumeId};
use serde_json::{Value, json};

use super::{PROJECT, assert_refused, fault, id_of};
use crate::policy::stage::{ADMIN, Api, MEMBER, OURS, READER, Stage};
use crate::support::{Answer, Call, Site};
use crate::workflows::nova::{self, Knows};

const SERVER: &str = "83ec2e3b-4321-422b-8706-a84185f52a0a";
const ANOTHER: &str = "9c2a5d1e-5a5b-4f0e-9f0c-4a6f3f0f7a11";

impl Site {
    async fn attach(&self, attachment: Value) -> Answer {
        self.post("/v3/attachments", json!({ "attachment": attachment })).await
    }

    async fn update_attachment(&self, id: &str, connector: Value) -> Answer {
        let body = json!({"attachment": {"connector": connector}});
        self.volume("PUT", &format!("/v3/attachments/{id}")).version(71).json(&body).send().await
    }

    async fn complete(&self, id: &str) -> Answer {
        self.post(&format!("/v3/attachments/{id}/action"), json!({"os-complete": null})).await
    }

    async fn detach(&self, id: &str) -> Answer {
        self.volume("DELETE", &format!("/v3/attachments/{id}")).version(71).send().await
    }

    async fn status(&self, volume: &str) -> VolumeStatus {
        self.volume_row(volume).await.status
    }

    pub(super) async fn act(&self, volume: &str, action: &str, body: Value) -> Answer {
        self.post(&format!("/v3/volumes/{volume}/action"), json!({ action: body })).await
    }
}

fn attachment_of(answer: &Answer) -> Value {
    answer.json()["attachment"].clone()
}

#[tokio::test]
async fn a_reservation_is_shown_key_by_key() {
    let site = Site::new().await;
    let volume = site.available_volume(json!({"size": 1})).await;
    let made = site.attach(json!({"volume_uuid": volume, "instance_uuid": SERVER})).await.expect(200);
    let id = id_of(&attachment_of(&made));
    let summary = format!(r#""id":"{id}","status":"reserved","instance":"{SERVER}","volume_id":"{volume}""#);
    let detail = format!(
        r#"{{{summary},"attached_at":"","detached_at":"","attach_mode":"null","connection_info":{{}}}}"#
    );
    assert_eq!(made.text(), format!(r#"{{"attachment":{detail}}}"#));
    assert_eq!(
        site.get(&format!("/v3/attachments/{id}")).await.expect(200).text(),
        format!(r#"{{"attachment":{detail}}}"#)
    );
    for query in
        ["", "?limit=1", &format!("?volume_id={volume}"), &format!("?instance_id={SERVER}&status=reserved")]
    {
        let list = site.get(&format!("/v3/attachments{query}")).await.expect(200);
        assert_eq!(list.text(), format!(r#"{{"attachments":[{{{summary}}}]}}"#), "{query}");
        let list = site.get(&format!("/v3/attachments/detail{query}")).await.expect(200);
        assert_eq!(list.text(), format!(r#"{{"attachments":[{detail}]}}"#), "{query}");
    }
    for query in [
        "?attach_status=attached",
        &format!("?volume_id={ANOTHER}"),
        &format!("?marker={id}"),
        "?no_column=x",
        "?limit=0",
    ] {
        let list = site.get(&format!("/v3/attachments{query}")).await.expect(200);
        assert_eq!(list.text(), r#"{"attachments":[]}"#, "{query}");
    }
    // The volume shows what is attached, and this is not.
    assert_eq!(site.status(&volume).await, VolumeStatus::Reserved);
    let shown = site.get(&format!("/v3/volumes/{volume}")).await.json();
    assert_eq!(
        (&shown["volume"]["status"], &shown["volume"]["attachments"]),
        (&json!("reserved"), &json!([]))
    );

    assert_eq!(site.detach(&id).await.expect(200).text(), r#"{"attachments":[]}"#);
    assert_eq!(site.status(&volume).await, Available);
    let message = format!("Volume attachment could not be found with filter: attachment_id = {id}.");
    for answer in [
        site.detach(&id).await,
        site.get(&format!("/v3/attachments/{id}")).await,
        site.complete(&id).await,
        site.update_attachment(&id, json!({"host": "h"})).await,
    ] {
        assert_eq!(answer.expect(404).text(), fault("itemNotFound", 404, &message));
    }
}

/// From reservation to detachment, as Nova does it, on the real cluster.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_told_how_to_reach_the_volume() {
    let site = Site::on_ceph(|config| {
        config.volumes.rbd_user = Some("cinder".to_owned());
        config.volumes.rbd_secret_uuid = Some(ANOTHER.to_owned());
    })
    .await;
    let volume = site.available_volume(json!({"size": 1})).await;
    let made =
        site.attach(json!({"volume_uuid": volume, "instance_uuid": SERVER, "mode": "rw"})).await.expect(200);
    assert_eq!(attachment_of(&made)["attach_mode"], "rw");
    let id = id_of(&attachment_of(&made));

    let connector =
        json!({"host": "compute-1", "mountpoint": "/dev/vdb", "ip": "10.0.0.2", "multipath": false});
    let told = site.update_attachment(&id, connector).await.expect(200);
    let time = attachment_of(&told)["attached_at"].as_str().unwrap().to_owned();
    let monitor = site.app().stores.volumes.first().store.monitors().await.unwrap().remove(0);
    let data = format!(
        concat!(
            r#""name":"volumes/volume-{}","hosts":["{}"],"ports":["{}"],"cluster_name":"ceph","#,
            r#""auth_enabled":true,"auth_username":"cinder","secret_type":"ceph","secret_uuid":"{}","#,
            r#""volume_id":"{}","discard":true,"qos_specs":null,"access_mode":"rw","encrypted":false,"#,
            r#""cacheable":false"#
        ),
        volume, monitor.host, monitor.port, ANOTHER, volume
    );
    let view = |status: &str| {
        format!(
            concat!(
                r#"{{"attachment":{{"id":"{}","status":"{}","instance":"{}","volume_id":"{}","attached_at":"{}","#,
                r#""detached_at":"","attach_mode":"rw","connection_info":{{{},"driver_volume_type":"rbd","#,
                r#""attachment_id":"{}","enforce_multipath":false}}}}}}"#
            ),
            id, status, SERVER, volume, time, data, id
        )
    };
    assert_eq!(told.text(), view("attaching"));
    assert_eq!(site.status(&volume).await, VolumeStatus::Attaching);
    let done = site.complete(&id).await.expect(204);
    assert_eq!(done.text(), "");
    assert_eq!(site.get(&format!("/v3/attachments/{id}")).await.expect(200).text(), view("attached"));

    // The older way tells the same, nested.
    let old = site.act(&volume, "os-initialize_connection", json!({"connector": {"host": "h"}})).await;
    let nested = format!(
        concat!(
            r#"{{"connection_info":{{"driver_volume_type":"rbd","data":{{{},"enforce_multipath":false}},"#,
            r#""enforce_multipath":false}}}}"#
        ),
        data
    );
    assert_eq!(old.expect(200).text(), nested);

    // The volume shows it, in every version, alone and in a list.
    let attached = format!(
        concat!(
            r#""attachments":[{{"id":"{}","attachment_id":"{}","volume_id":"{}","server_id":"{}","#,
            r#""host_name":"compute-1","device":"/dev/vdb","attached_at":"{}"}}]"#
        ),
        volume, id, volume, SERVER, time
    );
    for path in [format!("/v3/volumes/{volume}"), "/v3/volumes/detail".to_owned()] {
        for version in [0, 71] {
            let shown = site.volume("GET", &path).version(version).send().await.expect(200);
            assert!(shown.text().contains(&attached), "{}", shown.text());
            assert!(shown.text().contains(r#""status":"in-use""#), "{}", shown.text());
        }
    }
    site.detach(&id).await.expect(200);
    assert_eq!(site.status(&volume).await, Available);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_volume_and_its_type_say_is_passed_on() {
    let site = Site::on_ceph(|_| {}).await;
    let specs = json!({"qos_specs": {"name": "q", "consumer": "front-end", "total_iops_sec_per_gb": "30",
        "total_iops_sec_max": "50", "read_bytes_sec": "1000"}});
    let qos = id_of(&site.post("/v3/qos-specs", specs).await.expect(200).json()["qos_specs"]);
    let of_type = json!({"volume_type": {"name": "t", "extra_specs": {"cacheable": "<is> True"}}});
    let of_type = id_of(&site.post("/v3/types", of_type).await.expect(200).json()["volume_type"]);
    site.get(&format!("/v3/qos-specs/{qos}/associate?vol_type_id={of_type}")).await.expect(202);
    let volume = site.available_volume(json!({"size": 2, "volume_type": "t"})).await;
    site.act(&volume, "os-update_readonly_flag", json!({"readonly": true})).await.expect(202);
    let connector = json!({"host": "h", "enforce_multipath": true, "mode": "rw"});
    let made =
        site.attach(json!({"volume_uuid": volume, "connector": connector, "mode": "rw"})).await.expect(200);
    let attachment = attachment_of(&made);
    let info = &attachment["connection_info"];
    assert_eq!(info["qos_specs"], json!({"read_bytes_sec": "1000", "total_iops_sec": 50}));
    assert_eq!((&info["cacheable"], &info["enforce_multipath"]), (&json!(true), &json!(true)));
    // A volume that is marked so is never attached for writing.
    assert_eq!((&attachment["attach_mode"], &info["access_mode"]), (&json!("ro"), &json!("ro")));
    assert_eq!((&info["auth_enabled"], &info["auth_username"]), (&json!(false), &json!(null)));
    let fsid = site.app().stores.volumes.first().store.fsid().await.unwrap();
    assert_eq!(info["secret_uuid"], json!(fsid));
    assert_eq!(attachment["instance"], json!(null));
}

/// Nobody but this process reads the files of the directory store, and it says so.
#[tokio::test]
async fn what_cannot_be_attached_is_not_reserved_either() {
    let site = Site::new().await;
    let volume = site.available_volume(json!({"size": 1})).await;
    let message =
        "Volumes that are kept in a directory cannot be attached: nobody but this service can open them.";
    let expected = fault("notImplemented", 501, message);
    let answer = site.attach(json!({"volume_uuid": volume, "connector": {"host": "h"}})).await.expect(501);
    assert_eq!(answer.text(), expected);
    let answer = site.act(&volume, "os-initialize_connection", json!({"connector": {}})).await.expect(501);
    assert_eq!(answer.text(), expected);
    assert_eq!(site.status(&volume).await, Available);
    assert_eq!(site.get("/v3/attachments").await.text(), r#"{"attachments":[]}"#);
    let reserved = site.attach(json!({"volume_uuid": volume, "connector": {}})).await.expect(200);
    let id = id_of(&attachment_of(&reserved));
    assert_eq!(site.update_attachment(&id, json!({"host": "h"})).await.expect(501).text(), expected);
    assert_eq!(site.status(&volume).await, VolumeStatus::Reserved);
}

#[tokio::test]
async fn attachments_of_a_project_are_found() {
    let site = Site::new().await;
    let volume = site.available_volume(json!({"size": 1})).await;
    let made = site.attach(json!({"volume_uuid": volume})).await.expect(200);
    let found = async |query: &str| {
        let list = site.get(&format!("/v3/attachments?{query}")).await.expect(200).json();
        list["attachments"].as_array().unwrap().iter().map(id_of).collect::<Vec<_>>()
    };
    let one = [id_of(&attachment_of(&made))];
    assert_eq!(found(&format!("all_tenants=1&project_id={PROJECT}")).await, one);
    assert_eq!(found(&format!("project_id={PROJECT}")).await, one);
    assert!(found("all_tenants=1&project_id=other").await.is_empty());
    assert!(found("project_id=other").await.is_empty());
}

#[tokio::test]
async fn attachments_came_with_3_27_and_more_of_them_later() {
    let site = Site::new().await;
    let volume = site.available_volume(json!({"size": 1})).await;
    let post = async |path: &str, version, body: Value| -> Answer {
        site.volume("POST", path).version(version).json(&body).send().await
    };
    let body = json!({"attachment": {"volume_uuid": volume}});
    post("/v3/attachments", 26, body.clone()).await.expect(404);
    for path in ["/v3/attachments", "/v3/attachments/detail", "/v3/attachments/x"] {
        let answer = site.volume("GET", path).version(26).send().await.expect(404);
        assert_eq!(answer.text(), fault("itemNotFound", 404, "The resource could not be found."));
    }
    let with_mode = json!({"attachment": {"volume_uuid": volume, "mode": "ro"}});
    let refused = post("/v3/attachments", 53, with_mode.clone()).await.expect(400);
    assert!(refused.text().contains("Additional properties are not allowed ('mode' was unexpected)"));
    let made = post("/v3/attachments", 54, with_mode).await.expect(200);
    assert_eq!(attachment_of(&made)["attach_mode"], "ro");
    let path = format!("/v3/attachments/{}/action", id_of(&attachment_of(&made)));
    post(&path, 43, json!({"os-complete": null})).await.expect(404);
    post(&path, 44, json!({"os-complete": null})).await.expect(204);
    assert_refused(
        &post(&path, 44, json!({"os-begin": null})).await,
        "There is no such action: os-begin. Verify the request body and Content-Type header and try again.",
    );
}

#[tokio::test]
async fn a_body_must_say_what_is_meant() {
    let site = Site::new().await;
    let volume = site.available_volume(json!({"size": 1})).await;
    let value = |field: &str, value: &str, rest: &str| {
        format!("Invalid input for field/attribute {field}. Value: {value}. {rest}")
    };
    for (attachment, message) in [
        (json!({}), value("attachment", "{}", "'volume_uuid' is a required property")),
        (json!({"volume_uuid": "x"}), value("volume_uuid", "x", "'x' is not a 'uuid'")),
        (json!({"volume_uuid": null}), value("volume_uuid", "None", "None is not of type 'string'")),
        (
            json!({"volume_uuid": volume, "instance_uuid": 1}),
            value("instance_uuid", "1", "1 is not of type 'string'"),
        ),
        (
            json!({"volume_uuid": volume, "connector": "h"}),
            value("connector", "h", "'h' is not of type 'object', 'null'"),
        ),
        (
            json!({"volume_uuid": volume, "mode": "rx"}),
            value("mode", "rx", "'rx' is not one of ['rw', 'ro']"),
        ),
    ] {
        assert_refused(&site.attach(attachment).await, &message);
    }
    assert_refused(&site.post("/v3/attachments", json!({})).await, "'attachment' is a required property");
    let id = id_of(&attachment_of(&site.attach(json!({"volume_uuid": volume})).await.expect(200)));
    for (connector, message) in [
        (json!("h"), value("connector", "h", "'h' is not of type 'object'")),
        (json!({}), value("connector", "{}", "{} should be non-empty")),
    ] {
        assert_refused(&site.update_attachment(&id, connector).await, &message);
    }
    let nowhere = site.attach(json!({"volume_uuid": ANOTHER})).await.expect(404);
    assert_eq!(nowhere.text(), fault("itemNotFound", 404, &format!("Volume {ANOTHER} could not be found.")));
}

#[tokio::test]
async fn there_are_only_so_many_attachments() {
    let site = Site::new().await;
    let volume = site.available_volume(json!({"size": 1})).await;
    let reserve = json!({"volume_uuid": volume, "instance_uuid": SERVER});
    let first = id_of(&attachment_of(&site.attach(reserve.clone()).await.expect(200)));
    let mut repository = site.app().database.begin().await.unwrap();
    let one = repository.attachment(&AttachmentId::parse(&first).unwrap()).await.unwrap().unwrap();
    for _ in 1..1000 {
        let id = AttachmentId::from(site.app().world.ids.random());
        repository.add_attachment(&Attachment { id, ..one.clone() }).await.unwrap();
    }
    repository.commit().await.unwrap();
    let message = format!("Invalid volume: Volume {volume} has 1000 attachments already.");
    assert_refused(&site.attach(reserve).await, &message);
    let long = "h".repeat(256);
    assert_refused(
        &site.update_attachment(&first, json!({"host": long})).await,
        "Invalid input received: host has 256 characters, more than 255.",
    );
}

#[tokio::test]
async fn a_volume_is_reserved_once_unless_the_server_moves() {
    let site = Site::new().await;
    let volume = site.available_volume(json!({"size": 1})).await;
    let first = site.attach(json!({"volume_uuid": volume, "instance_uuid": SERVER})).await.expect(200);
    let message = format!(
        "Invalid volume: Volume {volume} status must be available or downloading to reserve, but the current status is reserved."
    );
    assert_refused(&site.attach(json!({"volume_uuid": volume, "instance_uuid": ANOTHER})).await, &message);
    assert_refused(&site.attach(json!({"volume_uuid": volume})).await, &message);
    let second = site.attach(json!({"volume_uuid": volume, "instance_uuid": SERVER})).await.expect(200);
    let (first, second) = (id_of(&attachment_of(&first)), id_of(&attachment_of(&second)));
    // One is attached, so the other keeps the volume in use until it goes too.
    site.complete(&first).await.expect(204);
    assert_eq!(site.status(&volume).await, InUse);
    let left = site.detach(&first).await.expect(200).json();
    assert_eq!(left["attachments"][0]["id"], json!(second));
    assert_eq!(site.status(&volume).await, VolumeStatus::Reserved);
    site.detach(&second).await.expect(200);
    assert_eq!(site.status(&volume).await, Available);
}

#[tokio::test]
async fn a_volume_for_many_is_reserved_while_it_is_in_use() {
    let site = Site::new().await;
    let of_type = json!({"volume_type": {"name": "m", "extra_specs": {"multiattach": "<is> True"}}});
    site.post("/v3/types", of_type).await.expect(200);
    let volume = site.available_volume(json!({"size": 1, "volume_type": "m"})).await;
    let mut ids = Vec::new();
    for server in [SERVER, ANOTHER] {
        let made = site.attach(json!({"volume_uuid": volume, "instance_uuid": server})).await.expect(200);
        assert_eq!(site.status(&volume).await, VolumeStatus::Reserved);
        ids.push(id_of(&attachment_of(&made)));
        site.complete(&ids[ids.len() - 1]).await.expect(204);
        assert_eq!(site.status(&volume).await, InUse);
    }
    let shown = site.get(&format!("/v3/volumes/{volume}")).await.json();
    assert_eq!(shown["volume"]["attachments"].as_array().unwrap().len(), 2, "{shown}");
    site.detach(&ids[0]).await.expect(200);
    assert_eq!(site.status(&volume).await, InUse);
    site.detach(&ids[1]).await.expect(200);
    assert_eq!(site.status(&volume).await, Available);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_do_not_have_one_volume() {
    let site = Site::on_ceph(|_| {}).await;
    let volume = site.available_volume(json!({"size": 1})).await;
    let reserve = json!({"volume_uuid": volume, "instance_uuid": SERVER});
    let first = id_of(&attachment_of(&site.attach(reserve.clone()).await.expect(200)));
    let second = id_of(&attachment_of(&site.attach(reserve.clone()).await.expect(200)));
    site.update_attachment(&first, json!({"host": "a"})).await.expect(200);
    let refused = site.update_attachment(&second, json!({"host": "b"})).await.expect(409);
    let message = format!("Resource conflict: duplicate connectors detected on volume {volume}");
    assert_eq!(refused.text(), fault("conflictingRequest", 409, &message));
    // With its host named at once, the server is on its way there.
    site.complete(&first).await.expect(204);
    let third = json!({"volume_uuid": volume, "instance_uuid": SERVER, "connector": {"host": "b"}});
    let third = attachment_of(&site.attach(third).await.expect(200));
    assert_eq!(third["status"], "attaching");
    assert_eq!(site.status(&volume).await, VolumeStatus::Attaching);
    for id in [&first, &second, &id_of(&third)] {
        site.detach(id).await.expect(200);
    }
    assert_eq!(site.status(&volume).await, Available);
    // The attachments were rows: the cluster holds nothing of them.
    let name = format!("volume-{volume}");
    assert!(site.app().stores.volumes.first().store.open(&name, OpenMode::ReadOnly).await.is_err());
}

#[tokio::test]
async fn what_is_being_filled_can_be_reserved_and_keeps_its_job() {
    let site = Site::new().await;
    let volume = site.new_volume_id().await;
    site.move_volume(&volume, &[Downloading]).await;
    let made = site.attach(json!({"volume_uuid": volume, "instance_uuid": SERVER})).await.expect(200);
    assert_eq!(site.status(&volume).await, Downloading);
    site.detach(&id_of(&attachment_of(&made))).await.expect(200);
    assert_eq!(site.status(&volume).await, Downloading);
}

#[tokio::test]
async fn what_is_being_filled_is_reserved_once_unless_the_server_moves() {
    let site = Site::new().await;
    let volume = site.new_volume_id().await;
    site.move_volume(&volume, &[Downloading]).await;
    let reserve = |server: &str| json!({"volume_uuid": volume, "instance_uuid": server});
    site.attach(reserve(SERVER)).await.expect(200);
    let message = format!(
        "Invalid volume: Volume {volume} status must be available or downloading to reserve, but the current status is reserved."
    );
    let connected = json!({"volume_uuid": volume, "instance_uuid": ANOTHER, "connector": {"host": "h"}});
    for refused in [reserve(ANOTHER), json!({"volume_uuid": volume}), connected] {
        assert_refused(&site.attach(refused).await, &message);
    }
    site.attach(reserve(SERVER)).await.expect(200);
    let listed = site.get(&format!("/v3/attachments?volume_id={volume}")).await.expect(200).json();
    assert_eq!(listed["attachments"].as_array().unwrap().len(), 2);
    // What nobody names is nobody's, and nobody else's either.
    let volume = site.new_volume_id().await;
    site.move_volume(&volume, &[Downloading]).await;
    site.attach(json!({"volume_uuid": volume})).await.expect(200);
    site.attach(json!({"volume_uuid": volume})).await.expect(400);
    site.attach(json!({"volume_uuid": volume, "instance_uuid": SERVER})).await.expect(400);

    let of_type = json!({"volume_type": {"name": "m", "extra_specs": {"multiattach": "<is> True"}}});
    site.post("/v3/types", of_type).await.expect(200);
    let shared = id_of(&site.new_volume(json!({"size": 1, "volume_type": "m"})).await);
    site.move_volume(&shared, &[Downloading]).await;
    for server in [SERVER, ANOTHER] {
        site.attach(json!({"volume_uuid": shared, "instance_uuid": server})).await.expect(200);
    }
}

/// CVE-2023-2088: whoever takes a volume from under a running server gives the device to somebody else.
#[tokio::test]
async fn only_a_service_takes_a_volume_from_a_server() {
    let stage = Stage::new().await;
    let call = |player, service_roles: &[&str], method: &str, path: &str| {
        Call::to(stage.routes_through(Api::Volume, player, service_roles), method, path).version(71)
    };
    let message = format!("Detach volume from instance {ANOTHER} using the Compute API");
    let expected = fault("conflictingRequest", 409, &message);
    let id = stage.attachment(OURS).await;
    let volume =
        stage.site.app().database.read().await.unwrap().attachment(&id).await.unwrap().unwrap().volume_id;
    let path = format!("/v3/attachments/{id}");
    let action = format!("/v3/volumes/{volume}/action");
    for player in [MEMBER, ADMIN] {
        for roles in [&[][..], &["member"]] {
            let answer = call(player, roles, "DELETE", &path).send().await.expect(409);
            assert_eq!(answer.text(), expected);
            for body in [
                json!({"os-detach": {}}),
                json!({"os-detach": null}),
                json!({"os-detach": {"attachment_id": id.as_str()}}),
                json!({"os-terminate_connection": {"connector": {}}}),
            ] {
                let answer = call(player, roles, "POST", &action).json(&body).send().await.expect(409);
                assert_eq!(answer.text(), expected, "{body}");
            }
            // Of one that nobody knows it cannot be said whose it is.
            let body = json!({"os-detach": {"attachment_id": ANOTHER}});
            let answer = call(player, roles, "POST", &action).json(&body).send().await.expect(409);
            let unknown = "Detach volume from instance  using the Compute API";
            assert_eq!(answer.text(), fault("conflictingRequest", 409, unknown));
        }
    }
    let body = json!({"os-force_detach": {"attachment_id": id.as_str()}});
    call(MEMBER, &[], "POST", &action).json(&body).send().await.expect(403);
    call(ADMIN, &[], "POST", &action).json(&body).send().await.expect(409);
    let elsewhere = stage.attachment(OURS).await;
    let body = json!({"os-detach": {"attachment_id": elsewhere.as_str()}});
    let answer = call(MEMBER, &["service"], "POST", &action).json(&body).send().await.expect(400);
    let message = "Invalid input received: Mismatched volume and attachment";
    assert_eq!(answer.text(), fault("badRequest", 400, message));

    call(MEMBER, &["Service"], "DELETE", &path).send().await.expect(200);
    call(MEMBER, &["service"], "DELETE", &format!("/v3/attachments/{elsewhere}")).send().await.expect(200);
    // What no server uses is its owner's to detach.
    let volume = stage.volume(OURS).await;
    let id = stage.attach(&volume, None).await;
    call(MEMBER, &[], "DELETE", &format!("/v3/attachments/{id}")).send().await.expect(200);
}

#[tokio::test]
async fn one_of_several_roles_makes_a_service() {
    let several = ["robot", "service"].map(str::to_owned);
    let stage = Stage::with(|config| config.keystone_authtoken.service_token_roles = several.into()).await;
    for (role, status) in [("nova", 409), ("Robot", 200), ("service", 200)] {
        let path = format!("/v3/attachments/{}", stage.attachment(OURS).await);
        let routes = stage.routes_through(Api::Volume, MEMBER, &[role]);
        Call::to(routes, "DELETE", &path).version(71).send().await.expect(status);
    }
}

async fn attached_to(stage: &Stage, id: &AttachmentId) -> VolumeId {
    stage.app().database.read().await.unwrap().attachment(id).await.unwrap().unwrap().volume_id
}

/// What Nova knows nothing of any more would otherwise be in use for ever.
#[tokio::test]
async fn what_nova_has_forgotten_its_owner_takes_away() {
    let nova = nova::play(&[]).await;
    let stage = Stage::with(|config| config.nova = nova.options()).await;
    let call = |player, method: &str, path: &str| stage.call(Api::Volume, player, method, path).version(71);
    let know = |what: Knows| *nova.knows.lock().unwrap() = what;

    let kept = stage.attachment(OURS).await;
    let volume = attached_to(&stage, &kept).await;
    let path = format!("/v3/attachments/{kept}");
    let action = format!("/v3/volumes/{volume}/action");
    let force = json!({"os-force_detach": {"attachment_id": kept.as_str()}});
    for knows in
        [Knows::It(kept.to_string()), Knows::AnotherPath, Knows::OldWords, Knows::Nonsense, Knows::IsDown]
    {
        know(knows.clone());
        let answer = call(MEMBER, "DELETE", &path).send().await.expect(409);
        let message = format!("Detach volume from instance {ANOTHER} using the Compute API");
        assert_eq!(answer.text(), fault("conflictingRequest", 409, &message), "{knows:?}");
        for body in [json!({"os-detach": null}), json!({"os-terminate_connection": {"connector": {}}})] {
            call(MEMBER, "POST", &action).json(&body).send().await.expect(409);
        }
        call(ADMIN, "POST", &action).json(&force).send().await.expect(409);
    }
    let asked = nova.asked.lock().unwrap().pop().unwrap();
    assert_eq!((asked.1.as_str(), asked.2.as_str()), (ANOTHER, volume.as_str()));
    assert_eq!(asked.0["openstack-api-version"], "compute 2.89");
    assert!(asked.0["x-auth-token"].to_str().unwrap().starts_with("token-"));

    // What is moving it may know by another name; and who may not take it away has nothing to ask.
    know(Knows::Nothing);
    let before = nova.asked.lock().unwrap().len();
    let migrates = async |status: Option<MigrationStatus>| {
        let mut repository = stage.app().database.begin().await.unwrap();
        repository.set_migration_status(&volume, status).await.unwrap();
        repository.commit().await.unwrap();
    };
    migrates(Some(MigrationStatus::Migrating)).await;
    call(ADMIN, "DELETE", &path).send().await.expect(409);
    migrates(None).await;
    call(READER, "DELETE", &path).send().await.expect(403);
    call(MEMBER, "POST", &action).json(&force).send().await.expect(403);
    let as_service = stage.routes_through(Api::Volume, MEMBER, &["service"]);
    let freed = stage.attachment(OURS).await;
    let freed = format!("/v3/attachments/{freed}");
    Call::to(as_service, "DELETE", &freed).version(71).send().await.expect(200);
    assert_eq!(nova.asked.lock().unwrap().len(), before);

    for knows in [Knows::Nothing, Knows::It(SERVER.to_owned())] {
        know(knows.clone());
        for (player, body) in [
            (MEMBER, None),
            (ADMIN, None),
            (MEMBER, Some(json!({"os-detach": {}}))),
            (ADMIN, Some(json!({"os-force_detach": {}}))),
        ] {
            let id = stage.attachment(OURS).await;
            let volume = attached_to(&stage, &id).await;
            match &body {
                None => {
                    drop(call(player, "DELETE", &format!("/v3/attachments/{id}")).send().await.expect(200))
                }
                Some(body) => {
                    let path = format!("/v3/volumes/{volume}/action");
                    call(player, "POST", &path).json(body).send().await.expect(202);
                }
            }
            let mut repository = stage.app().database.read().await.unwrap();
            let row = repository.volume(&volume).await.unwrap().unwrap();
            assert_eq!(row.status, Available, "{knows:?} {body:?}");
            assert_eq!(repository.attachments_of(&volume).await.unwrap(), []);
        }
    }
}

/// For one who is not shown all servers none is there; and nobody waits for ever.
#[tokio::test]
async fn a_nova_that_cannot_say_frees_nothing() {
    for (is_blind, knows) in [(true, Knows::Nothing), (false, Knows::Hangs)] {
        let nova = nova::play(&[]).await;
        nova.is_blind.store(is_blind, Ordering::SeqCst);
        *nova.knows.lock().unwrap() = knows;
        let stage = Stage::with(|config| {
            config.api.request_timeout = Seconds(600);
            config.nova = nova.options();
            config.nova.timeout = Seconds(1);
        })
        .await;
        let path = format!("/v3/attachments/{}", stage.attachment(OURS).await);
        stage.call(Api::Volume, MEMBER, "DELETE", &path).version(71).send().await.expect(409);
        assert!(!is_blind || nova.asked.lock().unwrap().is_empty());
    }
}

/// The name of the host is not for everybody.
#[tokio::test]
async fn members_do_not_read_where_their_servers_run() {
    let stage = Stage::new().await;
    let volume = stage.volume(OURS).await;
    stage.attach(&volume, Some(SERVER)).await;
    for (player, host) in [(MEMBER, json!(null)), (ADMIN, json!("compute-1"))] {
        let path = format!("/v3/volumes/{volume}");
        let shown = stage.call(Api::Volume, player, "GET", &path).version(71).send().await.expect(200).json();
        assert_eq!(shown["volume"]["attachments"][0]["host_name"], host);
        assert_eq!(shown["volume"]["attachments"][0]["server_id"], SERVER);
    }
}
