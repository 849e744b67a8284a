//! Volumes in use that move, as Nova and administrators see them.

use pumice::config::{Backend, Config};
use pumice::db::Volume;
use pumice::jobs::{Destination, Task};
use pumice::model::VolumeStatus::{self, Attaching, Available, InUse, Maintenance, Retyping};
use pumice::model::{MigrationStatus, VolumeId};
use serde_json::{Value, json};
use sqlx::types::Json;

use super::{assert_refused, id_of};
use crate::policy::stage::{ADMIN, Api, MEMBER, OURS, Stage};
use crate::support::{Answer, Call, Site};

const SERVER: &str = "83ec2e3b-4321-422b-8706-a84185f52a0a";
const FAST: &str = "pumice@fast#fast-pool";

fn configure(config: &mut Config) {
    let backend = Backend {
        rbd_pool: "fast-pool".to_owned(),
        volume_backend_name: Some("fast-label".to_owned()),
        ..Backend::default()
    };
    config.backends.0.insert("fast".to_owned(), backend);
    config.nova.auth_url = Some("http://127.0.0.1:1".to_owned());
    config.nova.password = Some(serde_json::from_value(json!("s3cret")).unwrap());
}

async fn site() -> Site {
    let site = Site::with(configure).await;
    site.report().await;
    // There is where a volume goes that may go anywhere.
    site.has_room("pumice@directory", 1 << 20).await;
    site
}

impl Site {
    /// Its server has said so, by `/attachments`.
    async fn volume_in_use(&self) -> String {
        let volume = self.available_volume(json!({"size": 1, "name": "vol", "metadata": {"k": "v"}})).await;
        self.attached_to(&volume).await;
        volume
    }

    /// The attachment's id.
    async fn attached_to(&self, volume: &str) -> String {
        let body = json!({"attachment": {"volume_uuid": volume, "instance_uuid": SERVER}});
        let id = id_of(&self.post("/v3/attachments", body).await.expect(200).json()["attachment"]);
        self.post(&format!("/v3/attachments/{id}/action"), json!({"os-complete": null})).await.expect(204);
        id
    }

    async fn migrate(&self, volume: &str, rest: Value) -> Answer {
        let mut body = json!({"host": FAST});
        body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        self.act(volume, "os-migrate_volume", body).await
    }

    /// What the job makes, which does not run here.
    async fn next_of(&self, volume: &str) -> String {
        let row = self.volume_row(volume).await;
        let mut repository = self.app().database.begin().await.unwrap();
        let migrating = Some(MigrationStatus::Migrating);
        repository.set_migration_status(&row.id, migrating).await.unwrap();
        let next = Volume {
            id: VolumeId::from(self.app().world.ids.random()),
            name_id: Some(row.id),
            status: Available,
            migration_status: Some(MigrationStatus::Target),
            host: Some(FAST.to_owned()),
            admin_metadata: Json(Default::default()),
            ..row
        };
        repository.add_volume(&next).await.unwrap();
        repository.commit().await.unwrap();
        next.id.to_string()
    }

    async fn finish(&self, volume: &str, next: &str, error: bool) -> Answer {
        self.act(volume, "os-migrate_volume_completion", json!({"new_volume": next, "error": error})).await
    }

    async fn shown(&self, volume: &str) -> Value {
        self.get(&format!("/v3/volumes/{volume}")).await.expect(200).json()["volume"].clone()
    }

    async fn listed(&self, query: &str) -> Vec<String> {
        let found = self.get(&format!("/v3/volumes?{query}")).await.expect(200).json();
        found["volumes"].as_array().unwrap().iter().map(id_of).collect()
    }
}

