//! What may be done with a volume in which status: every action in every status, against a table.

use pumice::db::Attachment;
use pumice::model::VolumeStatus::{
    self, Attaching, Available, Creating, Deleting, Detaching, Downloading, Extending, InUse, Maintenance,
    Reserved, Uploading,
};
use pumice::model::{AttachmentId, AttachmentStatus, VolumeId};
use serde_json::{Value, json};

use super::{assert_refused, fault};
use crate::support::{Answer, Site};

/// What the API's reference says of an operation: where it is let in, with which code, and what the volume is then.
struct Row {
    operation: &'static str,
    code: u16,
    /// Refused with this code elsewhere.
    refusal: u16,
    accepts: fn(VolumeStatus) -> bool,
    becomes: fn(VolumeStatus) -> VolumeStatus,
}

/// As of microversion 3.71; `os-extend` twice.
const TABLE: &[Row] = &[
    Row { operation: "os-reserve", code: 202, refusal: 400, accepts: is_available, becomes: |_| Attaching },
    Row {
        operation: "os-unreserve",
        code: 202,
        refusal: 400,
        accepts: any,
        becomes: |was| match was {
            Attaching => Available,
            other => other,
        },
    },
    Row {
        operation: "os-begin_detaching",
        code: 202,
        refusal: 400,
        accepts: is_in_use,
        becomes: |_| Detaching,
    },
    Row {
        operation: "os-roll_detaching",
        code: 202,
        refusal: 400,
        accepts: any,
        becomes: |was| match was {
            Detaching => InUse,
            other => other,
        },
    },
    Row {
        operation: "os-attach",
        code: 202,
        refusal: 400,
        accepts: |was| matches!(was, Available | Attaching),
        becomes: |_| InUse,
    },
    // What a job works on, and what is broken, keeps its status; the real service would call it available.
    Row { operation: "os-detach", code: 202, refusal: 400, accepts: not_maintenance, becomes: detached },
    Row {
        operation: "os-force_detach",
        code: 202,
        refusal: 400,
        accepts: not_maintenance,
        becomes: detached,
    },
    Row {
        operation: "os-initialize_connection",
        code: 200,
        refusal: 400,
        accepts: not_maintenance,
        becomes: same,
    },
    Row {
        operation: "os-terminate_connection",
        code: 202,
        refusal: 400,
        accepts: any,
        becomes: |was| match was {
            Attaching => Available,
            other => other,
        },
    },
    Row {
        operation: "os-update_readonly_flag",
        code: 202,
        refusal: 400,
        accepts: is_available,
        becomes: same,
    },
    Row { operation: "os-set_bootable", code: 200, refusal: 400, accepts: not_maintenance, becomes: same },
    Row { operation: "PUT volume", code: 200, refusal: 400, accepts: not_maintenance, becomes: same },
    Row { operation: "POST metadata", code: 200, refusal: 400, accepts: is_writable, becomes: same },
    Row { operation: "DELETE metadata", code: 200, refusal: 400, accepts: is_writable, becomes: same },
    Row {
        operation: "os-extend",
        code: 202,
        refusal: 400,
        accepts: |was| matches!(was, Available | InUse),
        becomes: |_| Extending,
    },
    Row {
        operation: "os-extend 3.41",
        code: 202,
        refusal: 400,
        accepts: is_available,
        becomes: |_| Extending,
    },
    // Nothing ever waits for it here.
    Row {
        operation: "os-extend_volume_completion",
        code: 202,
        refusal: 400,
        accepts: |_| false,
        becomes: same,
    },
    // A volume that is being filled is reserved when it is ready.
    Row {
        operation: "POST attachment",
        code: 200,
        refusal: 400,
        accepts: |was| matches!(was, Available | Downloading),
        becomes: |was| if was == Downloading { Downloading } else { Reserved },
    },
    Row {
        operation: "POST attachment with its host",
        code: 200,
        refusal: 400,
        accepts: |was| matches!(was, Available | Downloading),
        becomes: |was| if was == Downloading { Downloading } else { Attaching },
    },
    // The real service also takes a volume that is being deleted.
    Row {
        operation: "PUT attachment",
        code: 200,
        refusal: 409,
        accepts: |was| was != Deleting && !was.is_error(),
        becomes: |was| if was.follows_attachments() { Attaching } else { was },
    },
    Row {
        operation: "complete attachment",
        code: 204,
        refusal: 409,
        accepts: any,
        becomes: |was| if was.follows_attachments() { InUse } else { was },
    },
    Row { operation: "DELETE attachment", code: 200, refusal: 409, accepts: any, becomes: detached },
];

