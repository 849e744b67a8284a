//! Volumes that get another place or another type.

use std::collections::BTreeMap;
use std::sync::Arc;

use pumice::block::{Backend, OpenMode, Progress};
use pumice::config::Config;
use pumice::db::{QosSpecs, VolumeChange, VolumeType};
use pumice::jobs::{self, Destination, NoFaults, Origin, Task, VolumeSource};
use pumice::model::{
    AttachmentStatus, JobState, MigrationStatus, QosSpecsId, VolumeId, VolumeStatus, VolumeTypeId,
};
use pumice::workflows::names;
use serde_json::json;
use sqlx::types::Json;

use super::{HoldBefore, house, on_every_store, pattern};
use crate::house::{DatabaseKind, House, StoreKind};
use crate::process::pools;

/// The backends of every house.
pub const FIRST: &str = "directory";
pub const SECOND: &str = "second";

impl House {
    fn backend(&self, name: &str) -> &Backend {
        self.stores.volumes.named(name).unwrap()
    }

    pub fn place(&self, name: &str) -> String {
        format!("pumice@{name}#{}", self.backend(name).store.pool())
    }

    /// Asks for it, as the API does.
    pub async fn migrate(&self, id: &VolumeId, to: &str) {
        let mut repository = self.database.begin().await.unwrap();
        let row = repository.volume(id).await.unwrap().unwrap();
        repository.set_migration_status(id, Some(MigrationStatus::Starting)).await.unwrap();
        let to = Destination::Place { host: self.place(to), zone: "nova".into() };
        let task = Task::MigrateVolume { volume_id: id.clone(), from: row.host.unwrap(), to };
        jobs::enqueue(&mut repository, &self.world, task, &Origin::default()).await.unwrap();
        repository.commit().await.unwrap();
    }

    pub async fn rename(&self, id: &VolumeId, name: &str) {
        let mut repository = self.database.begin().await.unwrap();
        let mut row = repository.volume(id).await.unwrap().unwrap();
        row.name = Some(name.to_owned());
        row.updated_at = Some(self.world.now());
        repository.update_volume(&row).await.unwrap();
        repository.commit().await.unwrap();
    }

    /// Likewise; `to` is where the volume lies in the end.
    pub async fn retype(&self, id: &VolumeId, of: &VolumeTypeId, to: Destination) {
        let mut repository = self.database.begin().await.unwrap();
        let row = repository.volume(id).await.unwrap().unwrap();
        let change = pumice::db::VolumeChange::default();
        let now = self.world.now();
        assert!(
            repository.change_volume(id, row.status, VolumeStatus::Retyping, &change, now).await.unwrap()
        );
        repository.set_retyping_to(id, Some(of)).await.unwrap();
        let from = row.host.unwrap();
        let task = Task::RetypeVolume { volume_id: id.clone(), volume_type_id: of.clone(), from, to };
        jobs::enqueue(&mut repository, &self.world, task, &Origin::default()).await.unwrap();
        repository.commit().await.unwrap();
    }

    pub fn here(&self) -> Destination {
        Destination::Place { host: self.place(FIRST), zone: "nova".into() }
    }

    /// A type with these limits at the back end.
    pub async fn limited_type(&self, specs: &[(&str, &str)]) -> VolumeTypeId {
        let id = VolumeTypeId::from(self.world.ids.random());
        let specs = QosSpecs {
            id: QosSpecsId::from(self.world.ids.random()),
            name: format!("limits of {id}"),
            consumer: "both".into(),
            specs: Json(specs.iter().map(|(key, text)| ((*key).into(), Some((*text).into()))).collect()),
            created_at: self.world.now(),
            updated_at: None,
        };
        let of_type = VolumeType {
            id: id.clone(),
            name: id.to_string(),
            description: None,
            is_public: true,
            extra_specs: Json(BTreeMap::new()),
            qos_specs_id: Some(specs.id.clone()),
            created_at: self.world.now(),
            updated_at: None,
        };
        let mut repository = self.database.begin().await.unwrap();
        repository.add_qos_specs(&specs).await.unwrap();
        repository.add_volume_type(&of_type).await.unwrap();
        repository.commit().await.unwrap();
        id
    }

    pub async fn row(&self, id: &VolumeId) -> pumice::db::Volume {
        self.database.read().await.unwrap().volume(id).await.unwrap().unwrap()
    }

