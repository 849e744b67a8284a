//! Volumes in use that get another place or another type: a Nova that the test plays moves them as the real one does, by
//! what it may ask of the API.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Json, Router};
use pumice::block::{BlockStore, OpenMode, Stores};
use pumice::config::{self, Config, Seconds};
use pumice::db::{Attachment, Volume, VolumeChange};
use pumice::jobs::{Destination, NoFaults};
use pumice::model::{AttachmentStatus, JobState, MigrationStatus, VolumeId, VolumeStatus};
use pumice::workflows::names;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::moves::{FIRST, SECOND};
use super::nova::{self, SERVER};
use super::{on_every_store, pattern};
use crate::house::{DatabaseKind, House, StoreKind};
use crate::support::{Answer, Call};

/// What it does when it is asked to move a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// Attaches the next copy, copies, completes its attachment, deletes the old one, and says so.
    #[default]
    Moves,
    /// Likewise, when the test opens the gate.
    MovesLater,
    /// At once, what was attached by actions.
    MovesByActions,
    /// Attaches the next copy, lets go of it, and says so.
    Fails,
    FailsByActions,
    /// Has nothing to do with it.
    Refuses,
    IsDown,
    /// Says yes, and does nothing.
    Forgets,
    /// Attaches the next copy, and is not heard of any more.
    Dies,
}

/// Of the Nova that is played.
#[derive(Default)]
pub struct Played {
    manner: Manner,
    cloud: Option<Cloud>,
    gate: Arc<Notify>,
    /// Requests: headers, server, volume, and body.
    asked: Vec<(HeaderMap, String, String, Value)>,
}

/// What it works with.
#[derive(Clone)]
struct Cloud {
    routes: Router,
    stores: Stores,
}

/// Those that were made before their service, by where it finds them.
static MADE: LazyLock<Mutex<HashMap<String, Arc<nova::Played>>>> = LazyLock::new(Mutex::default);

/// A Nova to be configured; it knows its cloud from [`connect`] on.
pub async fn configure(config: &mut Config, manner: Manner) -> Arc<nova::Played> {
    let played = nova::play(&[]).await;
    played.swaps.lock().unwrap().manner = manner;
    config.nova = played.options();
    MADE.lock().unwrap().insert(config.nova.auth_url.clone().unwrap(), played.clone());
    played
}

/// It may ask the service of this house from now on.
pub fn connect(house: &House) {
    let url = house.config.nova.auth_url.as_ref().unwrap();
    let played = MADE.lock().unwrap().get(url).unwrap().clone();
    let cloud = Cloud { routes: house.service().routes(None), stores: house.stores.clone() };
    played.swaps.lock().unwrap().cloud = Some(cloud);
}