#[tokio::test]
async fn a_volume_in_use_is_moved_where_there_is_a_nova() {
    let site = site().await;
    let id = site.volume_in_use().await;
    // What is in use is not locked.
    site.migrate(&id, json!({"lock_volume": true})).await.expect(202);
    let row = site.volume_row(&id).await;
    assert_eq!((row.status, row.migration_status), (InUse, Some(MigrationStatus::Starting)));
    let (task, _) = site.tasks().await.pop().unwrap();
    let Task::MigrateVolume { to, .. } = task else { panic!("{task:?}") };
    assert_eq!(to, Destination::Place { host: FAST.into(), zone: "nova".into() });
    let busy = format!(
        "Invalid volume: Volume {id} status must be available or in-use, must not be migrating, have snapshots, be \
         replicated, be part of a group and destination host/cluster must be different than the current one"
    );
    assert_refused(&site.migrate(&id, json!({})).await, &busy);

    let other = site.volume_in_use().await;
    let of_type =
        json!({"volume_type": {"name": "fast", "extra_specs": {"volume_backend_name": "fast-label"}}});
    site.post("/v3/types", of_type).await.expect(200);
    let retype = json!({"new_type": "fast", "migration_policy": "on-demand"});
    site.act(&other, "os-retype", retype).await.expect(202);
    let row = site.volume_row(&other).await;
    assert_eq!((row.status, row.migration_status), (Retyping, Some(MigrationStatus::Starting)));
    let (task, _) = site.tasks().await.pop().unwrap();
    assert!(matches!(task, Task::RetypeVolume { to: Destination::Place { host, .. }, .. } if host == FAST));
    // A free one is locked.
    let free = site.available_volume(json!({"size": 1})).await;
    site.migrate(&free, json!({"lock_volume": true})).await.expect(202);
    assert_eq!(site.volume_row(&free).await.status, Maintenance);
}

/// Nova died over it: the job finds that nobody has the next copy.
#[tokio::test]
async fn an_administrator_takes_the_next_copy_from_its_server() {
    let site = site().await;
    let id = site.volume_in_use().await;
    let next = site.next_of(&id).await;
    site.attached_to(&next).await;
    assert_eq!(site.volume_row(&next).await.status, InUse);
    site.act(&next, "os-reset_status", json!({"attach_status": "detached"})).await.expect(202);
    assert_eq!(site.volume_row(&next).await.status, Available);
    assert_eq!(site.volume_row(&id).await.status, InUse);
}

#[tokio::test]
async fn without_a_nova_a_volume_in_use_stays() {
    let site = Site::with(|config| {
        configure(config);
        config.nova = Default::default();
    })
    .await;
    site.report().await;
    let id = site.volume_in_use().await;
    let of_type =
        json!({"volume_type": {"name": "fast", "extra_specs": {"volume_backend_name": "fast-label"}}});
    site.post("/v3/types", of_type).await.expect(200);
    let retype = json!({"new_type": "fast", "migration_policy": "on-demand"});
    for answer in [site.migrate(&id, json!({})).await, site.act(&id, "os-retype", retype).await] {
        let message = "The migration of attached volumes without a Nova is not implemented.";
        assert_eq!(answer.expect(501).json()["notImplemented"]["message"], message);
    }
    let row = site.volume_row(&id).await;
    assert_eq!((row.status, row.migration_status), (InUse, None));
}

