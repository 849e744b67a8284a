//! A service as different callers meet it: whatever token a request has, the test says who asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use pumice::block::OpenMode;
use pumice::config::{Config, ImageStore, ImageStoreKind};
use pumice::db::{
    Attachment, DefaultVolumeType, Encryption, Image, ImageMember, Location, Message, MetadefItem,
    MetadefNamespace, NewJob, QosSpecs, Resource, Snapshot, Transfer, Volume, VolumeType,
};
use pumice::http::{App, Shared};
use pumice::identity::{Authority, Caller};
use pumice::jobs::{self, Origin, Task, VolumeSource};
use pumice::model::{
    Access, AttachMode, AttachmentId, AttachmentStatus, Connection, EncryptionId, Gib, ImageId, ImageStatus,
    JobId, MemberStatus, MessageId, MetadefItemId, MetadefKind, MetadefNamespaceId, ProjectId, QosSpecsId,
    SnapshotId, SnapshotStatus, TransferId, UserId, VolumeId, VolumeStatus, VolumeTypeId,
};
use serde_json::json;
use sqlx::types::Json;

use crate::support::{Call, Site};

pub const OURS: &str = "0000000000000000000000000000aaaa";
pub const THEIRS: &str = "0000000000000000000000000000bbbb";

/// Somebody with these roles in that project.
#[derive(Clone, Copy, Debug)]
pub struct Player {
    pub name: &'static str,
    pub roles: &'static [&'static str],
    pub project: &'static str,
}

const MEMBER_ROLES: &[&str] = &["member", "reader"];

pub const NOBODY: Player = Player { name: "nobody", roles: &[], project: OURS };
pub const READER: Player = Player { name: "reader", roles: &["reader"], project: OURS };
pub const MEMBER: Player = Player { name: "member", roles: MEMBER_ROLES, project: OURS };
/// Of no project that anything belongs to.
pub const ADMIN: Player = Player {
    name: "admin",
    roles: &["admin", "member", "reader"],
    project: "0000000000000000000000000000cccc",
};
/// A member of another project.
pub const OTHER: Player = Player { name: "other", roles: MEMBER_ROLES, project: THEIRS };

pub const PLAYERS: [Player; 5] = [NOBODY, READER, MEMBER, ADMIN, OTHER];

#[derive(Clone, Copy, Debug)]
pub enum Api {
    Image,
    Volume,
    Pumice,
}

pub struct Stage {
    pub site: Site,
    /// To make them takes longer than a request does.
    made: Mutex<BTreeMap<String, Router>>,
}