/// Likewise, of a volume of a type that several servers may have at once.
const SHARED: &[Row] = &[
    Row { operation: "os-reserve", code: 202, refusal: 400, accepts: is_takeable, becomes: |_| Attaching },
    Row {
        operation: "os-attach",
        code: 202,
        refusal: 400,
        accepts: |was| is_takeable(was) || was == Attaching,
        becomes: |_| InUse,
    },
    Row {
        operation: "POST attachment",
        code: 200,
        refusal: 400,
        accepts: |was| is_takeable(was) || was == Downloading,
        becomes: |was| if was == Downloading { Downloading } else { Reserved },
    },
    Row {
        operation: "POST attachment with its host",
        code: 200,
        refusal: 400,
        accepts: |was| is_takeable(was) || was == Downloading,
        becomes: |was| if was == Downloading { Downloading } else { Attaching },
    },
    Row {
        operation: "os-begin_detaching",
        code: 202,
        refusal: 400,
        accepts: is_in_use,
        becomes: |_| Detaching,
    },
    Row { operation: "DELETE attachment", code: 200, refusal: 409, accepts: any, becomes: detached },
];

fn any(_: VolumeStatus) -> bool {
    true
}

fn same(was: VolumeStatus) -> VolumeStatus {
    was
}

fn is_available(was: VolumeStatus) -> bool {
    was == Available
}

fn is_takeable(was: VolumeStatus) -> bool {
    matches!(was, Available | InUse)
}

fn is_in_use(was: VolumeStatus) -> bool {
    was == InUse
}

fn not_maintenance(was: VolumeStatus) -> bool {
    was != Maintenance
}

fn is_writable(was: VolumeStatus) -> bool {
    !matches!(was, Maintenance | Uploading)
}

fn detached(was: VolumeStatus) -> VolumeStatus {
    if was.follows_attachments() { Available } else { was }
}

/// A volume in that status; what is attached to it, if anything is, says nothing of a host.
async fn volume_in(site: &Site, status: VolumeStatus) -> (String, Option<AttachmentId>) {
    volume_of(site, "__DEFAULT__", status).await
}

async fn volume_of(site: &Site, of_type: &str, status: VolumeStatus) -> (String, Option<AttachmentId>) {
    let volume = json!({"size": 1, "metadata": {"k": "v"}, "volume_type": of_type});
    let id = super::id_of(&site.new_volume(volume).await);
    site.reset_volume(&id, status).await;
    let attached = match status {
        InUse | Detaching => Some(AttachmentStatus::Attached),
        _ => None,
    };
    let attachment = match attached {
        Some(status) => Some(attachment(site, &id, status).await),
        None => None,
    };
    (id, attachment)
}

async fn attachment(site: &Site, volume: &str, status: AttachmentStatus) -> AttachmentId {
    let world = &site.app().world;
    let attachment = Attachment {
        id: AttachmentId::from(world.ids.random()),
        volume_id: VolumeId::parse(volume).unwrap(),
        instance_id: None,
        status,
        host: None,
        mountpoint: None,
        mode: None,
        access: None,
        attached_at: None,
        created_at: world.now(),
    };
    let mut repository = site.app().database.begin().await.unwrap();
    repository.add_attachment(&attachment).await.unwrap();
    repository.commit().await.unwrap();
    attachment.id
}

