//! A whole service in this process, on any store and any database, for tests that look at jobs, rows and pools.

pub mod database;
pub mod reluctant;
pub mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use pumice::block::{BlockStore, OpenMode, Progress, Stores};
use pumice::config::{Config, IdentityMode};
use pumice::db::{
    Attachment, Database, Image, ImageChange, JobFilter, Leftover, Location, Page, Repository, Snapshot,
    SnapshotFilter, Volume, VolumeChange, VolumeFilter,
};
use pumice::jobs::{self, Faults, Import, ImportSource, NewLocation, NoFaults, Origin, Task, VolumeSource};
use pumice::model::{
    AttachmentId, AttachmentStatus, Gib, ImageId, ImageStatus, JobState, ProjectId, SnapshotId,
    SnapshotStatus, UserId, VolumeId, VolumeStatus, World,
};
use pumice::service::Service;
use pumice::workflows::{self, Arrival, Intake, Sweeper, Upload, UploadError};
use serde_json::{Value, json};
use sqlx::types::Json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::support::Call;

pub use database::DatabaseKind;
pub use store::{StoreKind, ceph_and_directory};

/// Nothing here takes longer, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct House {
    pub database: Database,
    pub stores: Stores,
    pub world: World,
    pub config: Config,
    running: Vec<Running>,
    /// Every id that was ever given out here: nothing on the pools may bear one in the end.
    ids: Mutex<BTreeSet<String>>,
    _database: database::Keep,
    _stores: store::Keep,
}