/// As Nova's API does, which answers before anything is copied.
pub async fn swap(
    State(played): State<Arc<nova::Played>>,
    Path((server, old)): Path<(String, String)>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> StatusCode {
    let (manner, cloud, gate) = {
        let mut swaps = played.swaps.lock().unwrap();
        swaps.asked.push((headers, server.clone(), old.clone(), body.clone()));
        (swaps.manner, swaps.cloud.clone(), swaps.gate.clone())
    };
    match manner {
        Manner::Refuses => return StatusCode::CONFLICT,
        Manner::IsDown => return StatusCode::SERVICE_UNAVAILABLE,
        Manner::Forgets => return StatusCode::ACCEPTED,
        _ => {}
    }
    let swap = Swap {
        cloud: cloud.unwrap(),
        new: body["volumeAttachment"]["volumeId"].as_str().unwrap().to_owned(),
        server,
        old,
        by_actions: matches!(manner, Manner::MovesByActions | Manner::FailsByActions),
    };
    match swap.begin().await {
        Ok(attachments) => {
            tokio::spawn(async move {
                if manner == Manner::MovesLater {
                    gate.notified().await;
                }
                swap.work(manner, attachments).await;
            });
            StatusCode::ACCEPTED
        }
        Err(status) => status,
    }
}

struct Swap {
    cloud: Cloud,
    server: String,
    old: String,
    new: String,
    by_actions: bool,
}

/// Of the volume and of its next copy.
struct Attachments {
    old: String,
    new: Option<String>,
}

impl Swap {
    async fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        let call = Call::to(self.cloud.routes.clone(), method, &format!("/volume/v3{path}")).version(71);
        if body.is_null() { call.send().await } else { call.json(body).send().await }
    }

    async fn act(&self, volume: &str, action: &str, body: Value) -> Answer {
        self.call("POST", &format!("/volumes/{volume}/action"), &json!({ action: body })).await
    }

    async fn volume(&self, id: &str) -> Value {
        self.call("GET", &format!("/volumes/{id}"), &Value::Null).await.expect(200).json()["volume"].clone()
    }

    async fn begin(&self) -> Result<Attachments, StatusCode> {
        let (old, new) = (self.volume(&self.old).await, self.volume(&self.new).await);
        let attachments = old["attachments"].as_array().unwrap();
        let found = attachments.iter().find(|one| one["server_id"] == self.server);
        let of_old = found.and_then(|one| one["attachment_id"].as_str()).map(str::to_owned);
        if old["migration_status"].is_null() || !new["attachments"].as_array().unwrap().is_empty() {
            return Err(StatusCode::CONFLICT);
        }
        assert_eq!(new["migration_status"], format!("target:{}", self.old));
        assert_eq!((&new["size"], &new["consumes_quota"]), (&old["size"], &json!(false)));
        self.act(&self.old, "os-begin_detaching", Value::Null).await.expect(202);
        let reserved = if self.by_actions {
            self.act(&self.new, "os-reserve", Value::Null).await
        } else {
            let body = json!({"attachment": {"volume_uuid": self.new, "instance_uuid": self.server}});
            self.call("POST", "/attachments", &body).await
        };
        if !reserved.status.is_success() {
            self.act(&self.old, "os-roll_detaching", Value::Null).await.expect(202);
            return Err(StatusCode::BAD_REQUEST);
        }
        let of_new =
            (!self.by_actions).then(|| reserved.json()["attachment"]["id"].as_str().unwrap().to_owned());
        Ok(Attachments { old: of_old.unwrap(), new: of_new })
    }

    /// As the host does that runs the server.
    async fn work(&self, manner: Manner, attachments: Attachments) {
        assert_eq!(self.volume(&self.old).await["migration_status"], "migrating");
        let connector = json!({"connector": {"host": "compute-1", "mountpoint": "/dev/vdb"}});
        let connected = match &attachments.new {
            None => self.act(&self.new, "os-initialize_connection", connector).await,
            Some(id) => {
                self.call("PUT", &format!("/attachments/{id}"), &json!({"attachment": connector})).await
            }
        };
        // Nobody can attach what lies in a folder; that much is played.
        if connected.status != StatusCode::NOT_IMPLEMENTED {
            let text = connected.expect(200).text().to_owned();
            assert!(text.contains(&format!("/volume-{}", self.old)), "{text}");
        }
        let fails = match manner {
            Manner::Dies => return,
            Manner::Moves | Manner::MovesLater | Manner::MovesByActions => {
                self.copy().await;
                false
            }
            _ => true,
        };
        if fails {
            self.act(&self.old, "os-roll_detaching", Value::Null).await.expect(202);
        }
        let none = json!({"connector": {"host": "compute-1"}});
        match (&attachments.new, fails) {
            (Some(id), true) => drop(self.delete(id).await.expect(200)),
            (Some(id), false) => {
                let body = json!({"os-complete": null});
                self.call("POST", &format!("/attachments/{id}/action"), &body).await.expect(204);
                self.delete(&attachments.old).await.expect(200);
            }
            (None, true) => {
                self.act(&self.new, "os-unreserve", Value::Null).await.expect(202);
                self.act(&self.new, "os-terminate_connection", none).await.expect(202);
            }
            (None, false) => drop(self.act(&self.old, "os-terminate_connection", none).await.expect(202)),
        }
        let body = json!({"new_volume": self.new, "error": fails});
        let saved = self.act(&self.old, "os-migrate_volume_completion", body).await.expect(200);
        assert_eq!(saved.json(), json!({"save_volume_id": self.old}));
    }

    async fn delete(&self, attachment: &str) -> Answer {
        self.call("DELETE", &format!("/attachments/{attachment}"), &Value::Null).await
    }

    /// What the hypervisor does, which knows no more than the names.
    async fn copy(&self) {
        let name = names::volume(&VolumeId::parse(&self.old).unwrap());
        let (from, to) = (self.store_of(&self.old).await, self.store_of(&self.new).await);
        let from = from.open(&name, OpenMode::ReadOnly).await.unwrap();
        let to = to.open(&name, OpenMode::ReadWrite).await.unwrap();
        let bytes = from.read(0, 4 << 20).await.unwrap();
        to.write(0, bytes).await.unwrap();
        to.flush().await.unwrap();
        to.close().await.unwrap();
        from.close().await.unwrap();
    }

    async fn store_of(&self, id: &str) -> Arc<dyn BlockStore> {
        let host = self.volume(id).await["os-vol-host-attr:host"].as_str().unwrap().to_owned();
        self.cloud.stores.volumes.of(Some(&host)).unwrap().store.clone()
    }
}