async fn carry_out(site: &Site, operation: &str, volume: &str, attached: Option<AttachmentId>) -> Answer {
    let put = async |path: &str, body: Value| site.volume("PUT", path).version(71).json(&body).send().await;
    let action = format!("/v3/volumes/{volume}/action");
    let reserve = json!({"volume_uuid": volume});
    let body = match operation {
        "os-attach" => json!({"host_name": "h", "mountpoint": "/dev/vdb"}),
        "os-initialize_connection" | "os-terminate_connection" => json!({"connector": {"host": "h"}}),
        "os-update_readonly_flag" => json!({"readonly": true}),
        "os-set_bootable" => json!({"bootable": true}),
        "os-extend" => json!({"new_size": 2}),
        "os-detach" | "os-force_detach" | "os-extend_volume_completion" => json!({}),
        "os-extend 3.41" => {
            let body = json!({"os-extend": {"new_size": 2}});
            return site.volume("POST", &action).version(41).json(&body).send().await;
        }
        "PUT volume" => {
            return put(&format!("/v3/volumes/{volume}"), json!({"volume": {"name": "n"}})).await;
        }
        "POST metadata" => {
            return site.post(&format!("/v3/volumes/{volume}/metadata"), json!({"metadata": {}})).await;
        }
        "DELETE metadata" => {
            return site.volume("DELETE", &format!("/v3/volumes/{volume}/metadata/k")).send().await;
        }
        "POST attachment" => return site.post("/v3/attachments", json!({"attachment": reserve})).await,
        "POST attachment with its host" => {
            let body = json!({"attachment": {"volume_uuid": volume, "connector": {"host": "h"}}});
            return site.post("/v3/attachments", body).await;
        }
        other if other.ends_with("attachment") => {
            let id = match attached {
                Some(id) => id,
                None => attachment(site, volume, AttachmentStatus::Reserved).await,
            };
            let path = format!("/v3/attachments/{id}");
            return match other {
                "PUT attachment" => put(&path, json!({"attachment": {"connector": {"host": "h"}}})).await,
                "DELETE attachment" => site.volume("DELETE", &path).version(71).send().await,
                _ => site.post(&format!("{path}/action"), json!({"os-complete": null})).await,
            };
        }
        _ => json!(null),
    };
    site.post(&action, json!({ operation: body })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_action_in_every_status_is_as_the_table_says() {
    let site = Site::on_ceph(|_| {}).await;
    let shared = json!({"volume_type": {"name": "shared", "extra_specs": {"multiattach": "<is> True"}}});
    site.post("/v3/types", shared).await.expect(200);
    let mut wrong = Vec::new();
    let of_one = TABLE.iter().map(|row| (row, "__DEFAULT__"));
    for (row, of_type) in of_one.chain(SHARED.iter().map(|row| (row, "shared"))) {
        for &status in VolumeStatus::ALL {
            let (volume, attached) = volume_of(&site, of_type, status).await;
            let answer = carry_out(&site, row.operation, &volume, attached).await;
            let (code, becomes) =
                if (row.accepts)(status) { (row.code, (row.becomes)(status)) } else { (row.refusal, status) };
            let found = (answer.status.as_u16(), site.volume_row(&volume).await.status);
            if found != (code, becomes) {
                wrong.push(format!(
                    "{} of {status} ({of_type}): {found:?} instead of {:?}: {}",
                    row.operation,
                    (code, becomes),
                    answer.text()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn refusals_name_the_status() {
    let site = Site::new().await;
    let in_status = async |status| volume_in(&site, status).await.0;
    let creating = in_status(Creating).await;
    let maintained = in_status(Maintenance).await;
    let in_use = in_status(InUse).await;
    let attach = json!({"host_name": "h2", "mountpoint": "/dev/vdb"});
    let connector = json!({"connector": {}});
    for (volume, action, body, message) in [
        (
            &creating,
            "os-reserve",
            json!(null),
            "Volume status must be available to reserve, but the status is creating.",
        ),
        (
            &creating,
            "os-begin_detaching",
            json!(null),
            "Unable to detach volume. Volume status must be 'in-use' and attach_status must be 'attached' to detach.",
        ),
        (&maintained, "os-attach", attach.clone(), "The volume cannot be attached in maintenance mode."),
        (&maintained, "os-detach", json!({}), "The volume cannot be detached in maintenance mode."),
        (
            &maintained,
            "os-initialize_connection",
            connector,
            "The volume connection cannot be initialized in maintenance mode.",
        ),
        (
            &maintained,
            "os-set_bootable",
            json!({"bootable": false}),
            "The volume cannot be updated during maintenance.",
        ),
        (
            &in_use,
            "os-update_readonly_flag",
            json!({"readonly": "true"}),
            &format!(
                "Volume {in_use} status must be available to update readonly flag, but current status is: in-use."
            ),
        ),
        (&in_use, "os-extend_volume_completion", json!({"error": false}), "Volume is not being extended."),
    ] {
        assert_refused(&site.act(volume, action, body).await, &format!("Invalid volume: {message}"));
    }
    assert_refused(
        &site.act(&in_use, "os-attach", attach).await,
        "Error attaching volume - InvalidVolume: Invalid volume: volume is already attached and multiple attachments \
         are not enabled",
    );
    let body = json!({"metadata": {"a": "b"}});
    assert_refused(
        &site.post(&format!("/v3/volumes/{maintained}/metadata"), body).await,
        "Invalid volume: Updating volume metadata is not allowed for volumes in maintenance status.",
    );
}

#[tokio::test]
async fn what_was_attached_by_hand_is_shown_and_goes() {
    let site = Site::new().await;
    let volume = site.available_volume(json!({"size": 1, "metadata": {"a": "b"}})).await;
    let path = format!("/v3/volumes/{volume}");
    let shown = async || site.get(&path).await.expect(200).json()["volume"].clone();
    site.act(&volume, "os-update_readonly_flag", json!({"readonly": "on"})).await.expect(202);
    assert_eq!(shown().await["metadata"], json!({"a": "b", "readonly": "True"}));
    let attach = |mode: &str| json!({"host_name": "Web_1", "mountpoint": "/dev/vdb", "mode": mode});
    assert_refused(
        &site.act(&volume, "os-attach", attach("rw")).await,
        &format!("Invalid attaching mode 'rw' for volume {volume}."),
    );
    site.act(&volume, "os-reserve", json!(null)).await.expect(202);
    for _ in 0..2 {
        // The second time it is known already.
        site.act(&volume, "os-attach", attach("ro")).await.expect(202);
    }
    let found = shown().await;
    assert_eq!(found["metadata"], json!({"a": "b", "attached_mode": "ro", "readonly": "True"}));
    assert_eq!((&found["status"], found["attachments"].as_array().unwrap().len()), (&json!("in-use"), 1));
    assert_eq!(found["attachments"][0]["host_name"], "web-1");
    let id = found["attachments"][0]["attachment_id"].as_str().unwrap();
    // Nobody was told how to reach it.
    let attachment = site.get(&format!("/v3/attachments/{id}")).await.expect(200).json();
    assert_eq!(attachment["attachment"]["connection_info"], json!(null));
    // The user's own metadata is as it was, alone.
    let metadata = site.get(&format!("{path}/metadata")).await.expect(200).json();
    assert_eq!(metadata, json!({"metadata": {"a": "b"}}));

    for query in ["", "?force=true", "?cascade=true"] {
        site.volume("DELETE", &format!("{path}{query}")).version(71).send().await.expect(400);
    }
    site.act(&volume, "os-begin_detaching", json!(null)).await.expect(202);
    site.act(&volume, "os-roll_detaching", json!(null)).await.expect(202);
    site.act(&volume, "os-detach", json!({"attachment_id": id})).await.expect(202);
    let found = shown().await;
    assert_eq!(found["metadata"], json!({"a": "b", "readonly": "True"}));
    assert_eq!((&found["status"], &found["attachments"]), (&json!("available"), &json!([])));
    site.volume("DELETE", &path).send().await.expect(202);
}

/// Attached to a server whose host nobody named.
#[tokio::test]
async fn a_host_without_a_name_is_no_host_that_was_named_before() {
    let site = Site::new().await;
    let volume = site.available_volume(json!({"size": 1})).await;
    let server = json!({"instance_uuid": "83ec2e3b-4321-422b-8706-a84185f52a0a", "mountpoint": "/dev/vdb"});
    site.act(&volume, "os-attach", server.clone()).await.expect(202);
    for name in ["", "..", "\u{1f980}"] {
        let attach = json!({"host_name": name, "mountpoint": "/dev/vdb"});
        assert_refused(
            &site.act(&volume, "os-attach", attach).await,
            "Error attaching volume - InvalidVolume: Invalid volume: volume is already attached and multiple \
             attachments are not enabled",
        );
    }
    site.act(&volume, "os-attach", server).await.expect(202);
}

#[tokio::test]
async fn force_deletes_what_was_only_about_to_be_attached() {
    let site = Site::new().await;
    for status in [Attaching, Reserved, Maintenance, Downloading, Creating] {
        let (volume, _) = volume_in(&site, status).await;
        attachment(&site, &volume, AttachmentStatus::Reserved).await;
        let delete = async |query: &str| {
            site.volume("DELETE", &format!("/v3/volumes/{volume}{query}")).version(71).send().await
        };
        delete("").await.expect(400);
        assert_eq!(site.volume_row(&volume).await.status, status);
        delete("?force=true").await.expect(202);
    }
}

#[tokio::test]
async fn whether_a_volume_boots_is_set() {
    let site = Site::new().await;
    let volume = site.available_volume(json!({"size": 1})).await;
    for (given, shown) in [(json!(true), "true"), (json!("no"), "false"), (json!("1"), "true")] {
        let answer = site.act(&volume, "os-set_bootable", json!({"bootable": given})).await.expect(200);
        assert_eq!(answer.text(), "");
        let found = site.get(&format!("/v3/volumes/{volume}")).await.json();
        assert_eq!(found["volume"]["bootable"], shown);
    }
    let message =
        "Invalid input for field/attribute os-set_bootable. Value: {}. 'bootable' is a required property";
    assert_refused(&site.act(&volume, "os-set_bootable", json!({})).await, message);
}

#[tokio::test]
async fn actions_want_their_bodies() {
    let site = Site::new().await;
    let volume = site.available_volume(json!({"size": 1})).await;
    let value = |field: &str, value: &str, rest: &str| {
        format!("Invalid input for field/attribute {field}. Value: {value}. {rest}")
    };
    for (action, body, message) in [
        (
            "os-attach",
            json!({"host_name": "h"}),
            value("os-attach", "{'host_name': 'h'}", "'mountpoint' is a required property"),
        ),
        (
            "os-attach",
            json!({"mountpoint": "/dev/vdb"}),
            value(
                "os-attach",
                "{'mountpoint': '/dev/vdb'}",
                "{'mountpoint': '/dev/vdb'} is not valid under any of the given schemas",
            ),
        ),
        (
            "os-attach",
            json!({"instance_uuid": "x", "mountpoint": "/dev/vdb"}),
            value("instance_uuid", "x", "'x' is not a 'uuid'"),
        ),
        (
            "os-attach",
            json!({"host_name": "h", "mountpoint": ""}),
            value("mountpoint", "", "'' should be non-empty"),
        ),
        (
            "os-detach",
            json!({"attachment_id": "x"}),
            value("attachment_id", "x", "'x' is not valid under any of the given schemas"),
        ),
        (
            "os-initialize_connection",
            json!({}),
            value("os-initialize_connection", "{}", "'connector' is a required property"),
        ),
        (
            "os-initialize_connection",
            json!({"connector": 1}),
            value("connector", "1", "1 is not of type 'object', 'string'"),
        ),
        (
            "os-terminate_connection",
            json!({"connector": []}),
            value("connector", "[]", "[] is not of type 'string', 'object', 'null'"),
        ),
        (
            "os-update_readonly_flag",
            json!({"readonly": 2}),
            value("readonly", "2", "2 is not of type 'boolean', 'string'"),
        ),
    ] {
        assert_refused(&site.act(&volume, action, body).await, &message);
    }
    assert_eq!(site.volume_row(&volume).await.status, Available);
    let missing = site.act("x", "os-reserve", json!(null)).await.expect(404);
    assert_eq!(missing.text(), fault("itemNotFound", 404, "Volume x could not be found."));
}
