//! The Block Storage API.

mod attaching;
mod attachments;
mod backends;
mod bytes;
mod hostile;
mod image_metadata;
mod lists;
mod manage;
mod messages;
mod migrations;
mod published;
mod qos_specs;
mod revert;
mod snapshots;
mod statuses;
mod transfers;
mod types;
mod versions;
mod volumes;

use pumice::db::{Image, Service, Volume, VolumeChange};
use pumice::jobs::Task;
use pumice::model::{ImageId, ImageStatus, ProjectId, SnapshotStatus, Timestamp, VolumeId, VolumeStatus};
use serde_json::{Value, json};
use sqlx::types::Json;

use crate::support::{Answer, Call, Site};

/// What the default configuration names.
const PROJECT: &str = "00000000000000000000000000000001";

impl Site {
    /// A request to the Block Storage API where it is nested.
    fn volume(&self, method: &str, path: &str) -> Call {
        self.request(method, &format!("/volume{path}"))
    }

    async fn get(&self, path: &str) -> Answer {
        self.volume("GET", path).version(71).send().await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.volume("POST", path).version(71).json(&body).send().await
    }

    /// A place for volumes has so many GiB, all of them free, as its service says.
    async fn has_room(&self, service: &str, gib: i64) {
        let mut repository = self.app().database.begin().await.unwrap();
        let place = repository.service(service, Service::VOLUME).await.unwrap().unwrap();
        let bytes = Some(gib << 30);
        repository.see_service(&Service { total_bytes: bytes, free_bytes: bytes, ..place }).await.unwrap();
        repository.commit().await.unwrap();
    }

    /// Makes a volume and says what it is.
    async fn new_volume(&self, volume: Value) -> Value {
        self.post("/v3/volumes", json!({ "volume": volume })).await.expect(202).json()["volume"].clone()
    }

    async fn new_volume_id(&self) -> String {
        id_of(&self.new_volume(json!({"size": 1})).await)
    }

    /// As if its job had been done; to its status through those that lead there.
    pub async fn move_volume(&self, id: &str, path: &[VolumeStatus]) {
        let id = VolumeId::parse(id).unwrap();
        let mut repository = self.app().database.begin().await.unwrap();
        for &to in path {
            let from = repository.volume(&id).await.unwrap().unwrap().status;
            let now = self.app().world.now();
            let change = VolumeChange::default();
            assert!(repository.change_volume(&id, from, to, &change, now).await.unwrap());
        }
        repository.commit().await.unwrap();
    }

    async fn available_volume(&self, volume: Value) -> String {
        let id = id_of(&self.new_volume(volume).await);
        self.move_volume(&id, &[VolumeStatus::Available]).await;
        id
    }

    async fn volume_row(&self, id: &str) -> Volume {
        let id = VolumeId::parse(id).unwrap();
        self.app().database.read().await.unwrap().volume(&id).await.unwrap().unwrap()
    }

    async fn new_snapshot_id(&self, volume_id: &str) -> String {
        let body = json!({"snapshot": {"volume_id": volume_id}});
        id_of(&self.post("/v3/snapshots", body).await.expect(202).json()["snapshot"])
    }

    async fn move_snapshot(&self, id: &str, path: &[SnapshotStatus]) {
        let id = pumice::model::SnapshotId::parse(id).unwrap();
        let mut repository = self.app().database.begin().await.unwrap();
        for &to in path {
            let from = repository.snapshot(&id).await.unwrap().unwrap().status;
            let now = self.app().world.now();
            assert!(repository.change_snapshot(&id, from, to, now).await.unwrap());
        }
        repository.commit().await.unwrap();
    }

    async fn available_snapshot(&self, volume_id: &str) -> String {
        let id = self.new_snapshot_id(volume_id).await;
        self.move_snapshot(&id, &[SnapshotStatus::Available]).await;
        id
    }

    /// The tasks in the queue, oldest first, with whether they were asked to stop.
    async fn tasks(&self) -> Vec<(Task, bool)> {
        let mut repository = self.app().database.read().await.unwrap();
        let mut jobs = repository.jobs(&Default::default(), &Default::default()).await.unwrap();
        jobs.sort_by(|a, b| a.id.cmp(&b.id));
        jobs.into_iter().map(|job| (serde_json::from_value(job.payload).unwrap(), job.cancel)).collect()
    }

    async fn new_image(&self, change: impl FnOnce(&mut Image)) -> ImageId {
        let mut image = Image {
            id: ImageId::from(self.app().world.ids.random()),
            project_id: Some(ProjectId(PROJECT.to_owned())),
            name: Some("cirros".to_owned()),
            status: ImageStatus::Active,
            previous_status: None,
            visibility: "shared".to_owned(),
            protected: false,
            os_hidden: false,
            container_format: Some("bare".to_owned()),
            disk_format: Some("raw".to_owned()),
            size: Some(1 << 30),
            virtual_size: None,
            checksum: Some("d41d8cd98f00b204e9800998ecf8427e".to_owned()),
            os_hash_algo: None,
            os_hash_value: None,
            min_disk: 1,
            min_ram: 64,
            properties: Json([("hw_disk_bus".to_owned(), "scsi".to_owned())].into()),
            tags: Json(Default::default()),
            locations: Vec::new(),
            created_at: Timestamp(1),
            updated_at: Timestamp(1),
        };
        change(&mut image);
        let id = image.id.clone();
        let mut repository = self.app().database.begin().await.unwrap();
        repository.add_image(&image).await.unwrap();
        repository.commit().await.unwrap();
        id
    }
}

fn id_of(thing: &Value) -> String {
    thing["id"].as_str().unwrap().to_owned()
}

fn fault(name: &str, code: u16, message: &str) -> String {
    json!({name: {"code": code, "message": message}}).to_string()
}

#[track_caller]
fn assert_refused(answer: &Answer, message: &str) {
    assert_eq!((answer.status.as_u16(), answer.text()), (400, fault("badRequest", 400, message).as_str()));
}