impl Stage {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With other options than the defaults.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let site = Site::with(|config| {
            // No worker runs: an image's deletion waits for its job in vain.
            config.api.request_timeout = pumice::config::Seconds(1);
            config.image_stores.0.insert("second".to_owned(), ImageStore::default());
            let web = ImageStore { store: ImageStoreKind::Http, ..ImageStore::default() };
            config.image_stores.0.insert("web".to_owned(), web);
            change(config);
        });
        let site = site.await;
        site.report().await;
        Self { site, made: Mutex::default() }
    }

    pub fn app(&self) -> &App {
        self.site.app()
    }

    /// The routes as this player meets them.
    pub fn routes(&self, api: Api, player: Player) -> Router {
        let make = || self.routes_through(api, player, &[]);
        self.made.lock().unwrap().entry(format!("{api:?} {player:?}")).or_insert_with(make).clone()
    }

    /// Likewise, when a service with these roles asks for the player.
    pub fn routes_through(&self, api: Api, player: Player, service_roles: &[&str]) -> Router {
        let user = UserId(format!("user-{}", player.name));
        let mut caller = Caller::everybody(user, ProjectId(player.project.to_owned()));
        caller.roles = player.roles.iter().map(|role| (*role).to_owned()).collect();
        caller.service_roles = service_roles.iter().map(|role| (*role).to_owned()).collect();
        let authority = Authority::Nobody(Arc::new(caller));
        let app = App::new(Shared { authority, ..Shared::clone(self.app()) });
        match api {
            Api::Image => pumice::image_api::router(app, ""),
            Api::Volume => pumice::volume_api::router(app, ""),
            Api::Pumice => pumice::pumice_api::router(app),
        }
    }

    pub fn call(&self, api: Api, player: Player, method: &str, path: &str) -> Call {
        Call::to(self.routes(api, player), method, path)
    }

    /// An available volume of 1 GiB with the metadata item `k`.
    pub async fn volume(&self, project: &str) -> VolumeId {
        let world = &self.app().world;
        let id = VolumeId::from(world.ids.random());
        let mut repository = self.app().database.begin().await.unwrap();
        let of_type = repository.volume_type("__DEFAULT__").await.unwrap().unwrap();
        let volume = Volume {
            id: id.clone(),
            project_id: ProjectId(project.to_owned()),
            user_id: UserId("owner".to_owned()),
            name: None,
            description: None,
            size: Gib::new(1).unwrap(),
            status: VolumeStatus::Available,
            previous_status: None,
            availability_zone: "nova".to_owned(),
            host: Some("pumice@directory#rbd".to_owned()),
            migration_status: None,
            name_id: None,
            replication_status: None,
            volume_type_id: of_type.id,
            volume_type_name: String::new(),
            is_attached: false,
            bootable: false,
            multiattach: false,
            snapshot_id: None,
            source_volume_id: None,
            image_id: None,
            metadata: Json(BTreeMap::from([("k".to_owned(), "v".to_owned())])),
            admin_metadata: Json(BTreeMap::new()),
            image_metadata: Some(Json(BTreeMap::from([("k".to_owned(), "v".to_owned())]))),
            created_at: world.now(),
            updated_at: None,
        };
        repository.add_volume(&volume).await.unwrap();
        repository.commit().await.unwrap();
        id
    }

    /// An attachment that a server uses, with what a host was told of a volume that is in use.
    pub async fn attachment(&self, project: &str) -> AttachmentId {
        let volume_id = self.volume(project).await;
        let id = self.attach(&volume_id, Some("9c2a5d1e-5a5b-4f0e-9f0c-4a6f3f0f7a11")).await;
        let mut repository = self.app().database.begin().await.unwrap();
        let mut attachment = repository.attachment(&id).await.unwrap().unwrap();
        attachment.access = Some(Json(Access {
            connection: Connection {
                name: format!("volumes/volume-{volume_id}"),
                hosts: vec!["127.0.0.1".to_owned()],
                ports: vec!["6789".to_owned()],
                cluster_name: "ceph".to_owned(),
                auth_enabled: true,
                auth_username: Some("cinder".to_owned()),
                secret_type: "ceph".to_owned(),
                secret_uuid: "83ec2e3b-4321-422b-8706-a84185f52a0a".to_owned(),
                volume_id: volume_id.to_string(),
                discard: true,
                qos_specs: None,
                access_mode: AttachMode::Rw,
                encrypted: false,
                cacheable: false,
            },
            enforce_multipath: false,
        }));
        assert!(repository.update_attachment(&attachment).await.unwrap());
        repository.commit().await.unwrap();
        id
    }

    /// As after `os-attach`: the volume is in use.
    pub async fn attach(&self, volume_id: &VolumeId, server: Option<&str>) -> AttachmentId {
        let world = &self.app().world;
        let (id, now) = (AttachmentId::from(world.ids.random()), world.now());
        let attachment = Attachment {
            id: id.clone(),
            volume_id: volume_id.clone(),
            instance_id: server.map(str::to_owned),
            status: AttachmentStatus::Attached,
            host: Some("compute-1".to_owned()),
            mountpoint: Some("/dev/vdb".to_owned()),
            mode: Some(AttachMode::Rw),
            access: None,
            attached_at: Some(now),
            created_at: now,
        };
        let mut repository = self.app().database.begin().await.unwrap();
        repository.add_attachment(&attachment).await.unwrap();
        repository.follow_attachments(volume_id, now).await.unwrap();
        repository.commit().await.unwrap();
        id
    }

    /// An available snapshot with the metadata item `k`.
    pub async fn snapshot(&self, project: &str) -> SnapshotId {
        let volume_id = self.volume(project).await;
        let world = &self.app().world;
        let id = SnapshotId::from(world.ids.random());
        let snapshot = Snapshot {
            id: id.clone(),
            volume_id,
            project_id: ProjectId(project.to_owned()),
            user_id: UserId("owner".to_owned()),
            name: None,
            description: None,
            size: Gib::new(1).unwrap(),
            status: SnapshotStatus::Available,
            previous_status: None,
            progress: None,
            metadata: Json(BTreeMap::from([("k".to_owned(), "v".to_owned())])),
            created_at: world.now(),
            updated_at: None,
        };
        let mut repository = self.app().database.begin().await.unwrap();
        repository.add_snapshot(&snapshot).await.unwrap();
        repository.commit().await.unwrap();
        id
    }

    pub async fn volume_of(&self, snapshot: &SnapshotId) -> VolumeId {
        self.app().database.read().await.unwrap().snapshot(snapshot).await.unwrap().unwrap().volume_id
    }

    pub async fn type_of(&self, volume: &VolumeId) -> VolumeTypeId {
        self.app().database.read().await.unwrap().volume(volume).await.unwrap().unwrap().volume_type_id
    }

    /// On the pool alone, with the image of its volume.
    pub async fn lay_snapshot(&self, volume: &VolumeId, name: &str) {
        let (store, image) =
            (&self.app().stores.volumes.first().store, pumice::workflows::names::volume(volume));
        store.create(&image, pumice::model::GIB, 4 << 20).await.unwrap();
        let image = store.open(&image, OpenMode::ReadWrite).await.unwrap();
        image.create_snapshot(name).await.unwrap();
        image.close().await.unwrap();
    }

    /// A transfer of a volume of this project, and its key.
    pub async fn transfer(&self, project: &str) -> (TransferId, &'static str) {
        let (world, key) = (&self.app().world, "0123456789abcdef");
        let salt = PKey::hmac(b"salt").unwrap();
        let mut signer = Signer::new(MessageDigest::sha256(), &salt).unwrap();
        let hash = signer.sign_oneshot_to_vec(key.as_bytes()).unwrap();
        let transfer = Transfer {
            id: TransferId::from(world.ids.random()),
            volume_id: self.volume(project).await,
            source_project_id: ProjectId(project.to_owned()),
            name: None,
            salt: "salt".to_owned(),
            key_hash: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
            no_snapshots: false,
            created_at: world.now(),
        };
        self.site.reset_volume(transfer.volume_id.as_str(), VolumeStatus::AwaitingTransfer).await;
        let mut repository = self.app().database.begin().await.unwrap();
        repository.add_transfer(&transfer).await.unwrap();
        repository.commit().await.unwrap();
        (transfer.id, key)
    }

    pub async fn message(&self, project: &str) -> MessageId {
        let world = &self.app().world;
        let message = Message {
            id: MessageId::from(world.ids.random()),
            project_id: ProjectId(project.to_owned()),
            request_id: None,
            resource_type: "VOLUME".to_owned(),
            resource_uuid: None,
            event_id: "VOLUME_VOLUME_008_012".to_owned(),
            message_level: "ERROR".to_owned(),
            created_at: world.now(),
        };
        let mut repository = self.app().database.begin().await.unwrap();
        repository.add_message(&message).await.unwrap();
        repository.commit().await.unwrap();
        message.id
    }

    /// A name that nothing has.
    pub fn new_name(&self) -> String {
        self.app().world.ids.random().to_string()
    }

    /// A type that no volume is of, with the extra spec `multiattach`. A private one is for the other project too.
    pub async fn volume_type(&self, is_public: bool) -> VolumeTypeId {
        let world = &self.app().world;
        let (id, now) = (VolumeTypeId::from(world.ids.random()), world.now());
        let volume_type = VolumeType {
            id: id.clone(),
            name: format!("type {id}"),
            description: None,
            is_public,
            extra_specs: Json(BTreeMap::from([("multiattach".to_owned(), Some("<is> False".to_owned()))])),
            qos_specs_id: None,
            created_at: now,
            updated_at: None,
        };
        let mut repository = self.app().database.begin().await.unwrap();
        repository.add_volume_type(&volume_type).await.unwrap();
        if !is_public {
            repository.grant_volume_type(&id, &ProjectId(THEIRS.to_owned()), now).await.unwrap();
        }
        repository.commit().await.unwrap();
        id
    }

    /// Once is enough.
    pub async fn encrypt(&self, volume_type: &VolumeTypeId) {
        let world = &self.app().world;
        if self.app().database.read().await.unwrap().encryption(volume_type).await.unwrap().is_some() {
            return;
        }
        let encryption = Encryption {
            volume_type_id: volume_type.clone(),
            id: EncryptionId::from(world.ids.random()),
            provider: "luks".to_owned(),
            control_location: "front-end".to_owned(),
            cipher: None,
            key_size: None,
            created_at: world.now(),
            updated_at: None,
        };
        let mut repository = self.app().database.begin().await.unwrap();
        repository.add_encryption(&encryption).await.unwrap();
        repository.commit().await.unwrap();
    }

    pub async fn make_default(&self, volume_type_id: VolumeTypeId, project: &str) {
        let default = DefaultVolumeType { project_id: ProjectId(project.to_owned()), volume_type_id };
        let mut repository = self.app().database.begin().await.unwrap();
        repository.set_default_volume_type(&default).await.unwrap();
        repository.commit().await.unwrap();
    }

    /// QoS specs with the key `k`.
    pub async fn qos_specs(&self) -> QosSpecsId {
        let world = &self.app().world;
        let id = QosSpecsId::from(world.ids.random());
        let specs = QosSpecs {
            id: id.clone(),
            name: format!("specs {id}"),
            consumer: "both".to_owned(),
            specs: Json(BTreeMap::from([("k".to_owned(), Some("v".to_owned()))])),
            created_at: world.now(),
            updated_at: None,
        };
        let mut repository = self.app().database.begin().await.unwrap();
        repository.add_qos_specs(&specs).await.unwrap();
        repository.commit().await.unwrap();
        id
    }

    /// An image with the tag `t`, without bytes.
    pub async fn image(&self, project: &str, visibility: &str, status: ImageStatus) -> ImageId {
        let world = &self.app().world;
        let (id, now) = (ImageId::from(world.ids.random()), world.now());
        let image = Image {
            id: id.clone(),
            project_id: Some(ProjectId(project.to_owned())),
            name: Some("an image".to_owned()),
            status,
            previous_status: None,
            visibility: visibility.to_owned(),
            protected: false,
            os_hidden: false,
            container_format: Some("bare".to_owned()),
            disk_format: Some("raw".to_owned()),
            size: None,
            virtual_size: None,
            checksum: None,
            os_hash_algo: None,
            os_hash_value: None,
            min_disk: 0,
            min_ram: 0,
            properties: Json(BTreeMap::new()),
            tags: Json(BTreeMap::from([("t".to_owned(), true)])),
            created_at: now,
            updated_at: now,
            locations: Vec::new(),
        };
        let mut repository = self.app().database.begin().await.unwrap();
        repository.add_image(&image).await.unwrap();
        repository.commit().await.unwrap();
        id
    }

    /// Says that the image lies in these stores.
    pub async fn place(&self, id: &ImageId, stores: &[Option<&str>]) {
        let mut repository = self.app().database.begin().await.unwrap();
        for store in stores {
            repository.add_location(&Location::new(id, *store, None)).await.unwrap();
        }
        repository.commit().await.unwrap();
    }

    /// Gives a `shared` image to a project.
    pub async fn member(&self, image: &ImageId, project: &str, status: MemberStatus) {
        let now = self.app().world.now();
        let (image_id, member_id) = (image.clone(), ProjectId(project.to_owned()));
        let member = ImageMember { image_id, member_id, status, created_at: now, updated_at: now };
        let mut repository = self.app().database.begin().await.unwrap();
        repository.add_image_member(&member).await.unwrap();
        repository.commit().await.unwrap();
    }

    /// A namespace of metadata definitions with the object `o`, the property `p`, the tag `t` and the resource type `r`.
    pub async fn namespace(&self, project: &str, visibility: &str) -> String {
        let world = &self.app().world;
        let now = world.now();
        let namespace = MetadefNamespace {
            id: MetadefNamespaceId::from(world.ids.random()),
            name: self.new_name(),
            display_name: None,
            description: None,
            visibility: visibility.to_owned(),
            protected: false,
            project_id: Some(ProjectId(project.to_owned())),
            created_at: now,
            updated_at: now,
        };
        let mut repository = self.app().database.begin().await.unwrap();
        repository.add_metadef_namespace(&namespace).await.unwrap();
        for (kind, name, definition) in [
            (MetadefKind::Object, "o", json!({})),
            (MetadefKind::Property, "p", json!({"title": "P", "type": "string"})),
            (MetadefKind::Tag, "t", json!({})),
            (MetadefKind::ResourceType, "r", json!({})),
        ] {
            let item = MetadefItem {
                id: MetadefItemId::from(world.ids.random()),
                namespace_id: namespace.id.clone(),
                kind,
                name: name.to_owned(),
                definition: Json(definition.as_object().unwrap().clone()),
                created_at: now,
                updated_at: now,
            };
            repository.add_metadef_item(&item).await.unwrap();
        }
        repository.commit().await.unwrap();
        namespace.name
    }

    /// An import of an image that nobody carries out.
    pub async fn task(&self, image: &ImageId, project: &str) -> JobId {
        let world = &self.app().world;
        let id = JobId::from(world.ids.ordered());
        let job = NewJob {
            id: id.clone(),
            kind: "import_image",
            resource: Resource { kind: "image", id: image.to_string() },
            source_id: None,
            project_id: Some(ProjectId(project.to_owned())),
            request_id: Some("req-1".to_owned()),
            payload: serde_json::Value::Null,
        };
        let mut repository = self.app().database.begin().await.unwrap();
        repository.enqueue(&job, world.now()).await.unwrap();
        repository.commit().await.unwrap();
        id
    }

    /// A job that nobody carries out.
    pub async fn job(&self, project: &str) -> JobId {
        let world = &self.app().world;
        let origin = Origin { project_id: Some(ProjectId(project.to_owned())), request_id: None };
        let task =
            Task::CreateVolume { volume_id: VolumeId::from(world.ids.random()), source: VolumeSource::Empty };
        let mut repository = self.app().database.begin().await.unwrap();
        let id = jobs::enqueue(&mut repository, world, task, &origin).await.unwrap();
        repository.commit().await.unwrap();
        id
    }
}