/// One "process".
struct Running {
    service: Service,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl House {
    pub async fn new(store: StoreKind, database: DatabaseKind) -> Self {
        Self::with(store, database, Config::default(), Arc::new(NoFaults)).await
    }

    pub async fn with(
        store: StoreKind,
        database: DatabaseKind,
        config: Config,
        faults: Arc<dyn Faults>,
    ) -> Self {
        Self::on(store.make().await, database, config, faults).await
    }

    /// On stores of the test's own.
    pub async fn on(
        (stores, keep_stores): (Stores, store::Keep),
        database: DatabaseKind,
        mut config: Config,
        faults: Arc<dyn Faults>,
    ) -> Self {
        config.identity.mode = IdentityMode::None;
        // However slow the machine is: who lives keeps its jobs.
        config.jobs.lease = pumice::config::Seconds(600);
        config.jobs.heartbeat = pumice::config::Seconds(1);
        let (database, keep_database) = database.make().await;
        let mut house = Self {
            database,
            stores,
            world: World::real(),
            config,
            running: Vec::new(),
            ids: Mutex::default(),
            _database: keep_database,
            _stores: keep_stores,
        };
        house.start(faults).await;
        house
    }

    /// Starts a process on what is there; it may be one of several. The first one takes over at once what those
    /// before it had, who "died".
    pub async fn start(&mut self, faults: Arc<dyn Faults>) {
        if self.running.is_empty() {
            let mut repository = self.database.begin().await.unwrap();
            repository.end_all_leases().await.unwrap();
            repository.commit().await.unwrap();
        }
        let service = Service::assemble(
            self.config.clone(),
            self.database.clone(),
            self.stores.clone(),
            self.world.clone(),
            faults,
        )
        .await
        .unwrap();
        service.prepare().await.unwrap();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        service.start_background(&stop, &tasks);
        self.running.push(Running { service, stop, tasks });
    }

    /// Ends all processes; jobs that "crashed" stay as they were.
    pub async fn stop(&mut self) {
        for running in self.running.drain(..) {
            running.stop.cancel();
            running.tasks.close();
            running.tasks.wait().await;
        }
    }

    pub fn service(&self) -> &Service {
        &self.running.first().expect("a process runs").service
    }

    pub fn sweeper(&self) -> Sweeper {
        self.service().sweeper()
    }

    fn note(&self, id: &impl ToString) {
        self.ids.lock().unwrap().insert(id.to_string());
    }

    /// Waits until no job is open.
    pub async fn settle(&self) {
        let open =
            JobFilter { state: Some(vec![JobState::Queued, JobState::Running]), ..JobFilter::default() };
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let jobs = self.database.read().await.unwrap().jobs(&open, &Page::default()).await.unwrap();
                if jobs.is_empty() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        if waited.await.is_err() {
            let jobs = self.database.read().await.unwrap().jobs(&open, &Page::default()).await.unwrap();
            panic!("jobs are still open: {jobs:#?}");
        }
    }

    pub async fn upload(&self, bytes: Vec<u8>) -> ImageId {
        let id = self.queued_image().await;
        self.upload_to(&id, bytes).await.unwrap();
        id
    }

    /// Bytes of another format than raw.
    pub async fn upload_disk(&self, bytes: Vec<u8>, disk_format: &str) -> ImageId {
        let id = self.image_row(ImageStatus::Queued, disk_format).await;
        self.upload_to(&id, bytes).await.unwrap();
        id
    }

    pub async fn queued_image(&self) -> ImageId {
        self.queued_disk("raw").await
    }

    pub async fn queued_disk(&self, disk_format: &str) -> ImageId {
        self.image_row(ImageStatus::Queued, disk_format).await
    }

    async fn image_row(&self, status: ImageStatus, disk_format: &str) -> ImageId {
        let now = self.world.now();
        let image = Image {
            id: ImageId::from(self.world.ids.random()),
            project_id: Some(ProjectId("p".into())),
            name: Some("an image".into()),
            status,
            previous_status: None,
            visibility: "shared".into(),
            protected: false,
            os_hidden: false,
            container_format: Some("bare".into()),
            disk_format: Some(disk_format.into()),
            size: None,
            virtual_size: None,
            checksum: None,
            os_hash_algo: None,
            os_hash_value: None,
            min_disk: 0,
            min_ram: 0,
            properties: Json(BTreeMap::new()),
            tags: Json(BTreeMap::new()),
            created_at: now,
            updated_at: now,
            locations: Vec::new(),
        };
        self.note(&image.id);
        let mut repository = self.database.begin().await.unwrap();
        repository.add_image(&image).await.unwrap();
        repository.commit().await.unwrap();
        image.id
    }

    pub fn uploader(&self) -> Upload {
        self.uploader_of(Arrival::Upload { store: None })
    }

    pub fn uploader_of(&self, arrival: Arrival) -> Upload {
        Upload {
            arrival,
            database: self.database.clone(),
            world: self.world.clone(),
            keeper: self.service().app.keeper.clone(),
            store: self.stores.images.clone(),
            intake: Intake {
                object_size: 1 << 20,
                idle_timeout: Duration::from_secs(5),
                min_rate: 0,
                ..Intake::from(&self.config.images)
            },
            signed: None,
            at_once: (ProjectId("p".into()), -1),
            storage: None,
        }
    }

    pub async fn upload_to(&self, id: &ImageId, bytes: Vec<u8>) -> Result<(), UploadError> {
        self.send_to(self.uploader(), id, bytes).await
    }

    async fn send_to(&self, upload: Upload, id: &ImageId, bytes: Vec<u8>) -> Result<(), UploadError> {
        let size = bytes.len() as u64;
        let body = futures::stream::iter(
            bytes
                .chunks(100_000)
                .map(|c| Ok::<_, std::io::Error>(Bytes::copy_from_slice(c)))
                .collect::<Vec<_>>(),
        );
        workflows::upload_image(upload, id.clone(), Some(size), body, Origin::default()).await
    }

    pub async fn stage(&self, bytes: Vec<u8>) -> ImageId {
        self.stage_disk(bytes, "raw").await
    }

    pub async fn stage_disk(&self, bytes: Vec<u8>, disk_format: &str) -> ImageId {
        let id = self.queued_disk(disk_format).await;
        self.send_to(self.uploader_of(Arrival::Stage), &id, bytes).await.unwrap();
        id
    }

    pub async fn import(&self, id: &ImageId, source: ImportSource) {
        self.import_to(id, to_the_first_store(source)).await;
    }

    /// As a task asks for it, which makes the image as well.
    pub async fn import_new(&self, id: &ImageId, uri: String) {
        let import = to_the_first_store(ImportSource::Web { uri });
        let input = serde_json::Map::new();
        self.ask_to_import(id, Task::ImportNewImage { image_id: id.clone(), import, input }).await;
    }

    /// To the place of images and to another one.
    pub async fn import_twice(&self, id: &ImageId, source: ImportSource, all_must_succeed: bool) {
        let stores = vec![None, Some("second".to_owned())];
        self.import_to(
            id,
            Import { source, stores, all_must_succeed, inject: true, signed_by: None, asked_by: None },
        )
        .await;
    }

    /// As the API asks for it.
    pub async fn import_to(&self, id: &ImageId, import: Import) {
        let mut repository = self.database.begin().await.unwrap();
        let mut row = repository.image_to_change(id).await.unwrap().unwrap();
        let first = &self.config.images.default_backend;
        let stores: Vec<&str> = import.stores.iter().map(|store| store.as_deref().unwrap_or(first)).collect();
        row.properties.insert(workflows::IMPORTING_TO.to_owned(), stores.join(","));
        row.properties.insert(workflows::FAILED.to_owned(), String::new());
        repository.update_image(&row).await.unwrap();
        repository.commit().await.unwrap();
        self.ask_to_import(id, Task::ImportImage { image_id: id.clone(), import }).await;
    }

    async fn ask_to_import(&self, id: &ImageId, task: Task) {
        let mut repository = self.database.begin().await.unwrap();
        let (row, now) = (repository.image(id).await.unwrap().unwrap(), self.world.now());
        // One that is copied stays as it is.
        if row.status != ImageStatus::Active {
            let (to, change) = (ImageStatus::Importing, ImageChange::default());
            assert!(
                repository.change_image(id, row.status, to, &change, now).await.unwrap(),
                "{}",
                row.status
            );
        }
        jobs::enqueue(&mut repository, &self.world, task, &Origin::default()).await.unwrap();
        repository.commit().await.unwrap();
    }

    /// As another service leaves an image's bytes in the pool, and where.
    pub async fn clone_by_hand(&self, id: &ImageId, bytes: Vec<u8>) -> String {
        let store = &self.stores.images;
        store.create(id.as_str(), bytes.len() as u64, 4 << 20).await.unwrap();
        let image = store.open(id.as_str(), OpenMode::ReadWrite).await.unwrap();
        image.write(0, bytes.into()).await.unwrap();
        image.flush().await.unwrap();
        image.create_snapshot(workflows::names::IMAGE_SNAPSHOT).await.unwrap();
        image.protect_snapshot(workflows::names::IMAGE_SNAPSHOT).await.unwrap();
        image.close().await.unwrap();
        workflows::names::location(&store.fsid().await.unwrap(), store.pool(), id.as_str())
    }

    /// As the API asks for it.
    pub async fn add_location(&self, id: &ImageId, url: String) {
        // On the web, or in the first pool.
        let (store, hash_algo) = (url.starts_with("http").then(|| "web".to_owned()), "sha256".to_owned());
        let mut repository = self.database.begin().await.unwrap();
        let (from, to) = (ImageStatus::Queued, ImageStatus::Importing);
        let (change, now) = (ImageChange::default(), self.world.now());
        assert!(repository.change_image(id, from, to, &change, now).await.unwrap());
        let location = Location::new(id, store.as_deref(), Some(url.clone())).awaited();
        repository.add_location(&location).await.unwrap();
        let location = NewLocation { store, url, hash_algo, hash_value: None, asked_by: None };
        let task = Task::AddLocation { image_id: id.clone(), location };
        jobs::enqueue(&mut repository, &self.world, task, &Origin::default()).await.unwrap();
        repository.commit().await.unwrap();
    }

    /// Gives an image that is a clone of a volume's snapshot bytes of its own.
    pub async fn detach_image(&self, id: &ImageId) {
        let mut repository = self.database.begin().await.unwrap();
        let task = Task::DetachImage { image_id: id.clone() };
        jobs::enqueue(&mut repository, &self.world, task, &Origin::default()).await.unwrap();
        repository.commit().await.unwrap();
    }

    /// As the API asks for it.
    pub async fn delete_from_store(&self, id: &ImageId, store: Option<&str>) {
        let mut repository = self.database.begin().await.unwrap();
        assert!(repository.ready_location(id, store, false).await.unwrap());
        let task = Task::DeleteFromStore { image_id: id.clone(), store: store.map(str::to_owned) };
        jobs::enqueue(&mut repository, &self.world, task, &Origin::default()).await.unwrap();
        repository.commit().await.unwrap();
    }

    /// A row and the job that fills it, as the API makes them.
    pub async fn create_volume(&self, source: VolumeSource, size: i64) -> VolumeId {
        self.create_volume_for(source, size, &[]).await
    }

    /// Likewise, and these have it reserved before the job begins.
    pub async fn create_volume_for(&self, source: VolumeSource, size: i64, servers: &[&str]) -> VolumeId {
        let id = VolumeId::from(self.world.ids.random());
        self.note(&id);
        let mut repository = self.database.begin().await.unwrap();
        let row = self.volume_row(&mut repository, id.clone(), VolumeStatus::Creating, size).await;
        let volume = Volume {
            snapshot_id: match &source {
                VolumeSource::Snapshot { snapshot_id, .. } => Some(snapshot_id.clone()),
                _ => None,
            },
            source_volume_id: match &source {
                VolumeSource::Volume { volume_id } => Some(volume_id.clone()),
                _ => None,
            },
            image_id: match &source {
                VolumeSource::Image { image_id, .. } | VolumeSource::Disk { image_id, .. } => {
                    Some(image_id.clone())
                }
                _ => None,
            },
            ..row
        };
        repository.add_volume(&volume).await.unwrap();
        for server in servers {
            let attachment = self.reservation(&id, server);
            repository.add_attachment(&attachment).await.unwrap();
        }
        let task = Task::CreateVolume { volume_id: id.clone(), source };
        jobs::enqueue(&mut repository, &self.world, task, &Origin::default()).await.unwrap();
        repository.commit().await.unwrap();
        id
    }

    async fn volume_row(
        &self,
        repository: &mut Repository,
        id: VolumeId,
        status: VolumeStatus,
        size: i64,
    ) -> Volume {
        Volume {
            id,
            project_id: ProjectId("p".into()),
            user_id: UserId("u".into()),
            name: None,
            description: None,
            size: Gib::new(size).unwrap(),
            status,
            previous_status: None,
            availability_zone: "nova".into(),
            host: Some("pumice@directory#volumes".into()),
            volume_type_id: repository.volume_type("__DEFAULT__").await.unwrap().unwrap().id,
            volume_type_name: String::new(),
            is_attached: false,
            bootable: false,
            multiattach: false,
            snapshot_id: None,
            source_volume_id: None,
            image_id: None,
            metadata: Json(BTreeMap::new()),
            admin_metadata: Json(BTreeMap::new()),
            image_metadata: None,
            migration_status: None,
            name_id: None,
            replication_status: None,
            created_at: self.world.now(),
            updated_at: None,
        }
    }

    /// An attachment without a host.
    pub fn reservation(&self, volume: &VolumeId, server: &str) -> Attachment {
        Attachment {
            id: AttachmentId::from(self.world.ids.random()),
            volume_id: volume.clone(),
            instance_id: Some(server.into()),
            status: AttachmentStatus::Reserved,
            host: None,
            mountpoint: None,
            mode: None,
            access: None,
            attached_at: None,
            created_at: self.world.now(),
        }
    }

    pub async fn volume(&self, source: VolumeSource, size: i64) -> VolumeId {
        let id = self.create_volume(source, size).await;
        self.settle().await;
        assert_eq!(
            self.volume_status(&id).await,
            Some(VolumeStatus::Available),
            "{:?}",
            self.last_job(&id).await
        );
        id
    }

    /// Asks this process's own API for it.
    pub async fn post_volume(&self, volume: Value) -> VolumeId {
        let call = Call::to(self.service().routes(None), "POST", "/volume/v3/volumes");
        let made = call.json(&json!({ "volume": volume })).send().await.expect(202).json();
        let id = VolumeId::parse(made["volume"]["id"].as_str().unwrap()).unwrap();
        self.note(&id);
        id
    }

    pub async fn clone_of(&self, volume: &VolumeId) -> VolumeId {
        self.volume(VolumeSource::Volume { volume_id: volume.clone() }, 1).await
    }

    /// Asks for it; says whether the row was in a status that allows it.
    pub async fn delete_volume(&self, id: &VolumeId) -> bool {
        let mut repository = self.database.begin().await.unwrap();
        let Some(row) = repository.volume(id).await.unwrap() else { return false };
        let snapshots = SnapshotFilter { volume_id: Some(id.to_string()), ..SnapshotFilter::default() };
        if !row.status.may_become(VolumeStatus::Deleting)
            || repository.count_snapshots(&snapshots).await.unwrap() > 0
        {
            return false;
        }
        let now = self.world.now();
        let change = VolumeChange::default();
        let to = match row.status {
            VolumeStatus::ErrorManaging => VolumeStatus::ErrorManagingDeleting,
            _ => VolumeStatus::Deleting,
        };
        assert!(repository.change_volume(id, row.status, to, &change, now).await.unwrap());
        repository.cancel_jobs(id.as_str(), now).await.unwrap();
        let task = Task::DeleteVolume { volume_id: id.clone() };
        jobs::enqueue(&mut repository, &self.world, task, &Origin::default()).await.unwrap();
        repository.commit().await.unwrap();
        true
    }

    pub async fn extend_volume(&self, id: &VolumeId, size: i64) {
        let mut repository = self.database.begin().await.unwrap();
        let (from, to) = (VolumeStatus::Available, VolumeStatus::Extending);
        let (change, now) = (VolumeChange::default(), self.world.now());
        assert!(repository.change_volume(id, from, to, &change, now).await.unwrap());
        let task = Task::ExtendVolume { volume_id: id.clone(), new_size: Gib::new(size).unwrap() };
        jobs::enqueue(&mut repository, &self.world, task, &Origin::default()).await.unwrap();
        repository.commit().await.unwrap();
    }

    async fn change_volume(&self, repository: &mut pumice::db::Repository, id: &VolumeId, to: VolumeStatus) {
        let (change, now) = (VolumeChange::default(), self.world.now());
        assert!(repository.change_volume(id, VolumeStatus::Available, to, &change, now).await.unwrap());
    }

    /// Makes an image of it.
    pub async fn upload_volume(&self, id: &VolumeId) -> ImageId {
        self.upload_volume_as(id, "raw").await
    }

    pub async fn upload_volume_as(&self, id: &VolumeId, disk_format: &str) -> ImageId {
        let image_id = self.image_row(ImageStatus::Saving, disk_format).await;
        let mut repository = self.database.begin().await.unwrap();
        self.change_volume(&mut repository, id, VolumeStatus::Uploading).await;
        let task = Task::UploadVolume { volume_id: id.clone(), image_id: image_id.clone() };
        jobs::enqueue(&mut repository, &self.world, task, &Origin::default()).await.unwrap();
        repository.commit().await.unwrap();
        image_id
    }

    pub async fn reimage(&self, id: &VolumeId, image: &ImageId) {
        self.reimage_with(id, image, None).await;
    }

    /// For somebody who may read these properties alone.
    pub async fn reimage_with(&self, id: &VolumeId, image: &ImageId, readable: Option<BTreeSet<String>>) {
        let mut repository = self.database.begin().await.unwrap();
        self.change_volume(&mut repository, id, VolumeStatus::Downloading).await;
        let (volume_id, image_id) = (id.clone(), image.clone());
        let task = Task::Reimage { volume_id, image_id, signed_by: None, readable };
        jobs::enqueue(&mut repository, &self.world, task, &Origin::default()).await.unwrap();
        repository.commit().await.unwrap();
    }

    pub async fn revert(&self, volume: &VolumeId, snapshot: &SnapshotId) {
        let mut repository = self.database.begin().await.unwrap();
        let (from, to, now) = (VolumeStatus::Available, VolumeStatus::Reverting, self.world.now());
        assert!(repository.change_volume(volume, from, to, &VolumeChange::default(), now).await.unwrap());
        let (from, to) = (SnapshotStatus::Available, SnapshotStatus::Restoring);
        assert!(repository.change_snapshot(snapshot, from, to, now).await.unwrap());
        let task = Task::RevertVolume { volume_id: volume.clone(), snapshot_id: snapshot.clone() };
        jobs::enqueue(&mut repository, &self.world, task, &Origin::default()).await.unwrap();
        repository.commit().await.unwrap();
    }

    /// An image on the pool that is no volume, of so many GiB; its name.
    pub async fn lay(&self, size: i64) -> String {
        let id = self.world.ids.random();
        self.note(&id);
        let (name, size) = (format!("disk-{id}"), Gib::new(size).unwrap().bytes());
        self.stores.volumes.first().store.create(&name, size, 4 << 20).await.unwrap();
        name
    }

    /// A snapshot on the pool that is no snapshot of the volume's.
    pub async fn lay_snapshot(&self, volume: &VolumeId, name: &str) {
        let image = workflows::names::volume(volume);
        let image = self.stores.volumes.first().store.open(&image, OpenMode::ReadWrite).await.unwrap();
        image.create_snapshot(name).await.unwrap();
        image.close().await.unwrap();
    }

    pub async fn manage_volume(&self, source: &str, size: i64) -> VolumeId {
        let id = VolumeId::from(self.world.ids.random());
        self.note(&id);
        let mut repository = self.database.begin().await.unwrap();
        let volume = self.volume_row(&mut repository, id.clone(), VolumeStatus::Managing, size).await;
        repository.add_volume(&volume).await.unwrap();
        let task = Task::ManageVolume { volume_id: id.clone(), source: source.to_owned() };
        jobs::enqueue(&mut repository, &self.world, task, &Origin::default()).await.unwrap();
        repository.commit().await.unwrap();
        id
    }

    pub async fn unmanage_volume(&self, id: &VolumeId) {
        let mut repository = self.database.begin().await.unwrap();
        let (from, to, now) = (VolumeStatus::Available, VolumeStatus::Unmanaging, self.world.now());
        assert!(repository.change_volume(id, from, to, &VolumeChange::default(), now).await.unwrap());
        let task = Task::UnmanageVolume { volume_id: id.clone() };
        jobs::enqueue(&mut repository, &self.world, task, &Origin::default()).await.unwrap();
        repository.commit().await.unwrap();
    }

    pub async fn manage_snapshot(&self, volume: &VolumeId, source: &str) -> SnapshotId {
        let snapshot = self.snapshot_row(volume);
        let id = snapshot.id.clone();
        let mut repository = self.database.begin().await.unwrap();
        repository.add_snapshot(&snapshot).await.unwrap();
        let task = Task::ManageSnapshot {
            snapshot_id: id.clone(),
            volume_id: volume.clone(),
            source: source.to_owned(),
            was_protected: false,
        };
        jobs::enqueue(&mut repository, &self.world, task, &Origin::default()).await.unwrap();
        repository.commit().await.unwrap();
        id
    }

    pub async fn unmanage_snapshot(&self, id: &SnapshotId) {
        let mut repository = self.database.begin().await.unwrap();
        let row = repository.snapshot(id).await.unwrap().unwrap();
        let (from, to, now) = (SnapshotStatus::Available, SnapshotStatus::Unmanaging, self.world.now());
        assert!(repository.change_snapshot(id, from, to, now).await.unwrap());
        let task = Task::UnmanageSnapshot { snapshot_id: id.clone(), volume_id: row.volume_id };
        jobs::enqueue(&mut repository, &self.world, task, &Origin::default()).await.unwrap();
        repository.commit().await.unwrap();
    }

    /// Takes from the pool what is ours and no row names, as an administrator would: what was unmanaged, and what was
    /// never managed.
    pub async fn clear_by_hand(&self) {
        let store = &self.stores.volumes.first().store;
        let ours: Vec<String> = self.ids.lock().unwrap().iter().cloned().collect();
        let is_ours = |name: &str| ours.iter().any(|id| name.contains(id.as_str()));
        let volumes: Vec<_> =
            self.volumes().await.iter().map(|row| workflows::names::volume(&row.id)).collect();
        let snapshots: Vec<_> =
            self.snapshots().await.iter().map(|row| workflows::names::snapshot(&row.id)).collect();
        for name in store.list().await.unwrap().into_iter().filter(|name| is_ours(name)) {
            let image = store.open(&name, OpenMode::ReadWrite).await.unwrap();
            for snapshot in image.snapshots().await.unwrap() {
                let is_users = snapshot.name == "by-hand" || snapshot.name.starts_with("snapshot-");
                if is_users && !snapshots.contains(&snapshot.name) {
                    assert!(!snapshot.protected, "{} is protected", snapshot.name);
                    image.remove_snapshot(&snapshot.name).await.unwrap();
                }
            }
            image.close().await.unwrap();
            drop(image);
            let is_volume = workflows::names::volume_of(&name).is_some();
            if name.starts_with("disk-") || is_volume && !volumes.contains(&name) {
                store.remove(&name, &Progress::new()).await.unwrap();
            }
        }
    }

    pub async fn create_snapshot(&self, volume: &VolumeId) -> SnapshotId {
        let snapshot = self.snapshot_row(volume);
        let id = snapshot.id.clone();
        let mut repository = self.database.begin().await.unwrap();
        repository.add_snapshot(&snapshot).await.unwrap();
        let task = Task::CreateSnapshot { snapshot_id: id.clone(), volume_id: volume.clone() };
        jobs::enqueue(&mut repository, &self.world, task, &Origin::default()).await.unwrap();
        repository.commit().await.unwrap();
        id
    }

    fn snapshot_row(&self, volume: &VolumeId) -> Snapshot {
        let id = SnapshotId::from(self.world.ids.random());
        self.note(&id);
        Snapshot {
            id,
            volume_id: volume.clone(),
            project_id: ProjectId("p".into()),
            user_id: UserId("u".into()),
            name: None,
            description: None,
            size: Gib::new(1).unwrap(),
            status: SnapshotStatus::Creating,
            previous_status: None,
            progress: None,
            metadata: Json(BTreeMap::new()),
            created_at: self.world.now(),
            updated_at: None,
        }
    }

    pub async fn snapshot(&self, volume: &VolumeId) -> SnapshotId {
        let id = self.create_snapshot(volume).await;
        self.settle().await;
        assert_eq!(self.snapshot_status(&id).await, Some(SnapshotStatus::Available));
        id
    }

    pub async fn delete_snapshot(&self, id: &SnapshotId) -> bool {
        let mut repository = self.database.begin().await.unwrap();
        let Some(row) = repository.snapshot(id).await.unwrap() else { return false };
        if !row.status.may_become(SnapshotStatus::Deleting) {
            return false;
        }
        let now = self.world.now();
        assert!(repository.change_snapshot(id, row.status, SnapshotStatus::Deleting, now).await.unwrap());
        let task = Task::DeleteSnapshot { snapshot_id: id.clone(), volume_id: row.volume_id };
        jobs::enqueue(&mut repository, &self.world, task, &Origin::default()).await.unwrap();
        repository.commit().await.unwrap();
        true
    }

    pub async fn delete_image(&self, id: &ImageId) -> bool {
        let mut repository = self.database.begin().await.unwrap();
        let Some(row) = repository.image(id).await.unwrap() else { return false };
        let now = self.world.now();
        if !row.status.may_become(ImageStatus::Deleted) {
            return false;
        }
        let change = ImageChange::default();
        assert!(repository.change_image(id, row.status, ImageStatus::Deleted, &change, now).await.unwrap());
        repository.cancel_jobs(id.as_str(), now).await.unwrap();
        let task = Task::DeleteImage { image_id: id.clone() };
        jobs::enqueue(&mut repository, &self.world, task, &Origin::default()).await.unwrap();
        repository.commit().await.unwrap();
        true
    }

    pub async fn volume_status(&self, id: &VolumeId) -> Option<VolumeStatus> {
        self.database.read().await.unwrap().volume(id).await.unwrap().map(|row| row.status)
    }

    pub async fn snapshot_status(&self, id: &SnapshotId) -> Option<SnapshotStatus> {
        self.database.read().await.unwrap().snapshot(id).await.unwrap().map(|row| row.status)
    }

    pub async fn image_status(&self, id: &ImageId) -> Option<ImageStatus> {
        self.database.read().await.unwrap().image(id).await.unwrap().map(|row| row.status)
    }

    pub async fn last_job(&self, resource: &impl ToString) -> Option<pumice::db::Job> {
        let filter = JobFilter { resource_id: Some(resource.to_string()), ..JobFilter::default() };
        let page = Page { limit: Some(1), ..Page::default() };
        self.database.read().await.unwrap().jobs(&filter, &page).await.unwrap().into_iter().next()
    }

    pub async fn volumes(&self) -> Vec<Volume> {
        let mut repository = self.database.read().await.unwrap();
        repository.volumes(&VolumeFilter::default(), &Page::default()).await.unwrap()
    }

    pub async fn snapshots(&self) -> Vec<Snapshot> {
        let mut repository = self.database.read().await.unwrap();
        repository.snapshots(&SnapshotFilter::default(), &Page::default()).await.unwrap()
    }

    pub async fn images(&self) -> Vec<Image> {
        let mut repository = self.database.read().await.unwrap();
        repository.images(&pumice::db::ImageFilter::default(), &Page::default()).await.unwrap()
    }

    pub async fn write(&self, volume: &VolumeId, offset: u64, bytes: &[u8]) {
        let name = workflows::names::volume(volume);
        let image = self.stores.volumes.first().store.open(&name, OpenMode::ReadWrite).await.unwrap();
        image.write(offset, Bytes::copy_from_slice(bytes)).await.unwrap();
        image.flush().await.unwrap();
        image.close().await.unwrap();
    }

    pub async fn read(&self, volume: &VolumeId, offset: u64, length: u64) -> Bytes {
        let name = workflows::names::volume(volume);
        let image = self.stores.volumes.first().store.open(&name, OpenMode::ReadOnly).await.unwrap();
        let bytes = image.read(offset, length).await.unwrap();
        image.close().await.unwrap();
        bytes
    }

    /// Nothing is in a status that only a job could end.
    pub async fn assert_settled(&self) {
        for volume in self.volumes().await {
            assert!(volume.status.is_settled(), "{} is {}", volume.id, volume.status);
        }
        for snapshot in self.snapshots().await {
            assert!(snapshot.status.is_settled(), "{} is {}", snapshot.id, snapshot.status);
        }
        for image in self.images().await {
            let is_settled = !matches!(image.status, ImageStatus::Saving | ImageStatus::Importing);
            assert!(is_settled, "{} is {}", image.id, image.status);
        }
    }

    /// Deletes all there is, as a user can, and sees that nothing is left: no row, nothing on the pools.
    pub async fn assert_nothing_is_left(&self) {
        for snapshot in self.snapshots().await {
            assert!(self.delete_snapshot(&snapshot.id).await, "{snapshot:?}");
        }
        self.settle().await;
        for volume in self.volumes().await {
            assert!(self.delete_volume(&volume.id).await, "{volume:?}");
        }
        self.settle().await;
        for image in self.images().await {
            assert!(self.delete_image(&image.id).await, "{image:?}");
        }
        self.settle().await;
        assert!(self.snapshots().await.is_empty(), "{:?}", self.snapshots().await);
        assert!(self.volumes().await.is_empty(), "{:?}", self.volumes().await);
        assert!(self.images().await.is_empty(), "{:?}", self.images().await);
        assert_eq!(self.forgotten_on_pools().await, Vec::<String>::new());
        self.sweep().await;
        assert_eq!(self.on_pools().await, Vec::<String>::new());
    }

    /// Until nothing is left to look after.
    pub async fn sweep(&self) {
        let swept = tokio::time::timeout(PATIENCE, async {
            while self.sweeper().sweep().await.unwrap() > 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        let is_swept = swept.await.is_ok();
        assert!(is_swept, "{:?} {:?}", self.leftovers().await, self.on_pools().await);
    }

    async fn leftovers(&self) -> Vec<Leftover> {
        let leftovers = self.database.read().await.unwrap().leftovers().await.unwrap();
        leftovers.into_iter().map(|(leftover, _)| leftover).collect()
    }

    /// What somebody still had open when it should go waits in the trash, and the sweeper knows of it.
    async fn forgotten_on_pools(&self) -> Vec<String> {
        let leftovers = self.leftovers().await;
        let waiting: Vec<_> =
            leftovers.iter().map(|left| format!("{}/{} (trash)", left.pool, left.name)).collect();
        self.on_pools().await.into_iter().filter(|found| !waiting.contains(found)).collect()
    }

    /// All names on the pools and in their trash that bear an id of ours.
    pub async fn on_pools(&self) -> Vec<String> {
        let mut found = Vec::new();
        for store in self.stores.volumes.iter().map(|backend| &backend.store).chain([&self.stores.images]) {
            for name in names_of(store).await {
                if self.ids.lock().unwrap().iter().any(|id| name.contains(id.as_str())) {
                    found.push(format!("{}/{name}", store.pool()));
                }
            }
        }
        found
    }
}

fn to_the_first_store(source: ImportSource) -> Import {
    Import {
        source,
        stores: vec![None],
        all_must_succeed: true,
        inject: true,
        signed_by: None,
        asked_by: None,
    }
}

async fn names_of(store: &Arc<dyn BlockStore>) -> Vec<String> {
    let mut names = store.list().await.unwrap();
    names
        .extend(store.trash_list().await.unwrap().into_iter().map(|entry| format!("{} (trash)", entry.name)));
    names
}
