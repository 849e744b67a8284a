//! Volumes of a replicated type: in a pool that mirrors images, and where nothing does.

use std::collections::BTreeMap;
use std::sync::Arc;

use pumice::block::rbd::CloneFormat;
use pumice::block::{Backends, ErrorKind, OpenMode, Stores};
use pumice::config::Config;
use pumice::db::{Service, VolumeType};
use pumice::jobs::{NoFaults, VolumeSource};
use pumice::model::{ReplicationStatus, VolumeId, VolumeStatus, VolumeTypeId};
use pumice::workflows::names;
use serde_json::{Value, json};
use sqlx::types::Json;

use super::{house, on_every_store, pattern};
use crate::house::store::ceph_pool;
use crate::house::{DatabaseKind, House, StoreKind};
use crate::process::pools::{Pools, run};

impl House {
    async fn type_with(&self, specs: &[(&str, &str)]) -> VolumeTypeId {
        let id = VolumeTypeId::from(self.world.ids.random());
        let of_type = VolumeType {
            id: id.clone(),
            name: id.to_string(),
            description: None,
            is_public: true,
            extra_specs: Json(specs_of(specs)),
            qos_specs_id: None,
            created_at: self.world.now(),
            updated_at: None,
        };
        let mut repository = self.database.begin().await.unwrap();
        repository.add_volume_type(&of_type).await.unwrap();
        repository.commit().await.unwrap();
        id
    }

    /// All volumes that are made from now on.
    async fn replicates(&self) {
        self.default_type_says(&[("replication_enabled", "<is> True")]).await;
    }

    async fn default_type_says(&self, specs: &[(&str, &str)]) {
        let mut repository = self.database.begin().await.unwrap();
        let mut of_type = repository.volume_type("__DEFAULT__").await.unwrap().unwrap();
        of_type.extra_specs = Json(specs_of(specs));
        assert!(repository.update_volume_type(&of_type).await.unwrap());
        repository.commit().await.unwrap();
    }

    async fn replication_status(&self, id: &VolumeId) -> Option<ReplicationStatus> {
        self.database.read().await.unwrap().volume(id).await.unwrap().unwrap().replication_status
    }
}

fn specs_of(specs: &[(&str, &str)]) -> BTreeMap<String, Option<String>> {
    specs.iter().map(|(key, text)| ((*key).to_owned(), Some((*text).to_owned()))).collect()
}

/// Pools of its own, of which that of the volumes mirrors images.
async fn mirroring_house() -> (House, Pools) {
    let pools = Pools::make(StoreKind::RbdV2);
    run("rbd", &["mirror", "pool", "enable", &pools.volumes, "image"]);
    let volumes = Backends::one("directory", ceph_pool(&pools.volumes, CloneFormat::V2));
    let images = ceph_pool(&pools.images, CloneFormat::V2);
    let stores = Stores { images, more_images: BTreeMap::new(), volumes };
    let house = House::on((stores, None), DatabaseKind::Sqlite, Config::default(), Arc::new(NoFaults)).await;
    house.service().reporter().report().await.unwrap();
    (house, pools)
}

/// As Ceph's own tool sees it: whether an image is mirrored, and whether it has a journal.
fn seen(pool: &str, image: &str) -> (bool, bool) {
    let info = run("rbd", &["info", &format!("{pool}/{image}"), "--format", "json"]);
    let info: Value = serde_json::from_str(&info).unwrap();
    let has_journal = info["features"].as_array().unwrap().iter().any(|feature| feature == "journaling");
    (info["mirroring"]["state"] == "enabled", has_journal)
}