/// What Nova does, and what it must find.
#[tokio::test]
async fn nova_swaps_a_volume_for_its_next_copy() {
    let site = site().await;
    let id = site.volume_in_use().await;
    let old = id_of(&site.get("/v3/attachments").await.json()["attachments"][0]);
    let next = site.next_of(&id).await;
    let shown = site.shown(&next).await;
    assert_eq!(shown["migration_status"], format!("target:{id}"));
    assert_eq!(shown["os-vol-mig-status-attr:migstat"], format!("target:{id}"));
    assert_eq!(shown["os-vol-mig-status-attr:name_id"], id.as_str());
    assert_eq!((&shown["consumes_quota"], &shown["name"]), (&json!(false), &json!("vol")));
    let usage =
        site.get(&format!("/v3/os-quota-sets/{}?usage=true", super::PROJECT)).await.expect(200).json();
    assert_eq!(usage["quota_set"]["volumes"]["in_use"], 1);
    // Before Nova has it nobody has copied anything.
    let unused =
        format!("Invalid volume: Volume {next} must be attached, and volume {id} must not have snapshots.");
    assert_refused(&site.finish(&id, &next, false).await, &unused);
    // The user sees nothing of it.
    site.act(&id, "os-begin_detaching", Value::Null).await.expect(202);
    assert_eq!(site.volume_row(&id).await.status, InUse);
    let new = site.attached_to(&next).await;
    site.volume("DELETE", &format!("/v3/attachments/{old}")).version(71).send().await.expect(200);
    assert_eq!(site.volume_row(&id).await.status, InUse);
    let reserve = site.act(&id, "os-reserve", Value::Null).await;
    assert_refused(
        &reserve,
        "Invalid volume: Volume status must be available to reserve, but the status is in-use.",
    );
    let done = site.finish(&id, &next, false).await.expect(200);
    assert_eq!(done.text(), format!(r#"{{"save_volume_id":"{id}"}}"#));
    let row = site.volume_row(&id).await;
    assert_eq!((row.status, row.migration_status), (InUse, Some(MigrationStatus::Completing)));
    assert_eq!((row.host.as_deref(), row.name_id), (Some(FAST), None));
    let shown = site.shown(&id).await;
    assert_eq!(shown["attachments"][0]["attachment_id"], new.as_str());
    assert_eq!(shown["attachments"].as_array().unwrap().len(), 1, "{shown}");
    site.get(&format!("/v3/volumes/{next}")).await.expect(404);
    site.finish(&id, &next, false).await.expect(404);
}

#[tokio::test]
async fn what_was_attached_by_actions_stays_attached() {
    let site = site().await;
    let id = site.available_volume(json!({"size": 1})).await;
    let attach = json!({"instance_uuid": SERVER, "mountpoint": "/dev/vdb", "host_name": "h"});
    site.act(&id, "os-attach", attach).await.expect(202);
    let before = site.shown(&id).await["attachments"].clone();
    let next = site.next_of(&id).await;
    site.act(&id, "os-begin_detaching", Value::Null).await.expect(202);
    site.act(&next, "os-reserve", Value::Null).await.expect(202);
    assert_eq!(site.volume_row(&next).await.status, Attaching);
    site.act(&id, "os-terminate_connection", json!({"connector": {}})).await.expect(202);
    site.finish(&id, &next, false).await.expect(200);
    let shown = site.shown(&id).await;
    assert_eq!((&shown["attachments"], &shown["status"]), (&before, &json!("in-use")));
    assert_eq!(shown["metadata"]["attached_mode"], "rw");
    assert_eq!(shown["os-vol-host-attr:host"], FAST);
}

#[tokio::test]
async fn what_nova_could_not_move_is_taken_away() {
    let site = site().await;
    let id = site.volume_in_use().await;
    let next = site.next_of(&id).await;
    let done = site.finish(&id, &next, true).await.expect(200);
    assert_eq!(done.text(), format!(r#"{{"save_volume_id":"{id}"}}"#));
    // The rest is the job's.
    assert_eq!(site.volume_row(&next).await.status, VolumeStatus::Deleting);
    let body = json!({"attachment": {"volume_uuid": next, "instance_uuid": SERVER}});
    site.post("/v3/attachments", body).await.expect(400);
    assert_eq!(site.volume_row(&id).await.host.as_deref(), Some("pumice@directory#rbd"));
    // Twice is as good as once, and too late is too late.
    site.finish(&id, &next, true).await.expect(200);
    site.finish(&id, &next, false).await.expect(400);
}

#[tokio::test]
async fn only_what_belongs_together_is_completed() {
    let site = site().await;
    let (first, second) = (site.volume_in_use().await, site.volume_in_use().await);
    let plain = site.available_volume(json!({"size": 1})).await;
    let next = site.next_of(&first).await;
    let refused = async |volume: &str, new: &str, message: &str| {
        assert_refused(&site.finish(volume, new, false).await, &format!("Invalid volume: {message}"));
    };
    refused(&second, &next, "Source volume not mid-migration.").await;
    refused(&first, &plain, "Destination volume not mid-migration.").await;
    let of_second = site.next_of(&second).await;
    let message = format!("Destination has migration_status target:{second}, expected target:{first}.");
    refused(&first, &of_second, &message).await;
    let message = format!("Destination has migration_status migrating, expected target:{first}.");
    refused(&first, &second, &message).await;
    // Nova has put one in the other's place.
    let other = site.available_volume(json!({"size": 1})).await;
    let answer = site.finish(&plain, &other, false).await.expect(200);
    assert_eq!(answer.json(), json!({"save_volume_id": other}));
    for (body, status) in [
        (json!({"new_volume": "x"}), 400),
        (json!({"error": true}), 400),
        (json!({"new_volume": next, "error": 1}), 400),
        (json!({"new_volume": next, "more": 1}), 400),
        (json!({"new_volume": "00000000-0000-0000-0000-00000000dead"}), 404),
    ] {
        site.act(&first, "os-migrate_volume_completion", body).await.expect(status);
    }
    site.finish("00000000-0000-0000-0000-00000000dead", &next, false).await.expect(404);
}

#[tokio::test]
async fn administrators_see_the_next_copy_and_take_it_away() {
    let site = site().await;
    let id = site.volume_in_use().await;
    let next = site.next_of(&id).await;
    let listed = async |query: &str| site.listed(query).await;
    assert_eq!(listed(&format!("migration_status=target:{id}")).await, std::slice::from_ref(&next));
    assert_eq!(listed("migration_status=target:x").await, [""; 0]);
    assert_eq!(listed("consumes_quota=true").await, std::slice::from_ref(&id));
    assert_eq!(listed("consumes_quota=false").await, std::slice::from_ref(&next));
    assert_eq!(listed("no_migration_targets=true").await, std::slice::from_ref(&id));
    assert_eq!(listed("").await.len(), 2);
    let delete = async || site.volume("DELETE", &format!("/v3/volumes/{next}")).version(71).send().await;
    delete().await.expect(400);
    site.act(&next, "os-force_delete", Value::Null).await.expect(400);
    let reset = |status: &str| json!({"migration_status": status});
    site.act(&next, "os-reset_status", reset("none")).await.expect(202);
    let shown = site.shown(&next).await;
    assert_eq!((&shown["migration_status"], &shown["consumes_quota"]), (&Value::Null, &json!(false)));
    // It is nothing that anybody could work with.
    site.post("/v3/snapshots", json!({"snapshot": {"volume_id": next}})).await.expect(400);
    site.post("/v3/volumes", json!({"volume": {"source_volid": next}})).await.expect(400);
    delete().await.expect(202);
    let (task, _) = site.tasks().await.pop().unwrap();
    assert!(matches!(task, Task::DeleteVolume { volume_id } if volume_id.as_str() == next));
}

#[tokio::test]
async fn users_do_not_see_what_a_volume_is_on_the_way_to() {
    let stage = Stage::with(configure).await;
    let volume = stage.volume(OURS).await;
    let next = stage.site.next_of(volume.as_str()).await;
    for (player, found) in [(MEMBER, 1), (ADMIN, 2)] {
        for path in ["/v3/volumes", "/v3/volumes/detail"] {
            let path = format!("{path}?all_tenants=1");
            let call = Call::to(stage.routes(Api::Volume, player), "GET", &path).version(71);
            let volumes = call.send().await.expect(200).json()["volumes"].clone();
            assert_eq!(volumes.as_array().unwrap().len(), found, "{} {volumes}", player.name);
            assert_eq!(volumes.to_string().contains(&next), player.name == ADMIN.name);
        }
    }
    let complete = json!({"os-migrate_volume_completion": {"new_volume": next, "error": true}});
    let path = format!("/v3/volumes/{volume}/action");
    let ask = |player| {
        Call::to(stage.routes(Api::Volume, player), "POST", &path).version(71).json(&complete).send()
    };
    ask(MEMBER).await.expect(403);
    ask(ADMIN).await.expect(200);
}