impl House {
    /// With a Nova that does as it is told.
    async fn with_nova(store: StoreKind, manner: Manner, patience: u64) -> (Self, Arc<nova::Played>) {
        let mut config = Config::default();
        let played = configure(&mut config, manner).await;
        config.nova.migration_timeout = Seconds(patience);
        let house = House::with(store, DatabaseKind::Sqlite, config, Arc::new(NoFaults)).await;
        connect(&house);
        (house, played)
    }

    pub async fn volume_in_use(&self, bytes: &[u8]) -> VolumeId {
        let volume = self.attached(&[SERVER], AttachmentStatus::Attached).await;
        self.write(&volume, 8_192, bytes).await;
        volume
    }

    /// Its servers are gone.
    pub async fn detach_all(&self) {
        for volume in self.volumes().await {
            let mut repository = self.database.begin().await.unwrap();
            for attachment in repository.attachments_of(&volume.id).await.unwrap() {
                repository.remove_attachment(&attachment.id).await.unwrap();
            }
            repository.follow_attachments(&volume.id, self.world.now()).await.unwrap();
            repository.commit().await.unwrap();
        }
    }

    async fn attachments(&self, volume: &VolumeId) -> Vec<Attachment> {
        self.database.read().await.unwrap().attachments_of(volume).await.unwrap()
    }

    async fn stand_in_of(&self, volume: &VolumeId) -> Option<Volume> {
        self.database.read().await.unwrap().stand_in_of(volume).await.unwrap()
    }

