//! Five tests for every workflow: run each step twice, fail at each step, crash before and after each step, run each
//! undo twice, and cancel before and after each step, where that may be done. What was not told to fail or to stop is
//! done, bytes and all. Afterwards everything is in a status that its user can act on, can be deleted, and is gone
//! then.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use futures::StreamExt;
use pumice::block::{BlockStore, OpenMode};
use pumice::config::Config;
use pumice::db::{Database, Image, Job, Volume};
use pumice::jobs::{Fault, Faults, Import, ImportSource, Moment, NoFaults, Run, Task, VolumeSource};
use pumice::model::{
    ImageStatus, JobId, JobState, MigrationStatus, SnapshotId, SnapshotStatus, VolumeStatus, World,
};
use pumice::workflows::names;
use tokio::runtime::Handle;

use super::imports::{copy_to_second, packed, serve};
use super::moves::SECOND;
use super::{disk_image, on_every_store, pattern, swaps};
use crate::house::{DatabaseKind, House, StoreKind};
use crate::support::regions::{self, Region};

/// A workflow by the name of its jobs, its steps, and how to ask for it.
#[derive(Clone, Copy)]
struct Case {
    kind: &'static str,
    steps: &'static [&'static str],
    ask: Ask,
}

#[derive(Clone, Copy)]
enum Ask {
    CreateEmpty,
    CreateFromSnapshot,
    CreateFlat,
    CreateFromVolume,
    CopyVolume,
    CreateFromImage,
    CreateFromConverted,
    CreateAndCache,
    CreateFromCache,
    CreateFromWeb,
    CreateFromDiskOnWeb,
    CacheFromWeb,
    DeleteVolume,
    DeleteVolumeWithClone,
    DeleteClone,
    ExtendVolume,
    RevertVolume,
    ManageVolume,
    UnmanageVolume,
    ManageSnapshot,
    UnmanageSnapshot,
    MigrateVolume,
    MigrateInUse,
    RetypeVolume,
    CreateSnapshot,
    DeleteSnapshot,
    DeleteSnapshotWithClone,
    SealImage,
    UploadVolume,
    UploadVolumeAsQcow2,
    DetachImage,
    Reimage,
    ReimageFromWeb,
    ImportStaged,
    ImportPacked,
    ImportFromWeb,
    ImportFromRegion,
    ImportNew,
    ImportConverted,
    ImportTwice,
    ImportToSecond,
    CopyImage,
    CopyFromWeb,
    AddLocation,
    AddLocationInPool,
    DeleteFromStore,
    DeleteStagedImage,
    DeleteImage,
    DeleteImageWithClone,
    DeleteCachedImage,
}

const DELETE_IMAGE: &[&str] = &["remove", "unstage", "purge", "uncache"];
const FROM_DISK: &[&str] = &["cache", "create", "download", "tidy", "resize", "replicate"];
const IMPORT: &[&str] = &["fetch", "unpack", "inspect", "convert", "verify", "store"];