/// How many images the pool remembers as mirrored, those that are gone included.
fn mirrored(pool: &str) -> usize {
    let keys = run("rados", &["-p", pool, "listomapkeys", "rbd_mirroring"]);
    keys.lines().filter(|key| key.starts_with("image_")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_of_a_replicated_type_are_mirrored_until_they_are_gone() {
    let (mut house, pools) = mirroring_house().await;
    let plain = house.volume(VolumeSource::Empty, 1).await;
    assert_eq!(seen(&pools.volumes, &names::volume(&plain)), (false, false));
    assert_eq!(house.replication_status(&plain).await, Some(ReplicationStatus::Disabled));
    assert!(house.delete_volume(&plain).await);
    house.replicates().await;
    let bytes = pattern(300_000, 3);
    let image = house.upload(bytes.clone()).await;
    let empty = house.volume(VolumeSource::Empty, 1).await;
    // It hung on an image that is not mirrored.
    let from_image = house.volume(VolumeSource::Image { image_id: image, signed_by: None }, 1).await;
    assert_eq!(house.read(&from_image, 0, 300_000).await, bytes);
    let clone = house.clone_of(&from_image).await;
    let snapshot = house.snapshot(&clone).await;
    let source = VolumeSource::Snapshot { snapshot_id: snapshot.clone(), volume_id: clone.clone() };
    let from_snapshot = house.volume(source, 1).await;
    assert_eq!(house.read(&from_snapshot, 0, 300_000).await, bytes);
    for volume in [&empty, &from_image, &clone, &from_snapshot] {
        assert_eq!(seen(&pools.volumes, &names::volume(volume)), (true, true));
        assert_eq!(house.replication_status(volume).await, Some(ReplicationStatus::Enabled));
    }
    // One that clones hang on is kept as it is, under another name.
    assert!(house.delete_volume(&from_image).await);
    house.settle().await;
    assert_eq!(house.volume_status(&from_image).await, None);
    assert_eq!(seen(&pools.volumes, &names::deleted(&names::volume(&from_image))), (true, true));
    assert_eq!(mirrored(&pools.volumes), 4);
    house.assert_nothing_is_left().await;
    assert_eq!(mirrored(&pools.volumes), 0);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retype_starts_and_ends_the_mirroring() {
    let (mut house, pools) = mirroring_house().await;
    let replicated = house.type_with(&[("replication_enabled", "<is> True")]).await;
    let plain = house.type_with(&[]).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let row = house.database.read().await.unwrap().volume(&volume).await.unwrap().unwrap();
    let here = pumice::jobs::Destination::Place { host: row.host.unwrap(), zone: "nova".into() };
    let name = names::volume(&volume);
    for (of, is_mirrored, status) in [
        (&replicated, true, ReplicationStatus::Enabled),
        (&plain, false, ReplicationStatus::Disabled),
        (&replicated, true, ReplicationStatus::Enabled),
    ] {
        house.retype(&volume, of, here.clone()).await;
        house.settle().await;
        let row = house.database.read().await.unwrap().volume(&volume).await.unwrap().unwrap();
        assert_eq!((row.status, &row.volume_type_id), (VolumeStatus::Available, of));
        assert_eq!(row.replication_status, Some(status));
        assert_eq!(seen(&pools.volumes, &name), (is_mirrored, is_mirrored));
    }
    // Its clone, which is of another type in this test, is mirrored: so it must stay mirrored itself.
    house.replicates().await;
    let clone = house.clone_of(&volume).await;
    assert_eq!(seen(&pools.volumes, &names::volume(&clone)), (true, true));
    house.retype(&volume, &plain, here).await;
    house.settle().await;
    let row = house.database.read().await.unwrap().volume(&volume).await.unwrap().unwrap();
    assert_eq!((row.status, &row.volume_type_id), (VolumeStatus::Available, &replicated));
    assert_eq!(row.replication_status, Some(ReplicationStatus::Enabled));
    assert_eq!(seen(&pools.volumes, &name), (true, true));
    house.assert_nothing_is_left().await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_another_type_is_mirrored_as_its_own_type_says() {
    let (mut house, pools) = mirroring_house().await;
    let replicated = house.type_with(&[("replication_enabled", "<is> True")]).await;
    let plain = house.type_with(&[]).await;
    let bytes = pattern(300_000, 4);
    let first = house.volume(VolumeSource::Empty, 1).await;
    house.write(&first, 0, &bytes).await;
    let mut source = first;
    for (of, is_mirrored) in [(&replicated, true), (&plain, false), (&replicated, true)] {
        let snapshot = house.snapshot(&source).await;
        let wanted = json!({"snapshot_id": snapshot, "volume_type": of});
        let from_snapshot = house.post_volume(wanted).await;
        let clone = house.post_volume(json!({"source_volid": source, "volume_type": of})).await;
        house.settle().await;
        for copy in [&from_snapshot, &clone] {
            let name = names::volume(copy);
            assert_eq!(seen(&pools.volumes, &name), (is_mirrored, is_mirrored), "{copy} of {source}");
            assert_eq!(house.read(copy, 0, 300_000).await, bytes);
        }
        source = clone;
    }
    house.assert_nothing_is_left().await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_twice_is_done_once_and_an_image_of_it_has_no_journal() {
    let (mut house, pools) = mirroring_house().await;
    house.replicates().await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    house.write(&volume, 0, &pattern(100_000, 5)).await;
    let image = house.upload_volume(&volume).await;
    house.settle().await;
    assert_eq!(seen(&pools.images, image.as_str()), (false, false));
    let store = house.stores.volumes.first().store.clone();
    let opened = store.open(&names::volume(&volume), OpenMode::ReadWrite).await.unwrap();
    for _ in 0..2 {
        opened.mirror().await.unwrap();
        assert!(opened.is_mirrored().await.unwrap());
    }
    for _ in 0..2 {
        opened.stop_mirroring().await.unwrap();
        assert!(!opened.is_mirrored().await.unwrap());
    }
    opened.close().await.unwrap();
    assert_eq!(seen(&pools.volumes, &names::volume(&volume)), (false, false));
    // An image that is taken over becomes what its type says.
    let laid = house.lay(1).await;
    let managed = house.manage_volume(&laid, 1).await;
    house.settle().await;
    assert_eq!(seen(&pools.volumes, &names::volume(&managed)), (true, true));
    assert_eq!(house.replication_status(&managed).await, Some(ReplicationStatus::Enabled));
    house.assert_nothing_is_left().await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_cannot_be_replicated_and_shared_at_once() {
    let (mut house, _pools) = mirroring_house().await;
    house.default_type_says(&[("replication_enabled", "<is> True"), ("multiattach", "<is> True")]).await;
    let volume = house.create_volume(VolumeSource::Empty, 1).await;
    house.settle().await;
    assert_eq!(house.volume_status(&volume).await, Some(VolumeStatus::Error));
    let why = house.last_job(&volume).await.unwrap().error;
    assert_eq!(why.as_deref(), Some("Replication and Multiattach are mutually exclusive."));
    house.assert_nothing_is_left().await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_says_whether_its_pool_mirrors_images() {
    let (mut house, pools) = mirroring_house().await;
    let mut says = Vec::new();
    for mode in ["image", "pool"] {
        run("rbd", &["mirror", "pool", "enable", &pools.volumes, mode]);
        house.service().reporter().report().await.unwrap();
        let mut repository = house.database.read().await.unwrap();
        let service = repository.service("pumice@directory", Service::VOLUME).await.unwrap();
        let pool = house.service().app.places[0].pool(service.as_ref(), 0);
        says.push(pool.capabilities["replication_enabled"].clone());
    }
    assert_eq!(says, [true, false]);
    house.stop().await;
}

/// The scheduler chooses no such place; what came there all the same fails, and is gone.
async fn where_nothing_is_mirrored_no_volume_is_said_to_be(store: StoreKind) {
    let mut house = house(store).await;
    let plain = house.volume(VolumeSource::Empty, 1).await;
    assert_eq!(house.replication_status(&plain).await, None);
    house.replicates().await;
    let volume = house.create_volume(VolumeSource::Empty, 1).await;
    house.settle().await;
    assert_eq!(house.volume_status(&volume).await, Some(VolumeStatus::Error));
    assert_eq!(house.replication_status(&volume).await, None);
    let why = house.last_job(&volume).await.unwrap().error;
    assert_eq!(why.as_deref(), Some("The volume's type is replicated, but its pool mirrors no images."));
    let store = house.stores.volumes.first().store.clone();
    let opened = store.open(&names::volume(&plain), OpenMode::ReadWrite).await.unwrap();
    assert_eq!(opened.mirror().await.unwrap_err().kind, ErrorKind::Invalid);
    assert!(!opened.is_mirrored().await.unwrap());
    opened.stop_mirroring().await.unwrap();
    opened.close().await.unwrap();
    house.assert_nothing_is_left().await;
    house.stop().await;
}

on_every_store!(where_nothing_is_mirrored_no_volume_is_said_to_be);