    /// Nova has it.
    async fn attached_next(&self, volume: &VolumeId) -> VolumeId {
        let attached = async {
            loop {
                match self.stand_in_of(volume).await {
                    Some(next) if !self.attachments(&next.id).await.is_empty() => return next.id,
                    _ => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(120), attached).await.unwrap()
    }

    /// One volume, in this backend alone, in use by the server.
    async fn assert_in_use_in(&self, name: &str, volume: &VolumeId, bytes: &[u8]) {
        self.assert_lies_in(name, volume, 8_192, bytes).await;
        let row = self.row(volume).await;
        assert_eq!(row.status, VolumeStatus::InUse, "{row:?}");
        let attachments = self.attachments(volume).await;
        let [only] = attachments.as_slice() else { panic!("{attachments:?}") };
        assert_eq!((only.instance_id.as_deref(), only.status), (Some(SERVER), AttachmentStatus::Attached));
        assert_eq!(self.volumes().await.len(), 1, "{:?}", self.volumes().await);
        let pool = self.stores.volumes.named(name).unwrap().store.pool();
        assert_eq!(self.on_pools().await, [format!("{pool}/{}", names::volume(volume))]);
    }
}

async fn a_volume_in_use_moves_there_and_back(store: StoreKind) {
    for manner in [Manner::Moves, Manner::MovesByActions] {
        let (mut house, played) = House::with_nova(store, manner, 300).await;
        let bytes = pattern(50_000, 21);
        let volume = house.volume_in_use(&bytes).await;
        let before = house.attachments(&volume).await.remove(0).id;
        for name in [SECOND, FIRST] {
            // What it is called has nothing to do with it.
            house.rename(&volume, name).await;
            house.migrate(&volume, name).await;
            house.settle().await;
            house.assert_in_use_in(name, &volume, &bytes).await;
            assert_eq!(house.row(&volume).await.migration_status, Some(MigrationStatus::Success));
        }
        let after = house.attachments(&volume).await.remove(0);
        assert_eq!(after.id == before, manner == Manner::MovesByActions, "{after:?}");
        let asked = std::mem::take(&mut played.swaps.lock().unwrap().asked);
        assert_eq!(asked.len(), 2);
        let (headers, server, old, body) = &asked[0];
        assert_eq!((server.as_str(), old.as_str()), (SERVER, volume.as_str()));
        assert_eq!(headers["openstack-api-version"], "compute 2.1");
        let new = body["volumeAttachment"]["volumeId"].as_str().unwrap();
        assert_eq!(*body, json!({"volumeAttachment": {"volumeId": new}}));
        house.detach_all().await;
        house.assert_nothing_is_left().await;
        house.stop().await;
    }
}

async fn a_volume_in_use_gets_another_type_elsewhere(store: StoreKind) {
    let (mut house, _) = House::with_nova(store, Manner::Moves, 300).await;
    let bytes = pattern(50_000, 22);
    let volume = house.volume_in_use(&bytes).await;
    let of = house.limited_type(&[("total_iops_sec", "100")]).await;
    let to = Destination::Place { host: house.place(SECOND), zone: "nova".into() };
    house.retype(&volume, &of, to).await;
    house.settle().await;
    house.assert_in_use_in(SECOND, &volume, &bytes).await;
    assert_eq!(house.row(&volume).await.volume_type_id, of);
    house.detach_all().await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn what_nova_does_not_move_stays_as_it_was(store: StoreKind) {
    let in_time = "Nova did not begin to move the volume in time.";
    for (manner, patience, error) in [
        (Manner::Fails, 300, "Nova could not move the volume."),
        (Manner::FailsByActions, 300, "Nova could not move the volume."),
        (Manner::Refuses, 300, "Nova refused to move the volume."),
        (Manner::IsDown, 1, in_time),
        (Manner::Forgets, 1, in_time),
    ] {
        let (mut house, _) = House::with_nova(store, manner, patience).await;
        let bytes = pattern(50_000, 23);
        let volume = house.volume_in_use(&bytes).await;
        let before = (house.row(&volume).await, house.attachments(&volume).await);
        for retypes in [false, true] {
            if retypes {
                let of = house.limited_type(&[("total_iops_sec", "100")]).await;
                let to = Destination::Place { host: house.place(SECOND), zone: "nova".into() };
                house.retype(&volume, &of, to).await;
            } else {
                house.migrate(&volume, SECOND).await;
            }
            house.settle().await;
            house.assert_in_use_in(FIRST, &volume, &bytes).await;
            let job = house.last_job(&volume).await.unwrap();
            assert_eq!((job.state, job.error.as_deref()), (JobState::Failed, Some(error)), "{manner:?}");
            let row = house.row(&volume).await;
            assert_eq!(row.migration_status, Some(MigrationStatus::Error), "{manner:?}");
            assert_eq!(row.volume_type_id, before.0.volume_type_id);
            assert_eq!(house.attachments(&volume).await, before.1, "{manner:?}");
        }
        house.detach_all().await;
        house.assert_nothing_is_left().await;
        house.stop().await;
    }
}

/// What Nova has attached it may be writing to: that goes when Nova, or an administrator, has let go of it.
async fn what_nova_has_is_left_to_it(store: StoreKind) {
    let (mut house, _) = House::with_nova(store, Manner::Dies, 300).await;
    let bytes = pattern(50_000, 24);
    let volume = house.volume_in_use(&bytes).await;
    house.migrate(&volume, SECOND).await;
    let next = house.attached_next(&volume).await;
    let wake = async || {
        let mut repository = house.database.begin().await.unwrap();
        repository.wake_jobs(volume.as_str(), house.world.now()).await.unwrap();
        repository.commit().await.unwrap();
    };
    let waits = async || {
        let job = house.last_job(&volume).await.unwrap();
        job.state == JobState::Queued && job.error_detail.as_deref() == Some("Nova moves the volume.")
    };
    let seen = async {
        while !waits().await {
            wake().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), seen).await.unwrap();
    let row = house.row(&volume).await;
    assert_eq!((row.status, row.migration_status), (VolumeStatus::InUse, Some(MigrationStatus::Migrating)));
    let mut repository = house.database.begin().await.unwrap();
    for attachment in repository.attachments_of(&next).await.unwrap() {
        repository.remove_attachment(&attachment.id).await.unwrap();
    }
    let now = house.world.now();
    repository.follow_attachments(&next, now).await.unwrap();
    let (from, to) = (VolumeStatus::Available, VolumeStatus::Deleting);
    assert!(repository.change_volume(&next, from, to, &VolumeChange::default(), now).await.unwrap());
    repository.commit().await.unwrap();
    wake().await;
    house.settle().await;
    house.assert_in_use_in(FIRST, &volume, &bytes).await;
    assert_eq!(house.row(&volume).await.migration_status, Some(MigrationStatus::Error));
    house.detach_all().await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// Nova copies for hours; whoever asked it may be another process by then.
async fn a_process_that_ends_meanwhile_is_followed_by_another(store: StoreKind) {
    let (mut house, played) = House::with_nova(store, Manner::MovesLater, 300).await;
    let bytes = pattern(50_000, 25);
    let volume = house.volume_in_use(&bytes).await;
    house.migrate(&volume, SECOND).await;
    house.attached_next(&volume).await;
    house.stop().await;
    house.start(Arc::new(NoFaults)).await;
    connect(&house);
    let gate = played.swaps.lock().unwrap().gate.clone();
    gate.notify_one();
    house.settle().await;
    house.assert_in_use_in(SECOND, &volume, &bytes).await;
    assert_eq!(played.swaps.lock().unwrap().asked.len(), 1);
    house.detach_all().await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

on_every_store!(
    a_process_that_ends_meanwhile_is_followed_by_another,
    a_volume_in_use_moves_there_and_back,
    a_volume_in_use_gets_another_type_elsewhere,
    what_nova_does_not_move_stays_as_it_was,
    what_nova_has_is_left_to_it,
);

#[tokio::test(flavor = "multi_thread")]
async fn what_two_servers_have_is_not_moved_and_neither_is_anything_without_a_nova() {
    let two = [SERVER, "5e7f3c1e-0000-4000-8000-000000000003"];
    let nobody = "The volume is attached, and there is no Nova to move it.";
    let shared = "The volume is not attached to one server alone.";
    for (has_nova, error) in [(true, shared), (false, nobody)] {
        let (mut house, played) = House::with_nova(StoreKind::Directory, Manner::Moves, 300).await;
        if !has_nova {
            house.stop().await;
            house.config.nova = config::Nova::default();
            house.start(Arc::new(NoFaults)).await;
        }
        let volume = house.attached(&two, AttachmentStatus::Attached).await;
        house.migrate(&volume, SECOND).await;
        house.settle().await;
        let job = house.last_job(&volume).await.unwrap();
        assert_eq!(job.error.as_deref(), Some(error));
        let row = house.row(&volume).await;
        assert_eq!((row.status, row.migration_status), (VolumeStatus::InUse, Some(MigrationStatus::Error)));
        assert_eq!((house.attachments(&volume).await.len(), house.volumes().await.len()), (2, 1));
        assert_eq!(played.swaps.lock().unwrap().asked.len(), 0);
        house.detach_all().await;
        house.assert_nothing_is_left().await;
        house.stop().await;
    }
}