const CASES: &[Case] = &[
    Case { kind: "create_volume", steps: &["create", "replicate"], ask: Ask::CreateEmpty },
    Case {
        kind: "create_volume",
        steps: &["clone", "copy", "resize", "flatten", "replicate"],
        ask: Ask::CreateFromSnapshot,
    },
    Case {
        kind: "create_volume",
        steps: &["clone", "copy", "resize", "flatten", "replicate"],
        ask: Ask::CreateFlat,
    },
    Case {
        kind: "create_volume",
        steps: &["flatten_source", "snapshot", "clone", "copy", "resize", "drop_snapshot", "replicate"],
        ask: Ask::CreateFromVolume,
    },
    Case {
        kind: "create_volume",
        steps: &["flatten_source", "snapshot", "clone", "copy", "resize", "drop_snapshot", "replicate"],
        ask: Ask::CopyVolume,
    },
    Case {
        kind: "create_volume",
        steps: &["clone", "download", "resize", "replicate"],
        ask: Ask::CreateFromImage,
    },
    Case { kind: "create_volume", steps: FROM_DISK, ask: Ask::CreateFromConverted },
    Case { kind: "create_volume", steps: FROM_DISK, ask: Ask::CreateAndCache },
    Case { kind: "create_volume", steps: FROM_DISK, ask: Ask::CreateFromCache },
    Case {
        kind: "create_volume",
        steps: &["clone", "download", "resize", "replicate"],
        ask: Ask::CreateFromWeb,
    },
    Case { kind: "create_volume", steps: FROM_DISK, ask: Ask::CreateFromDiskOnWeb },
    Case { kind: "create_volume", steps: FROM_DISK, ask: Ask::CacheFromWeb },
    Case { kind: "delete_volume", steps: &["remove", "release"], ask: Ask::DeleteVolume },
    Case { kind: "delete_volume", steps: &["remove", "release"], ask: Ask::DeleteVolumeWithClone },
    Case { kind: "delete_volume", steps: &["remove", "release"], ask: Ask::DeleteClone },
    Case { kind: "extend_volume", steps: &["resize"], ask: Ask::ExtendVolume },
    Case { kind: "revert_volume", steps: &["roll_back"], ask: Ask::RevertVolume },
    Case { kind: "manage_volume", steps: &["rename", "check", "suit"], ask: Ask::ManageVolume },
    Case { kind: "unmanage_volume", steps: &[], ask: Ask::UnmanageVolume },
    Case { kind: "manage_snapshot", steps: &["rename", "protect"], ask: Ask::ManageSnapshot },
    Case { kind: "unmanage_snapshot", steps: &["unprotect"], ask: Ask::UnmanageSnapshot },
    Case {
        kind: "migrate_volume",
        steps: &["create", "copy", "prove", "suit", "switch", "leave"],
        ask: Ask::MigrateVolume,
    },
    Case {
        kind: "migrate_volume",
        steps: &["create", "copy", "prove", "suit", "switch", "leave"],
        ask: Ask::MigrateInUse,
    },
    Case {
        kind: "retype_volume",
        steps: &["create", "copy", "prove", "suit", "switch", "leave"],
        ask: Ask::RetypeVolume,
    },
    Case { kind: "create_snapshot", steps: &["snapshot"], ask: Ask::CreateSnapshot },
    Case { kind: "delete_snapshot", steps: &["unprotect", "remove"], ask: Ask::DeleteSnapshot },
    Case { kind: "delete_snapshot", steps: &["unprotect", "remove"], ask: Ask::DeleteSnapshotWithClone },
    Case { kind: "seal_image", steps: &["snapshot"], ask: Ask::SealImage },
    Case { kind: "upload_volume", steps: &["snapshot", "write", "release", "seal"], ask: Ask::UploadVolume },
    Case {
        kind: "upload_volume",
        steps: &["snapshot", "write", "release", "seal"],
        ask: Ask::UploadVolumeAsQcow2,
    },
    Case { kind: "detach_image", steps: &["flatten"], ask: Ask::DetachImage },
    Case { kind: "reimage_volume", steps: &["write", "tidy"], ask: Ask::Reimage },
    Case { kind: "reimage_volume", steps: &["write", "tidy"], ask: Ask::ReimageFromWeb },
    Case { kind: "import_image", steps: IMPORT, ask: Ask::ImportStaged },
    Case { kind: "import_image", steps: IMPORT, ask: Ask::ImportPacked },
    Case { kind: "import_image", steps: IMPORT, ask: Ask::ImportFromWeb },
    Case { kind: "import_image", steps: IMPORT, ask: Ask::ImportFromRegion },
    Case { kind: "import_new_image", steps: IMPORT, ask: Ask::ImportNew },
    Case { kind: "import_image", steps: IMPORT, ask: Ask::ImportConverted },
    Case { kind: "import_image", steps: IMPORT, ask: Ask::ImportTwice },
    Case { kind: "import_image", steps: IMPORT, ask: Ask::ImportToSecond },
    Case { kind: "import_image", steps: IMPORT, ask: Ask::CopyImage },
    Case { kind: "import_image", steps: IMPORT, ask: Ask::CopyFromWeb },
    Case { kind: "add_location", steps: &["hash"], ask: Ask::AddLocation },
    Case { kind: "add_location", steps: &["hash"], ask: Ask::AddLocationInPool },
    Case { kind: "delete_from_store", steps: DELETE_IMAGE, ask: Ask::DeleteFromStore },
    Case { kind: "delete_image", steps: DELETE_IMAGE, ask: Ask::DeleteStagedImage },
    Case { kind: "delete_image", steps: DELETE_IMAGE, ask: Ask::DeleteImage },
    Case { kind: "delete_image", steps: DELETE_IMAGE, ask: Ask::DeleteImageWithClone },
    Case { kind: "delete_image", steps: DELETE_IMAGE, ask: Ask::DeleteCachedImage },
];

/// One fault, at one moment of one kind of job, once. Or two: a failure, and something while it is undone.
struct Plan {
    kind: &'static str,
    at: Vec<(Moment, Fault, AtomicBool)>,
    armed: AtomicBool,
    /// The job that it happened to.
    met: OnceLock<JobId>,
    /// Somebody cancels it at this moment. Whether that was in time the database says.
    cancel: Option<Moment>,
    cancelled: OnceLock<(JobId, bool)>,
}

impl Plan {
    fn new(kind: &'static str, at: &[(Moment, Fault)]) -> Arc<Self> {
        let at = at.iter().map(|(moment, fault)| (*moment, *fault, AtomicBool::new(true))).collect();
        Arc::new(Self { at, ..Self::without_faults(kind) })
    }

    fn cancels(kind: &'static str, moment: Moment) -> Arc<Self> {
        Arc::new(Self { cancel: Some(moment), ..Self::without_faults(kind) })
    }

    fn without_faults(kind: &'static str) -> Self {
        let (met, cancelled) = (OnceLock::new(), OnceLock::new());
        Self { kind, at: Vec::new(), armed: AtomicBool::new(false), met, cancel: None, cancelled }
    }

    fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    fn all_happened(&self) -> bool {
        self.at.iter().all(|(.., open)| !open.load(Ordering::SeqCst))
    }
}

impl Faults for Plan {
    fn at(&self, run: &Run, moment: Moment) -> Fault {
        if !self.armed.load(Ordering::SeqCst) || run.kind != self.kind {
            return Fault::None;
        }
        if self.cancel == Some(moment) {
            self.cancelled.get_or_init(|| {
                let cancelling = cancel(&run.database, &run.id);
                let told = tokio::task::block_in_place(|| Handle::current().block_on(cancelling));
                (run.id.clone(), told)
            });
        }
        for (planned, fault, open) in &self.at {
            if *planned == moment && open.swap(false, Ordering::SeqCst) {
                self.met.get_or_init(|| run.id.clone());
                return *fault;
            }
        }
        Fault::None
    }
}

/// As the API does.
pub async fn cancel(database: &Database, id: &JobId) -> bool {
    let mut repository = database.begin().await.unwrap();
    let told = repository.cancel_job(id, World::real().now()).await.unwrap();
    repository.commit().await.unwrap();
    told
}

/// All that a step says to a database it says when it runs twice, wherever bytes lie: each is heard by both, once. The
/// other tests are for PostgreSQL where there are few cases: a database of its own takes a while there.
fn database(store: StoreKind, faults: &[(Moment, Fault)]) -> DatabaseKind {
    match (store, faults) {
        (StoreKind::Apart, _) | (StoreKind::Directory, [(_, Fault::Repeat)]) => DatabaseKind::Postgres,
        _ => DatabaseKind::Sqlite,
    }
}

/// Of a service that works as this case needs it.
async fn config_for(case: &Case) -> Config {
    let mut config = Config::default();
    // A web server of the test's own may be asked.
    config.import_filtering_opts.allowed_hosts = vec!["127.0.0.1".to_owned()];
    config.import_filtering_opts.allowed_ports.clear();
    config.image_import_opts.image_import_plugins =
        vec!["image_decompression".to_owned(), "image_conversion".to_owned()];
    match case.ask {
        Ask::CreateFlat => config.volumes.rbd_flatten_volume_from_snapshot = true,
        Ask::CopyVolume => config.volumes.rbd_max_clone_depth = 0,
        // So that the source is flattened.
        Ask::CreateFromVolume => config.volumes.rbd_max_clone_depth = 1,
        Ask::CreateAndCache | Ask::CreateFromCache | Ask::CacheFromWeb | Ask::DeleteCachedImage => {
            config.volumes.image_volume_cache_enabled = true;
        }
        Ask::MigrateInUse => drop(swaps::configure(&mut config, swaps::Manner::Moves).await),
        Ask::ImportFromRegion => Region::play(pattern(3_000_000, 18)).await.configure(&mut config),
        _ => {}
    }
    config
}