    /// What librbd is told to limit.
    async fn limits(&self, id: &VolumeId) -> Vec<(String, String)> {
        let image = self.backend(FIRST).store.open(&names::volume(id), OpenMode::ReadOnly).await.unwrap();
        let metadata = image.metadata().await.unwrap();
        image.close().await.unwrap();
        metadata.into_iter().filter(|(key, _)| key.starts_with("conf_rbd_qos_")).collect()
    }

    pub async fn assert_lies_in(&self, name: &str, id: &VolumeId, at: u64, bytes: &[u8]) {
        assert_eq!(self.row(id).await.host, Some(self.place(name)), "{:?}", self.last_job(id).await);
        let image = self.backend(name).store.open(&names::volume(id), OpenMode::ReadOnly).await.unwrap();
        assert_eq!(image.size().await.unwrap(), 1 << 30);
        assert_eq!(image.read(at, bytes.len() as u64).await.unwrap(), bytes);
        image.close().await.unwrap();
    }
}

/// There and back: bytes and all, and nothing stays behind.
async fn a_volume_moves_with_its_bytes(store: StoreKind) {
    moves_with_its_bytes(house(store).await).await;
}

async fn moves_with_its_bytes(mut house: House) {
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let bytes = pattern(9_000_000, 7);
    house.write(&volume, 3_000_000, &bytes).await;
    for name in [SECOND, FIRST] {
        house.migrate(&volume, name).await;
        house.settle().await;
        house.assert_lies_in(name, &volume, 3_000_000, &bytes).await;
        let row = house.row(&volume).await;
        assert_eq!(
            (row.status, row.migration_status),
            (VolumeStatus::Available, Some(MigrationStatus::Success))
        );
        let place = format!("{}/{}", house.backend(name).store.pool(), names::volume(&volume));
        assert_eq!(house.on_pools().await, [place]);
    }
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// Clones go on reading from where it was.
async fn what_clones_read_from_stays_until_they_go(store: StoreKind) {
    let mut house = house(store).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let bytes = pattern(50_000, 8);
    house.write(&volume, 8_192, &bytes).await;
    let clone = house.clone_of(&volume).await;
    house.migrate(&volume, SECOND).await;
    house.settle().await;
    house.assert_lies_in(SECOND, &volume, 8_192, &bytes).await;
    assert_eq!(house.read(&clone, 8_192, 50_000).await, bytes);
    // The clone goes its own way.
    house.migrate(&clone, SECOND).await;
    house.settle().await;
    house.assert_lies_in(SECOND, &clone, 8_192, &bytes).await;
    house.sweeper().sweep().await.unwrap();
    let pool = house.backend(SECOND).store.pool();
    let mut expected = [&volume, &clone].map(|id| format!("{pool}/{}", names::volume(id)));
    expected.sort();
    let mut found = house.on_pools().await;
    found.sort();
    assert_eq!(found, expected);
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// Where clones read from what it left before, it leaves one more copy: that goes after the first.
async fn leaves_a_place_twice(store: StoreKind) {
    let mut house = house(store).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let bytes = pattern(50_000, 9);
    house.write(&volume, 8_192, &bytes).await;
    let clone = house.clone_of(&volume).await;
    for name in [SECOND, FIRST, SECOND] {
        house.migrate(&volume, name).await;
        house.settle().await;
        house.assert_lies_in(name, &volume, 8_192, &bytes).await;
        assert_eq!(house.read(&clone, 8_192, 50_000).await, bytes);
    }
    let pool = house.backend(FIRST).store.pool();
    let left = names::volume(&volume);
    let left = [left.clone(), names::deleted(&left)].map(|name| format!("{pool}/{name}"));
    let found = house.on_pools().await;
    assert!(left.iter().all(|name| found.contains(name)), "{found:?}");
    assert!(house.sweeper().sweep().await.unwrap() > 0);
    assert!(house.delete_volume(&clone).await);
    house.settle().await;
    house.sweep().await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// A process died when it had removed all of an earlier copy but its name.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_a_removal_left_is_in_nobodys_way() {
    let mut house = house(StoreKind::RbdV2).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let pool = house.backend(FIRST).store.pool().to_owned();
    let name = format!("rbd_id.{}", names::deleted(&names::volume(&volume)));
    let id = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(id.path(), b"\x04\0\0\0gone").unwrap();
    pools::run("rados", &["-p", &pool, "put", &name, id.path().to_str().unwrap()]);
    house.migrate(&volume, SECOND).await;
    house.settle().await;
    house.sweep().await;
    assert!(!pools::objects(&pool).contains(&name));
    assert!(house.delete_volume(&volume).await);
    house.settle().await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// What is unmanaged stays, even where the volume had left a copy before.
async fn one_that_came_back_can_be_unmanaged(store: StoreKind) {
    let mut house = house(store).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let bytes = pattern(50_000, 11);
    house.write(&volume, 8_192, &bytes).await;
    let clone = house.clone_of(&volume).await;
    for name in [SECOND, FIRST] {
        house.migrate(&volume, name).await;
        house.settle().await;
        house.assert_lies_in(name, &volume, 8_192, &bytes).await;
    }
    house.unmanage_volume(&volume).await;
    house.settle().await;
    assert_eq!(house.volume_status(&volume).await, None);
    assert!(house.sweeper().sweep().await.unwrap() > 0);
    assert!(house.delete_volume(&clone).await);
    house.settle().await;
    for _ in 0..3 {
        house.sweeper().sweep().await.unwrap();
    }
    let name = names::volume(&volume);
    let image = house.backend(FIRST).store.open(&name, OpenMode::ReadOnly).await.unwrap();
    assert_eq!(&image.read(8_192, 50_000).await.unwrap()[..], bytes);
    image.close().await.unwrap();
    drop(image);
    assert_eq!(house.on_pools().await, [format!("{}/{name}", house.backend(FIRST).store.pool())]);
    house.clear_by_hand().await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// A volume that has been elsewhere, with a clone of the copy that it left, and one of the copy that is there now.
async fn came_back_with_clones(store: StoreKind) -> (House, VolumeId, [VolumeId; 2], Vec<u8>) {
    let house = house(store).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let bytes = pattern(50_000, 12);
    house.write(&volume, 8_192, &bytes).await;
    let first = house.clone_of(&volume).await;
    for name in [SECOND, FIRST] {
        house.migrate(&volume, name).await;
        house.settle().await;
    }
    let second = house.clone_of(&volume).await;
    (house, volume, [first, second], bytes)
}

/// Each copy that it left has a clone, and so has the one that is there.
async fn one_with_clones_of_each_copy_moves_and_goes(store: StoreKind) {
    let (mut house, volume, [first, second], bytes) = came_back_with_clones(store).await;
    house.migrate(&volume, SECOND).await;
    house.settle().await;
    house.assert_lies_in(SECOND, &volume, 8_192, &bytes).await;
    // Both names that it could have there are taken.
    house.migrate(&volume, FIRST).await;
    house.settle().await;
    house.assert_lies_in(SECOND, &volume, 8_192, &bytes).await;
    let row = house.row(&volume).await;
    assert_eq!((row.status, row.migration_status), (VolumeStatus::Available, Some(MigrationStatus::Error)));
    for clone in [&first, &second] {
        assert_eq!(house.read(clone, 8_192, 50_000).await, bytes);
    }
    for gone in [&first, &second, &volume] {
        assert!(house.delete_volume(gone).await);
    }
    house.settle().await;
    // One copy goes after the other.
    house.sweep().await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// It goes, and its clones stay, where the name of a deleted one is taken.
async fn one_that_came_back_is_deleted_before_its_clones(store: StoreKind) {
    let (mut house, volume, [first, second], bytes) = came_back_with_clones(store).await;
    assert!(house.delete_volume(&volume).await);
    house.settle().await;
    assert_eq!(house.volume_status(&volume).await, None);
    assert!(house.sweeper().sweep().await.unwrap() > 0);
    assert!(house.delete_volume(&first).await);
    house.settle().await;
    house.sweeper().sweep().await.unwrap();
    assert_eq!(house.read(&second, 8_192, 50_000).await, bytes);
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn a_retype_in_place_changes_the_limits_and_an_extend_keeps_them(store: StoreKind) {
    let mut house = house(store).await;
    let volume = house.volume(VolumeSource::Empty, 2).await;
    assert_eq!(house.limits(&volume).await, []);
    let first = house.limited_type(&[("total_iops_sec_per_gb", "100"), ("read_bytes_sec_max", "7")]).await;
    house.retype(&volume, &first, house.here()).await;
    house.settle().await;
    let limit = |key: &str, value: &str| (format!("conf_rbd_qos_{key}"), value.to_owned());
    assert_eq!(house.limits(&volume).await, [limit("iops_limit", "200"), limit("read_bps_burst", "7")]);
    let row = house.row(&volume).await;
    assert_eq!((row.status, &row.volume_type_id), (VolumeStatus::Available, &first));
    house.extend_volume(&volume, 5).await;
    house.settle().await;
    assert_eq!(house.limits(&volume).await, [limit("iops_limit", "500"), limit("read_bps_burst", "7")]);
    let second = house.limited_type(&[("total_iops_sec_max", "9")]).await;
    house.retype(&volume, &second, house.here()).await;
    house.settle().await;
    assert_eq!(house.limits(&volume).await, [limit("iops_burst", "9")]);
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// Whoever was told where it lies opens it there.
async fn one_that_is_being_attached_stays(store: StoreKind) {
    let mut house = house(store).await;
    let volume = house.attached(&["a server"], AttachmentStatus::Attaching).await;
    house.write(&volume, 0, &pattern(9_000, 5)).await;
    house.migrate(&volume, SECOND).await;
    house.settle().await;
    house.assert_lies_in(FIRST, &volume, 0, &pattern(9_000, 5)).await;
    assert_eq!(house.row(&volume).await.status, VolumeStatus::Attaching);
    assert_eq!(house.last_job(&volume).await.unwrap().state, JobState::Failed);
    house.detach_all().await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// Likewise where an action said so, which makes no attachment.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_reserved_by_an_action_stays_so() {
    let mut house = house(StoreKind::Directory).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let mut repository = house.database.begin().await.unwrap();
    let (from, to, change) = (VolumeStatus::Available, VolumeStatus::Attaching, VolumeChange::default());
    assert!(repository.change_volume(&volume, from, to, &change, house.world.now()).await.unwrap());
    repository.commit().await.unwrap();
    // Also where there is nothing to do.
    for to in [SECOND, FIRST] {
        house.migrate(&volume, to).await;
        house.settle().await;
        let row = house.row(&volume).await;
        assert_eq!((row.status, row.host), (VolumeStatus::Attaching, Some(house.place(FIRST))));
    }
    house.detach_all().await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// It is in use when the move is asked for, and not any more when it begins.
#[tokio::test(flavor = "multi_thread")]
async fn one_whose_server_goes_before_it_begins_moves() {
    let mut house = house(StoreKind::Directory).await;
    let volume = house.attached(&["a server"], AttachmentStatus::Attached).await;
    house.write(&volume, 0, &pattern(9_000, 13)).await;
    house.stop().await;
    house.migrate(&volume, SECOND).await;
    house.detach_all().await;
    // It moves.
    assert_eq!(house.row(&volume).await.status, VolumeStatus::InUse);
    house.start(Arc::new(NoFaults)).await;
    house.settle().await;
    house.assert_lies_in(SECOND, &volume, 0, &pattern(9_000, 13)).await;
    let row = house.row(&volume).await;
    assert_eq!((row.status, row.migration_status), (VolumeStatus::Available, Some(MigrationStatus::Success)));
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// Nor can anything be taken back of it.
#[tokio::test(flavor = "multi_thread")]
async fn one_without_an_image_keeps_its_type() {
    let mut house = house(StoreKind::Directory).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let before = house.row(&volume).await;
    house.backend(FIRST).store.remove(&names::volume(&volume), &Progress::new()).await.unwrap();
    let of = house.limited_type(&[("total_iops_sec", "1")]).await;
    house.retype(&volume, &of, house.here()).await;
    house.settle().await;
    assert_eq!(house.last_job(&volume).await.unwrap().state, JobState::Failed);
    let row = house.row(&volume).await;
    assert_eq!((row.status, row.volume_type_id), (VolumeStatus::Available, before.volume_type_id));
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// A new name, of a volume that is being copied, is not a change of its bytes; that it was reserved may be.
async fn described_or_used_while_it_moves(database: DatabaseKind) {
    for is_used in [false, true] {
        let hold = HoldBefore::new("migrate_volume", "switch");
        let mut house = House::with(StoreKind::Directory, database, Config::default(), hold.clone()).await;
        let volume = house.volume(VolumeSource::Empty, 1).await;
        house.write(&volume, 0, &pattern(9_000, 3)).await;
        house.migrate(&volume, SECOND).await;
        hold.begins().await;
        let mut repository = house.database.begin().await.unwrap();
        for (from, to) in [
            (VolumeStatus::Available, VolumeStatus::Reserved),
            (VolumeStatus::Reserved, VolumeStatus::Available),
        ] {
            let change = VolumeChange::default();
            if is_used {
                assert!(
                    repository.change_volume(&volume, from, to, &change, house.world.now()).await.unwrap()
                );
            }
        }
        repository.commit().await.unwrap();
        for name in ["one", "two"] {
            house.rename(&volume, name).await;
        }
        hold.let_go();
        house.settle().await;
        let place = if is_used { FIRST } else { SECOND };
        house.assert_lies_in(place, &volume, 0, &pattern(9_000, 3)).await;
        assert_eq!(house.row(&volume).await.name.as_deref(), Some("two"));
        house.sweep().await;
        house.assert_nothing_is_left().await;
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn described_or_used_while_it_moves_with_sqlite() {
    described_or_used_while_it_moves(DatabaseKind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn described_or_used_while_it_moves_with_postgresql() {
    described_or_used_while_it_moves(DatabaseKind::Postgres).await;
}

async fn a_copy_of_another_type_has_the_limits_of_its_own(store: StoreKind) {
    let mut house = house(store).await;
    let source = house.volume(VolumeSource::Empty, 1).await;
    let bytes = pattern(50_000, 10);
    house.write(&source, 8_192, &bytes).await;
    let first = house.limited_type(&[("total_iops_sec", "100"), ("read_bytes_sec_max", "7")]).await;
    let second = house.limited_type(&[("total_iops_sec", "200")]).await;
    house.retype(&source, &first, house.here()).await;
    house.settle().await;
    let snapshot = house.snapshot(&source).await;
    for mut wanted in [json!({"source_volid": source}), json!({"snapshot_id": snapshot})] {
        wanted["volume_type"] = json!(second);
        let copy = house.post_volume(wanted).await;
        house.settle().await;
        house.assert_lies_in(FIRST, &copy, 8_192, &bytes).await;
        let row = house.row(&copy).await;
        assert_eq!((row.status, &row.volume_type_id), (VolumeStatus::Available, &second));
        assert_eq!(house.limits(&copy).await, [("conf_rbd_qos_iops_limit".into(), "200".into())]);
    }
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn a_retype_to_nowhere_leaves_it_as_it_was(store: StoreKind) {
    let mut house = house(store).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let before = house.row(&volume).await;
    let of = house.limited_type(&[("total_iops_sec", "1")]).await;
    house.retype(&volume, &of, Destination::Nowhere { why: "There is no such place.".into() }).await;
    house.settle().await;
    let row = house.row(&volume).await;
    assert_eq!((row.status, row.volume_type_id), (VolumeStatus::Available, before.volume_type_id));
    assert_eq!(house.last_job(&volume).await.unwrap().error.as_deref(), Some("There is no such place."));
    assert_eq!(house.limits(&volume).await, []);
    house.assert_nothing_is_left().await;
    house.stop().await;
}

on_every_store!(
    a_volume_moves_with_its_bytes,
    what_clones_read_from_stays_until_they_go,
    leaves_a_place_twice,
    one_that_is_being_attached_stays,
    one_that_came_back_can_be_unmanaged,
    one_with_clones_of_each_copy_moves_and_goes,
    one_that_came_back_is_deleted_before_its_clones,
    a_retype_in_place_changes_the_limits_and_an_extend_keeps_them,
    a_copy_of_another_type_has_the_limits_of_its_own,
    a_retype_to_nowhere_leaves_it_as_it_was,
);

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_moves_between_ceph_and_a_directory() {
    let stores = crate::house::ceph_and_directory();
    moves_with_its_bytes(
        House::on(stores, DatabaseKind::Sqlite, Config::default(), Arc::new(NoFaults)).await,
    )
    .await;
}