/// Prepares, arms the fault, asks, and looks at what is left.
async fn survive(store: StoreKind, case: &Case, faults: &[(Moment, Fault)]) {
    let plan = Plan::new(case.kind, faults);
    let mut house = House::with(store, database(store, faults), config_for(case).await, plan.clone()).await;
    ask(&house, case.ask, &plan).await;
    let crashes = faults.iter().any(|(_, fault)| *fault == Fault::Crash);
    if crashes {
        wait_for(&plan).await;
        house.stop().await;
        house.start(Arc::new(NoFaults)).await;
    }
    house.settle().await;
    assert!(plan.all_happened(), "{faults:?} of {:?} never happened", case.kind);
    house.assert_settled().await;
    assert_ended(&house, case, &plan, refuses(store, case)).await;
    if matches!(
        case.ask,
        Ask::ManageVolume | Ask::UnmanageVolume | Ask::ManageSnapshot | Ask::UnmanageSnapshot
    ) {
        house.clear_by_hand().await;
    }
    house.detach_all().await;
    if case.kind == "delete_image" && faults.iter().any(|(_, fault)| *fault == Fault::Fail) {
        // One that fails past the point of no return leaves the rest to it.
        house.sweeper().sweep().await.unwrap();
    }
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// Only what was told to fail, or is refused, failed.
async fn assert_ended(house: &House, case: &Case, plan: &Plan, is_refused: bool) {
    let faults: Vec<_> = plan.at.iter().map(|(moment, fault, _)| (moment, fault)).collect();
    let of = format!("{faults:?} of {:?}", case.kind);
    let fails = is_refused || faults.iter().any(|(_, fault)| **fault == Fault::Fail);
    let id = plan.met.get().unwrap();
    let job = house.database.read().await.unwrap().job(id).await.unwrap().unwrap();
    let expected = if fails { JobState::Failed } else { JobState::Done };
    assert_eq!(job.state, expected, "{of}: {job:?}");
    if !fails {
        assert_carried_out(house, case, &job, &of).await;
    }
}

/// What the job was about is what it was to become.
async fn assert_carried_out(house: &House, case: &Case, job: &Job, of: &str) {
    let id = job.resource_id.as_str();
    let (volumes, images) = (house.volumes().await, house.images().await);
    let volume = volumes.iter().find(|row| row.id.as_str() == id);
    // The job that detaches one is not about the image itself, and has its id at the end of a word.
    let image = images.iter().find(|row| id.ends_with(row.id.as_str()));
    match case.kind {
        "delete_volume" => assert!(volume.is_none(), "{of}: {volume:?}"),
        "delete_image" => assert!(image.is_none(), "{of}: {image:?}"),
        "create_snapshot" | "manage_snapshot" | "delete_snapshot" | "unmanage_snapshot" => {
            let is_new = matches!(case.kind, "create_snapshot" | "manage_snapshot");
            let status = house.snapshot_status(&SnapshotId::parse(id).unwrap()).await;
            assert_eq!(status, is_new.then_some(SnapshotStatus::Available), "{of}");
        }
        _ if job.resource_type == "volume" => assert_volume(house, case, volume.unwrap(), of).await,
        _ => assert_image(house, case, image.unwrap(), of).await,
    }
}

async fn assert_volume(house: &House, case: &Case, row: &Volume, of: &str) {
    let status = match case.ask {
        Ask::MigrateInUse => VolumeStatus::InUse,
        _ => VolumeStatus::Available,
    };
    assert_eq!(row.status, status, "{of}: {row:?}");
    match case.ask {
        Ask::ExtendVolume => assert_eq!(row.size.get(), 3, "{of}"),
        Ask::MigrateVolume | Ask::MigrateInUse => assert_eq!(row.host, Some(house.place(SECOND)), "{of}"),
        Ask::RetypeVolume => assert_ne!(row.volume_type_name, "__DEFAULT__", "{of}"),
        _ => {}
    }
    let store = &house.stores.volumes.of(row.host.as_deref()).unwrap().store;
    assert_holds(store, &names::volume(&row.id), case, of).await;
}

async fn assert_image(house: &House, case: &Case, row: &Image, of: &str) {
    assert_eq!(row.status, ImageStatus::Active, "{of}: {row:?}");
    let places = match case.ask {
        Ask::ImportTwice | Ask::ImportConverted | Ask::CopyImage | Ask::CopyFromWeb => 2,
        _ => 1,
    };
    assert_eq!(row.places().count(), places, "{of}: {row:?}");
    for place in row.places().filter(|place| !place.is_on_the_web()) {
        let store = house.stores.images_in(place.store.as_deref()).unwrap();
        assert_holds(store, row.id.as_str(), case, of).await;
    }
}

async fn assert_holds(store: &Arc<dyn BlockStore>, name: &str, case: &Case, of: &str) {
    let Some((at, bytes)) = content(case.ask) else { return };
    let image = store.open(name, OpenMode::ReadOnly).await.unwrap();
    let found = image.read(at, bytes.len() as u64).await.unwrap();
    image.close().await.unwrap();
    assert!(found == bytes, "{of}: {name} holds something else");
}

async fn wait_for(plan: &Plan) {
    let waited = tokio::time::timeout(std::time::Duration::from_secs(180), async {
        while !plan.all_happened() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    waited.await.expect("the fault never happened");
}

async fn ask(house: &House, ask: Ask, plan: &Plan) {
    match ask {
        Ask::CreateEmpty => {
            plan.arm();
            house.create_volume(VolumeSource::Empty, 1).await;
        }
        Ask::CreateFromSnapshot | Ask::CreateFlat => {
            let volume = house.volume(VolumeSource::Empty, 1).await;
            house.write(&volume, 4096, &pattern(10_000, 1)).await;
            let snapshot = house.snapshot(&volume).await;
            plan.arm();
            let source = VolumeSource::Snapshot { snapshot_id: snapshot, volume_id: volume };
            house.create_volume(source, 2).await;
        }
        Ask::CreateFromVolume => {
            let first = house.volume(VolumeSource::Empty, 1).await;
            house.write(&first, 4096, &pattern(10_000, 2)).await;
            let second = house.clone_of(&first).await;
            plan.arm();
            house.create_volume(VolumeSource::Volume { volume_id: second }, 2).await;
        }
        Ask::CopyVolume => {
            let volume = house.volume(VolumeSource::Empty, 1).await;
            house.write(&volume, 4096, &pattern(10_000, 3)).await;
            plan.arm();
            house.create_volume(VolumeSource::Volume { volume_id: volume }, 1).await;
        }
        Ask::CreateFromImage => {
            let image = house.upload(pattern(3_000_000, 4)).await;
            plan.arm();
            house.create_volume(VolumeSource::Image { image_id: image, signed_by: None }, 1).await;
        }
        Ask::CreateFromConverted | Ask::CreateAndCache => {
            let image = house.upload_disk(qcow2(), "qcow2").await;
            plan.arm();
            house.create_volume(VolumeSource::Disk { image_id: image, signed_by: None }, 2).await;
        }
        Ask::CreateFromCache => {
            let source =
                VolumeSource::Disk { image_id: house.upload_disk(qcow2(), "qcow2").await, signed_by: None };
            house.volume(source.clone(), 1).await;
            plan.arm();
            house.create_volume(source, 2).await;
        }
        Ask::CreateFromWeb => {
            let image = house.on_the_web(pattern(3_000_000, 21), "raw").await;
            plan.arm();
            house.create_volume(VolumeSource::Image { image_id: image, signed_by: None }, 1).await;
        }
        Ask::CreateFromDiskOnWeb | Ask::CacheFromWeb => {
            let image = house.on_the_web(qcow2(), "qcow2").await;
            plan.arm();
            house.create_volume(VolumeSource::Disk { image_id: image, signed_by: None }, 1).await;
        }
        Ask::UploadVolume | Ask::DetachImage => {
            let volume = house.volume(VolumeSource::Empty, 1).await;
            house.write(&volume, 4096, &pattern(10_000, 9)).await;
            plan.arm();
            house.upload_volume(&volume).await;
        }
        Ask::UploadVolumeAsQcow2 => {
            let volume = house.volume(VolumeSource::Empty, 1).await;
            house.write(&volume, 4096, &pattern(10_000, 9)).await;
            plan.arm();
            house.upload_volume_as(&volume, "qcow2").await;
        }
        Ask::Reimage => {
            let volume = house.volume(VolumeSource::Empty, 1).await;
            house.write(&volume, 4096, &pattern(10_000, 10)).await;
            house.snapshot(&volume).await;
            let image = house.upload_disk(qcow2(), "qcow2").await;
            plan.arm();
            house.reimage(&volume, &image).await;
        }
        Ask::ReimageFromWeb => {
            let volume = house.volume(VolumeSource::Empty, 1).await;
            house.write(&volume, 4096, &pattern(10_000, 22)).await;
            let image = house.on_the_web(qcow2(), "qcow2").await;
            plan.arm();
            house.reimage(&volume, &image).await;
        }
        Ask::DeleteVolume => {
            let volume = house.volume(VolumeSource::Empty, 1).await;
            plan.arm();
            assert!(house.delete_volume(&volume).await);
        }
        Ask::DeleteVolumeWithClone => {
            let volume = house.volume(VolumeSource::Empty, 1).await;
            house.clone_of(&volume).await;
            plan.arm();
            assert!(house.delete_volume(&volume).await);
        }
        Ask::DeleteClone => {
            let volume = house.volume(VolumeSource::Empty, 1).await;
            let clone = house.clone_of(&volume).await;
            assert!(house.delete_volume(&volume).await);
            house.settle().await;
            plan.arm();
            assert!(house.delete_volume(&clone).await);
        }
        Ask::ExtendVolume => {
            let volume = house.volume(VolumeSource::Empty, 1).await;
            plan.arm();
            house.extend_volume(&volume, 3).await;
        }
        Ask::RevertVolume => {
            let volume = house.volume(VolumeSource::Empty, 1).await;
            house.write(&volume, 4096, &pattern(10_000, 9)).await;
            let snapshot = house.snapshot(&volume).await;
            house.write(&volume, 4096, &pattern(10_000, 10)).await;
            plan.arm();
            house.revert(&volume, &snapshot).await;
        }
        Ask::ManageVolume => {
            let disk = house.lay(1).await;
            plan.arm();
            house.manage_volume(&disk, 1).await;
        }
        Ask::UnmanageVolume => {
            let volume = house.volume(VolumeSource::Empty, 1).await;
            plan.arm();
            house.unmanage_volume(&volume).await;
        }
        Ask::ManageSnapshot => {
            let volume = house.volume(VolumeSource::Empty, 1).await;
            house.lay_snapshot(&volume, "by-hand").await;
            plan.arm();
            house.manage_snapshot(&volume, "by-hand").await;
        }
        Ask::UnmanageSnapshot => {
            let volume = house.volume(VolumeSource::Empty, 1).await;
            let snapshot = house.snapshot(&volume).await;
            plan.arm();
            house.unmanage_snapshot(&snapshot).await;
        }
        Ask::MigrateVolume => {
            let volume = house.volume(VolumeSource::Empty, 1).await;
            house.write(&volume, 4096, &pattern(10_000, 9)).await;
            plan.arm();
            house.migrate(&volume, SECOND).await;
        }
        Ask::MigrateInUse => {
            swaps::connect(house);
            let volume = house.volume_in_use(&pattern(10_000, 9)).await;
            plan.arm();
            house.migrate(&volume, SECOND).await;
        }
        Ask::RetypeVolume => {
            let volume = house.volume(VolumeSource::Empty, 1).await;
            let of = house.limited_type(&[("total_iops_sec", "100")]).await;
            plan.arm();
            house.retype(&volume, &of, house.here()).await;
        }
        Ask::CreateSnapshot => {
            let volume = house.volume(VolumeSource::Empty, 1).await;
            plan.arm();
            house.create_snapshot(&volume).await;
        }
        Ask::DeleteSnapshot | Ask::DeleteSnapshotWithClone => {
            let volume = house.volume(VolumeSource::Empty, 1).await;
            house.write(&volume, 0, &pattern(5_000, 5)).await;
            let snapshot = house.snapshot(&volume).await;
            if matches!(ask, Ask::DeleteSnapshotWithClone) {
                let source = VolumeSource::Snapshot { snapshot_id: snapshot.clone(), volume_id: volume };
                house.volume(source, 1).await;
            }
            plan.arm();
            assert!(house.delete_snapshot(&snapshot).await);
        }
        Ask::SealImage => {
            plan.arm();
            house.upload(pattern(3_000_000, 8)).await;
        }
        Ask::ImportStaged | Ask::ImportPacked => {
            let bytes = pattern(3_000_000, 9);
            let bytes = if matches!(ask, Ask::ImportPacked) { packed(&bytes) } else { bytes };
            let image = house.stage(bytes).await;
            plan.arm();
            house.import(&image, ImportSource::Staged).await;
        }
        Ask::ImportFromWeb => {
            let uri = serve(pattern(3_000_000, 10)).await;
            let image = house.queued_image().await;
            plan.arm();
            house.import(&image, ImportSource::Web { uri }).await;
        }
        Ask::ImportFromRegion => {
            let image = house.queued_disk("qcow2").await;
            let source = regions::source(house, &image).await;
            plan.arm();
            house.import(&image, source).await;
        }
        Ask::ImportConverted => {
            let image = house.stage_disk(packed(&qcow2()), "qcow2").await;
            plan.arm();
            house.import_twice(&image, ImportSource::Staged, true).await;
        }
        Ask::ImportNew => {
            let uri = serve(pattern(3_000_000, 17)).await;
            let image = house.queued_image().await;
            plan.arm();
            house.import_new(&image, uri).await;
        }
        Ask::ImportTwice => {
            let image = house.stage(pattern(3_000_000, 12)).await;
            plan.arm();
            house.import_twice(&image, ImportSource::Staged, true).await;
        }
        Ask::ImportToSecond => {
            let image = house.stage(pattern(3_000_000, 16)).await;
            plan.arm();
            let source = ImportSource::Staged;
            house.import_to(&image, Import { source, inject: true, ..copy_to_second() }).await;
        }
        Ask::CopyImage => {
            let image = house.upload(pattern(3_000_000, 13)).await;
            house.settle().await;
            plan.arm();
            house.import_to(&image, copy_to_second()).await;
        }
        Ask::CopyFromWeb => {
            let image = house.on_the_web(pattern(3_000_000, 24), "raw").await;
            plan.arm();
            house.import_to(&image, copy_to_second()).await;
        }
        Ask::AddLocation => {
            let url = serve(pattern(100_000, 15)).await;
            let image = house.queued_image().await;
            plan.arm();
            house.add_location(&image, url).await;
        }
        Ask::AddLocationInPool => {
            let image = house.queued_image().await;
            let url = house.clone_by_hand(&image, pattern(100_000, 20)).await;
            plan.arm();
            house.add_location(&image, url).await;
        }
        Ask::DeleteFromStore => {
            let image = house.upload(pattern(3_000_000, 14)).await;
            house.import_to(&image, copy_to_second()).await;
            house.settle().await;
            plan.arm();
            house.delete_from_store(&image, None).await;
        }
        Ask::DeleteStagedImage => {
            let image = house.stage(pattern(3_000_000, 11)).await;
            plan.arm();
            assert!(house.delete_image(&image).await);
        }
        Ask::DeleteImage | Ask::DeleteImageWithClone => {
            let image = house.upload(pattern(3_000_000, 6)).await;
            if matches!(ask, Ask::DeleteImageWithClone) {
                house.volume(VolumeSource::Image { image_id: image.clone(), signed_by: None }, 1).await;
            }
            plan.arm();
            assert!(house.delete_image(&image).await);
        }
        Ask::DeleteCachedImage => {
            let image = house.upload_disk(qcow2(), "qcow2").await;
            house.volume(VolumeSource::Disk { image_id: image.clone(), signed_by: None }, 1).await;
            plan.arm();
            assert!(house.delete_image(&image).await);
        }
    }
}

fn qcow2() -> Vec<u8> {
    disk_image(&disk(), "qcow2", &["-c"])
}

fn disk() -> Vec<u8> {
    pattern(3_000_320, 11)
}

/// What `ask` put into whatever the volume or the image is made from, and where in it that begins. Empty volumes, and
/// images of other formats than raw, have none to compare.
fn content(ask: Ask) -> Option<(u64, Vec<u8>)> {
    Some(match ask {
        Ask::CreateFromSnapshot | Ask::CreateFlat => (4096, pattern(10_000, 1)),
        Ask::CreateFromVolume => (4096, pattern(10_000, 2)),
        Ask::CopyVolume => (4096, pattern(10_000, 3)),
        Ask::CreateFromImage => (0, pattern(3_000_000, 4)),
        Ask::SealImage => (0, pattern(3_000_000, 8)),
        Ask::RevertVolume | Ask::MigrateVolume | Ask::UploadVolume | Ask::DetachImage => {
            (4096, pattern(10_000, 9))
        }
        Ask::MigrateInUse => (8192, pattern(10_000, 9)),
        Ask::ImportStaged | Ask::ImportPacked => (0, pattern(3_000_000, 9)),
        Ask::ImportFromWeb => (0, pattern(3_000_000, 10)),
        Ask::CreateFromConverted
        | Ask::CreateAndCache
        | Ask::CreateFromCache
        | Ask::CreateFromDiskOnWeb
        | Ask::CacheFromWeb
        | Ask::Reimage
        | Ask::ReimageFromWeb
        | Ask::ImportConverted => (0, disk()),
        Ask::ImportTwice => (0, pattern(3_000_000, 12)),
        Ask::CopyImage => (0, pattern(3_000_000, 13)),
        Ask::DeleteFromStore => (0, pattern(3_000_000, 14)),
        Ask::ImportToSecond => (0, pattern(3_000_000, 16)),
        Ask::ImportNew => (0, pattern(3_000_000, 17)),
        Ask::ImportFromRegion => (0, pattern(3_000_000, 18)),
        Ask::AddLocationInPool => (0, pattern(100_000, 20)),
        Ask::CreateFromWeb => (0, pattern(3_000_000, 21)),
        Ask::CopyFromWeb => (0, pattern(3_000_000, 24)),
        _ => return None,
    })
}

/// Where a clone holds the image, its first step refuses.
fn refuses(store: StoreKind, case: &Case) -> bool {
    matches!(case.ask, Ask::DeleteImageWithClone) && store != StoreKind::RbdV2
}

/// Whether the step is reached at all.
fn reaches(store: StoreKind, case: &Case, step: &str) -> bool {
    !(refuses(store, case) && step != "remove")
}

/// Each on a house of its own, several at once: they mostly wait for the cluster.
async fn survive_all(store: StoreKind, trials: Vec<(&'static Case, Vec<(Moment, Fault)>)>) {
    futures::stream::iter(trials)
        .for_each_concurrent(8, async |(case, faults)| survive(store, case, &faults).await)
        .await;
}

/// Where images and volumes lie apart, what works otherwise than beside each other.
fn cases(store: StoreKind) -> impl Iterator<Item = &'static Case> {
    let apart = |case: &&Case| {
        matches!(
            case.ask,
            Ask::CreateFromImage | Ask::CreateFromConverted | Ask::UploadVolume | Ask::CopyImage
        )
    };
    CASES.iter().filter(move |case| store != StoreKind::Apart || apart(case))
}

/// Those whose steps are a request's own, and what stands in for these tests there.
const ELSEWHERE: [(&str, &str); 3] =
    [("upload_image", "uploads.rs"), ("stage_image", "imports.rs"), ("tell_nova", "nova.rs")];

#[test]
fn every_kind_of_job_is_tried() {
    let tried: BTreeSet<&str> =
        CASES.iter().map(|case| case.kind).chain(ELSEWHERE.map(|(kind, _)| kind)).collect();
    assert_eq!(tried, Task::KINDS.iter().copied().collect());
}

/// Each step that is reached, of each case.
fn all_steps(store: StoreKind) -> impl Iterator<Item = (&'static Case, &'static str)> {
    cases(store).flat_map(move |case| {
        case.steps.iter().filter(move |step| reaches(store, case, step)).map(move |step| (case, *step))
    })
}

async fn every_step_runs_twice(store: StoreKind) {
    let trials = all_steps(store).map(|(case, step)| (case, vec![(Moment::Before(step), Fault::Repeat)]));
    survive_all(store, trials.collect()).await;
}

async fn every_step_fails(store: StoreKind) {
    let trials = all_steps(store).map(|(case, step)| (case, vec![(Moment::Before(step), Fault::Fail)]));
    survive_all(store, trials.collect()).await;
}

async fn crashes_before_and_after_every_step(store: StoreKind) {
    let mut trials = Vec::new();
    for (case, step) in all_steps(store) {
        trials.push((case, vec![(Moment::Before(step), Fault::Crash)]));
        // What refuses does not come to the end of its step.
        if !refuses(store, case) {
            trials.push((case, vec![(Moment::After(step), Fault::Crash)]));
        }
    }
    survive_all(store, trials).await;
}

async fn every_undo_runs_twice_and_survives_a_crash(store: StoreKind) {
    let mut trials = Vec::new();
    for case in cases(store) {
        let Some(&last) = case.steps.iter().rfind(|step| reaches(store, case, step)) else { continue };
        for &step in case.steps {
            for fault in [Fault::Repeat, Fault::Crash] {
                trials.push((case, vec![(Moment::Before(last), Fault::Fail), (Moment::Undo(step), fault)]));
            }
        }
    }
    survive_all(store, trials).await;
}

/// Whether its volume has changed over then: that stays.
fn is_settled(case: &Case, moment: Moment) -> bool {
    let late = [Moment::After("switch"), Moment::Before("leave"), Moment::After("leave")];
    matches!(case.ask, Ask::MigrateVolume | Ask::MigrateInUse | Ask::RetypeVolume) && late.contains(&moment)
}

/// Everything is as it was, or can be deleted, and the job says what became of it.
async fn stop(store: StoreKind, case: &Case, moment: Moment) {
    let plan = Plan::cancels(case.kind, moment);
    let mut house = House::with(store, database(store, &[]), config_for(case).await, plan.clone()).await;
    ask(&house, case.ask, &plan).await;
    house.settle().await;
    let of = format!("{moment:?} of {}", case.kind);
    let (id, told) = plan.cancelled.get().unwrap_or_else(|| panic!("{of} never came"));
    assert_eq!(*told, !is_settled(case, moment), "{of}");
    let job = house.database.read().await.unwrap().job(id).await.unwrap().unwrap();
    let expected = if *told { JobState::Cancelled } else { JobState::Done };
    assert_eq!(job.state, expected, "{of}: {job:?}");
    house.assert_settled().await;
    if *told {
        assert_taken_back(&house, case, &job, &of).await;
    }
    house.detach_all().await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn assert_taken_back(house: &House, case: &Case, job: &Job, of: &str) {
    let id = job.resource_id.as_str();
    let volumes = house.volumes().await;
    let volume = |id: &str| volumes.iter().find(|row| row.id.as_str() == id).map(|row| row.status);
    let images = house.images().await;
    let image = images.iter().find(|row| row.id.as_str() == id).map(|row| row.status);
    match case.kind {
        "create_volume" | "reimage_volume" => assert_eq!(volume(id), Some(VolumeStatus::Error), "{of}"),
        "create_snapshot" => {
            let status = house.snapshot_status(&SnapshotId::parse(id).unwrap()).await;
            assert_eq!(status, Some(SnapshotStatus::Error), "{of}");
        }
        "migrate_volume" | "retype_volume" => {
            let was = match case.ask {
                Ask::MigrateInUse => VolumeStatus::InUse,
                _ => VolumeStatus::Available,
            };
            assert_eq!(volume(id), Some(was), "{of}");
            let row = volumes.iter().find(|row| row.id.as_str() == id).unwrap();
            assert!(row.host.as_deref().unwrap().starts_with("pumice@directory#"), "{of}: {row:?}");
            assert_eq!(row.volume_type_name, "__DEFAULT__", "{of}");
            let ended = (case.kind == "migrate_volume").then_some(MigrationStatus::Error);
            assert_eq!(row.migration_status, ended, "{of}");
        }
        "import_new_image" => assert_eq!(image, None, "{of}"),
        "detach_image" => assert_eq!(images[0].status, ImageStatus::Active, "{of}"),
        "upload_volume" => {
            assert_eq!(image, None, "{of}");
            assert_eq!(volume(job.source_id.as_deref().unwrap()), Some(VolumeStatus::Available), "{of}");
        }
        "import_image" if matches!(case.ask, Ask::CopyImage | Ask::CopyFromWeb) => {
            assert_eq!(image, Some(ImageStatus::Active), "{of}");
            assert_eq!(images[0].places().count(), 1, "{of}");
        }
        _ => assert_eq!(image, Some(ImageStatus::Queued), "{of}"),
    }
}

async fn every_job_is_cancelled_at_every_step(store: StoreKind) {
    let mut trials = Vec::new();
    for case in cases(store).filter(|case| Task::can_be_cancelled(case.kind)) {
        trials.push((case, Moment::Before(case.steps[0])));
        trials.extend(case.steps.iter().map(|step| (case, Moment::After(step))));
    }
    futures::stream::iter(trials)
        .for_each_concurrent(8, async |(case, moment)| stop(store, case, moment).await)
        .await;
}

on_every_store!(
    every_step_runs_twice,
    every_step_fails,
    crashes_before_and_after_every_step,
    every_undo_runs_twice_and_survives_a_crash,
    every_job_is_cancelled_at_every_step,
);

mod apart {
    use crate::house::StoreKind::Apart;

    #[tokio::test(flavor = "multi_thread")]
    async fn every_step_runs_twice() {
        super::every_step_runs_twice(Apart).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_step_fails() {
        super::every_step_fails(Apart).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn crashes_before_and_after_every_step() {
        super::crashes_before_and_after_every_step(Apart).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_undo_runs_twice_and_survives_a_crash() {
        super::every_undo_runs_twice_and_survives_a_crash(Apart).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_job_is_cancelled_at_every_step() {
        super::every_job_is_cancelled_at_every_step(Apart).await;
    }
}
