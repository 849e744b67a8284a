//! Each kind of damage is done by hand, found, mended, and not found again; a busy service has none.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use pumice::audit::{Audit, Finding, Kind, Leaks, Options, Outcome};
use pumice::block::rbd::CloneFormat;
use pumice::block::{BlockStore, OpenMode, Progress, SnapshotPath, Stores};
use pumice::config::Config;
use pumice::db::{CachedImage, ImageChange, Leftover, Location, VolumeReset};
use pumice::jobs::{NoFaults, VolumeSource};
use pumice::model::{Gib, ImageStatus, SnapshotStatus, VolumeId, VolumeStatus, World};
use pumice::workflows::names;
use serde_json::Value;

use crate::house::store::ceph_pool;
use crate::house::{DatabaseKind, House, StoreKind};
use crate::process::pools::{self, Pools};
use crate::process::{PATIENCE, Place, Server};

const MIB: u64 = 1 << 20;

/// On pools of its own: an audit looks at all there is.
async fn house(store: StoreKind) -> (House, Pools) {
    let pools = Pools::make(store);
    let (stores, keep) = match store {
        StoreKind::Directory => StoreKind::Directory.make().await,
        _ => {
            let volumes = ceph_pool(&pools.volumes, CloneFormat::V2);
            let volumes = pumice::block::Backends::one("directory", volumes);
            let images = ceph_pool(&pools.images, CloneFormat::V2);
            (Stores { images, more_images: BTreeMap::new(), volumes }, None)
        }
    };
    let house = House::on((stores, keep), DatabaseKind::Sqlite, Config::default(), Arc::new(NoFaults)).await;
    (house, pools)
}

fn audit(house: &House, older_than: u64) -> Audit {
    let options = Options { older_than: Duration::from_secs(older_than), at_once: 4, at_objects: true };
    Audit::new(house.stores.clone(), house.database.clone(), house.world.clone(), options)
}

/// All that is wrong, however young; everything must have been seen.
async fn found(house: &House) -> Vec<Finding> {
    let report = audit(house, 0).look().await.unwrap();
    assert_eq!(report.unseen, Vec::<String>::new());
    report.findings
}

/// What repair has nothing to do about is found again, and nothing else.
async fn mend_all(house: &House) -> BTreeSet<(Kind, String)> {
    let mut left = BTreeSet::new();
    for finding in found(house).await {
        let outcome = audit(house, 0).repair(&finding).await.unwrap();
        match finding.repair {
            Some(_) => assert_eq!(outcome, Outcome::Mended, "{finding:?}"),
            None => {
                assert_eq!(outcome, Outcome::LeftAlone, "{finding:?}");
                left.insert((finding.kind, finding.name));
            }
        }
    }
    house.settle().await;
    assert_eq!(kinds(&found(house).await), left);
    left
}

fn kinds(findings: &[Finding]) -> BTreeSet<(Kind, String)> {
    findings.iter().map(|finding| (finding.kind, finding.name.clone())).collect()
}

fn new_id() -> String {
    World::real().ids.random().to_string()
}

async fn make(store: &Arc<dyn BlockStore>, name: &str) {
    store.create(name, MIB, 64 << 10).await.unwrap();
}

async fn trash_names(store: &Arc<dyn BlockStore>) -> BTreeSet<String> {
    store.trash_list().await.unwrap().into_iter().map(|entry| entry.name).collect()
}

async fn drop_snapshot(store: &Arc<dyn BlockStore>, image: &str, snapshot: &str) {
    let image = store.open(image, OpenMode::ReadWrite).await.unwrap();
    image.unprotect_snapshot(snapshot).await.unwrap();
    image.remove_snapshot(snapshot).await.unwrap();
    image.close().await.unwrap();
}

async fn resize(store: &Arc<dyn BlockStore>, image: &str, size: u64) {
    let image = store.open(image, OpenMode::ReadWrite).await.unwrap();
    image.resize(size, &Progress::new()).await.unwrap();
    image.close().await.unwrap();
}

async fn reset(house: &House, id: &VolumeId, status: VolumeStatus) {
    let reset = VolumeReset { status: Some(status), migration_status: None };
    let mut repository = house.database.begin().await.unwrap();
    repository.reset_volume(id, &reset, house.world.now()).await.unwrap();
    repository.commit().await.unwrap();
}

/// On the pools, without rows.
async fn what_no_row_has(store: StoreKind) {
    let (mut house, _pools) = house(store).await;
    let images = house.stores.images.clone();
    let volumes = house.stores.volumes.first().store.clone();
    assert_eq!(found(&house).await, []);
    let (volume, image) = (format!("volume-{}", new_id()), new_id());
    let (deleted, staged) = (format!("volume-{}.deleted", new_id()), format!("{}.staged", new_id()));
    let (cached, trashed) = (format!("cache-{}", new_id()), format!("volume-{}", new_id()));
    for name in [&volume, &deleted, &cached, &trashed] {
        make(&volumes, name).await;
    }
    for name in [&image, &staged] {
        make(&images, name).await;
    }
    volumes.trash_move(&trashed).await.unwrap();
    // Not ours, and so nobody's business.
    make(&volumes, "by-hand").await;
    make(&volumes, &format!("{}_disk", new_id())).await;
    // A repair broke off.
    let on_its_way = names::kept(&format!("volume-{}", new_id()));
    make(&volumes, &on_its_way).await;

    let findings = found(&house).await;
    let expected = [
        (Kind::Orphan, &volume),
        (Kind::Orphan, &image),
        (Kind::Zombie, &deleted),
        (Kind::Zombie, &staged),
        (Kind::Zombie, &cached),
        (Kind::Zombie, &trashed),
        (Kind::Orphan, &on_its_way),
    ];
    assert_eq!(kinds(&findings), expected.map(|(kind, name)| (kind, name.clone())).into());
    assert!(
        findings
            .iter()
            .all(|finding| finding.size == Some(MIB) || [&trashed, &on_its_way].contains(&&finding.name))
    );

    assert_eq!(mend_all(&house).await, [(Kind::Orphan, on_its_way.clone())].into());
    volumes.remove(&on_its_way, &Progress::new()).await.unwrap();
    // What somebody may want is in the trash and stays there; what was deleted already goes.
    house.sweeper().sweep().await.unwrap();
    assert_eq!(trash_names(&volumes).await, [names::kept(&volume)].into());
    assert_eq!(trash_names(&images).await, [names::kept(&image), names::kept(&staged)].into());
    assert!(!volumes.list().await.unwrap().contains(&deleted));
    assert_eq!(found(&house).await, []);
    house.stop().await;
}

/// Rows and pool say different things.
async fn what_contradicts_its_row(store: StoreKind) {
    let (mut house, _pools) = house(store).await;
    let images = house.stores.images.clone();
    let volumes = house.stores.volumes.first().store.clone();
    let image = house.upload(vec![7; 3 << 20]).await;
    let lost_image = house.upload(vec![8; 1 << 20]).await;
    let of = |id: &VolumeId| names::volume(id);
    let [lost, large, small, used, creating, busy] = {
        let mut made = Vec::new();
        for size in [1, 1, 2, 1, 1, 1] {
            made.push(house.create_volume(VolumeSource::Empty, size).await);
        }
        house.settle().await;
        made.try_into().unwrap()
    };
    let clone = house.clone_of(&large).await;
    let (lost_snapshot, snapshot) = (house.snapshot(&large).await, house.snapshot(&small).await);
    let stranded_image = house.queued_image().await;
    assert_eq!(found(&house).await, []);

    volumes.remove(&of(&lost), &Progress::new()).await.unwrap();
    drop_snapshot(&images, lost_image.as_str(), "snap").await;
    images.remove(lost_image.as_str(), &Progress::new()).await.unwrap();
    resize(&images, image.as_str(), 4 << 20).await;
    resize(&volumes, &of(&large), 2 << 30).await;
    resize(&volumes, &of(&small), 1 << 30).await;
    drop_snapshot(&volumes, &of(&large), &names::snapshot(&lost_snapshot)).await;
    let stray = format!("snapshot-{}", new_id());
    let stray_clone = format!("volume-{}.clone_snap", new_id());
    let opened = volumes.open(&of(&small), OpenMode::ReadWrite).await.unwrap();
    opened.create_snapshot(&stray).await.unwrap();
    opened.create_snapshot(&stray_clone).await.unwrap();
    opened.close().await.unwrap();
    drop(opened);
    reset(&house, &used, VolumeStatus::InUse).await;
    reset(&house, &creating, VolumeStatus::Creating).await;
    let watcher = volumes.open(&of(&busy), OpenMode::ReadWrite).await.unwrap();
    let mut repository = house.database.begin().await.unwrap();
    let now = house.world.now();
    repository.reset_snapshot(&snapshot, SnapshotStatus::Creating, now).await.unwrap();
    let (from, to) = (ImageStatus::Queued, ImageStatus::Saving);
    repository.change_image(&stranded_image, from, to, &ImageChange::default(), now).await.unwrap();
    let cached = CachedImage {
        name: format!("cache-{}", new_id()),
        image_id: image.clone(),
        backend: "directory".into(),
        size: Gib::new(1).unwrap(),
        used_at: now,
    };
    repository.add_cached_image(&cached).await.unwrap();
    repository.commit().await.unwrap();

    let at = |id: &VolumeId, snapshot: &str| format!("{}@{snapshot}", of(id));
    let decided_by_somebody: BTreeSet<_> = [
        (Kind::Missing, of(&lost)),
        (Kind::Missing, lost_image.to_string()),
        (Kind::Missing, at(&large, &names::snapshot(&lost_snapshot))),
        (Kind::WrongSize, image.to_string()),
        (Kind::StaleWatcher, of(&busy)),
    ]
    .into();
    let mut expected = decided_by_somebody.clone();
    expected.extend([
        (Kind::WrongSize, of(&large)),
        (Kind::WrongSize, of(&small)),
        (Kind::StraySnapshot, at(&small, &stray)),
        (Kind::StraySnapshot, at(&small, &stray_clone)),
        (Kind::LeakedAttachment, of(&used)),
        (Kind::Stranded, of(&creating)),
        (Kind::Stranded, at(&small, &names::snapshot(&snapshot))),
        (Kind::Stranded, stranded_image.to_string()),
        (Kind::Missing, cached.name.clone()),
    ]);
    assert_eq!(kinds(&found(&house).await), expected);
    assert_eq!(mend_all(&house).await, decided_by_somebody);

    let mut repository = house.database.read().await.unwrap();
    assert_eq!(repository.volume(&large).await.unwrap().unwrap().size.get(), 2);
    drop(repository);
    let grown = volumes.open(&of(&small), OpenMode::ReadOnly).await.unwrap();
    assert_eq!(grown.size().await.unwrap(), 2 << 30);
    grown.close().await.unwrap();
    assert_eq!(house.volume_status(&used).await, Some(VolumeStatus::Available));
    assert_eq!(house.volume_status(&creating).await, Some(VolumeStatus::Error));
    assert_eq!(house.snapshot_status(&snapshot).await, Some(SnapshotStatus::Error));
    assert_eq!(house.image_status(&stranded_image).await, Some(ImageStatus::Queued));
    assert_eq!(house.volume_status(&clone).await, Some(VolumeStatus::Available));

    // Somebody decides.
    watcher.close().await.unwrap();
    drop(watcher);
    resize(&images, image.as_str(), 3 << 20).await;
    assert!(house.delete_volume(&lost).await);
    assert!(house.delete_snapshot(&lost_snapshot).await);
    assert!(house.delete_image(&lost_image).await);
    house.settle().await;
    assert_eq!(found(&house).await, []);
    // The snapshot that was adopted is one like others.
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// A deletion that lost its job is done anew.
async fn a_deletion_without_a_job(store: StoreKind) {
    let (mut house, _pools) = house(store).await;
    let image = house.upload(vec![1; 1 << 20]).await;
    house.settle().await;
    let mut repository = house.database.begin().await.unwrap();
    let (from, to, now) = (ImageStatus::Active, ImageStatus::Deleted, house.world.now());
    repository.change_image(&image, from, to, &ImageChange::default(), now).await.unwrap();
    repository.commit().await.unwrap();
    assert_eq!(kinds(&found(&house).await), [(Kind::Stranded, image.to_string())].into());
    assert_eq!(mend_all(&house).await, BTreeSet::new());
    assert_eq!(house.image_status(&image).await, None);
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// What has its reasons: clones that keep deleted things, what was unmanaged, what is noted already.
async fn what_is_as_it_should_be(store: StoreKind) {
    let (mut house, _pools) = house(store).await;
    let volumes = house.stores.volumes.first().store.clone();
    let image = house.upload(vec![1; 1 << 20]).await;
    let volume = house.volume(VolumeSource::Image { image_id: image.clone(), signed_by: None }, 1).await;
    let clone = house.clone_of(&volume).await;
    let last = house.clone_of(&clone).await;
    assert!(house.delete_volume(&volume).await);
    assert!(house.delete_volume(&clone).await);
    house.settle().await;
    let unmanaged = house.volume(VolumeSource::Empty, 1).await;
    house.unmanage_volume(&unmanaged).await;
    house.settle().await;
    let noted = format!("volume-{}", new_id());
    make(&volumes, &noted).await;
    let mut repository = house.database.begin().await.unwrap();
    let leftover = Leftover { pool: volumes.pool().to_owned(), name: noted };
    repository.add_leftover(&leftover, house.world.now()).await.unwrap();
    repository.commit().await.unwrap();
    assert!(volumes.list().await.unwrap().contains(&names::deleted(&names::volume(&clone))));
    assert_eq!(found(&house).await, []);
    assert!(house.delete_volume(&last).await);
    house.settle().await;
    house.sweeper().sweep().await.unwrap();
    assert_eq!(found(&house).await, []);
    house.stop().await;
}

/// Everything comes and goes meanwhile.
async fn a_busy_service(store: StoreKind) {
    let (mut house, _pools) = house(store).await;
    let image = house.upload(vec![1; 1 << 20]).await;
    let work = async {
        for _ in 0..3 {
            let mut made = Vec::new();
            for source in
                [VolumeSource::Empty, VolumeSource::Image { image_id: image.clone(), signed_by: None }]
            {
                made.push(house.volume(source, 1).await);
            }
            let snapshot = house.snapshot(&made[0]).await;
            made.push(house.clone_of(&made[1]).await);
            house.extend_volume(&made[0], 2).await;
            let other = house.upload(vec![2; 1 << 20]).await;
            house.settle().await;
            assert!(house.delete_snapshot(&snapshot).await);
            assert!(house.delete_image(&other).await);
            house.settle().await;
            for volume in &made {
                assert!(house.delete_volume(volume).await);
            }
            house.settle().await;
        }
    };
    let looks = async {
        let mut count = 0;
        loop {
            let report = audit(&house, 1).look().await.unwrap();
            assert_eq!(report.findings, []);
            count += 1;
            tokio::task::yield_now().await;
            if count > 10_000 {
                panic!("the work has no end");
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = looks => {}
    }
    assert_eq!(found(&house).await, []);
    house.stop().await;
}

const POOL: &str = "PUMICE_TEST_LOCK_POOL";
const IMAGES: &str = "PUMICE_TEST_LOCK_IMAGES";

/// Has these images open until it is killed, and has written to all of them.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by a_lock_whose_owner_died, in a process of its own"]
async fn holder() {
    let store = ceph_pool(&std::env::var(POOL).unwrap(), CloneFormat::V2);
    let names = std::env::var(IMAGES).unwrap();
    let mut open = Vec::new();
    for name in names.split(' ') {
        let image = store.open(name, OpenMode::ReadWrite).await.unwrap();
        image.write(0, vec![1; 4096].into()).await.unwrap();
        open.push(image);
    }
    std::future::pending::<()>().await;
}

/// Waits until an audit finds this.
async fn until_found(house: &House, expected: &BTreeSet<(Kind, String)>) -> Vec<Finding> {
    let mut last = Vec::new();
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            last = found(house).await;
            if kinds(&last) == *expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    let is_found = waited.await.is_ok();
    assert!(is_found, "{last:#?}");
    last
}

/// A client that is killed while it writes leaves its lock; one that locks by hand leaves it without being killed. The
/// cluster believes the one alive for half a minute.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_whose_owner_died_is_broken() {
    let (mut house, own) = house(StoreKind::RbdV2).await;
    let volumes = house.stores.volumes.first().store.clone();
    let mut made = Vec::new();
    for servers in [&[][..], &["a server"], &[]] {
        made.push(house.create_volume_for(VolumeSource::Empty, 1, servers).await);
    }
    house.settle().await;
    let [written, attached, by_hand] = [0, 1, 2].map(|i| names::volume(&made[i]));
    assert_eq!(found(&house).await, []);

    let mut holder = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["audit::holder", "--exact", "--ignored", "--test-threads=1"])
        .env(POOL, &own.volumes)
        .env(IMAGES, format!("{written} {attached}"))
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    pools::run("rbd", &["lock", "add", &format!("{}/{by_hand}", own.volumes), "mine"]);
    let locked = BTreeSet::from([(Kind::StaleLock, by_hand.clone()), (Kind::StaleWatcher, written.clone())]);
    until_found(&house, &locked).await;
    // It has the locks by the time that it has written to both.
    let owners = async |name: &str| {
        let image = volumes.open(name, OpenMode::ReadOnly).await.unwrap();
        let locks = image.locks().await.unwrap();
        image.close().await.unwrap();
        locks.into_iter().map(|lock| lock.owner).collect::<Vec<_>>()
    };
    let waited = tokio::time::timeout(PATIENCE, async {
        while owners(&attached).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    waited.await.expect("the holder does not write");
    let dead = owners(&written).await;
    holder.kill().unwrap();
    holder.wait().unwrap();

    let stale = [&written, &attached, &by_hand].map(|name| (Kind::StaleLock, name.clone())).into();
    let findings = until_found(&house, &stale).await;
    let of = |name: &str| findings.iter().find(|finding| finding.name == name).unwrap();
    assert!(of(&written).explanation.contains(&dead[0]), "{findings:#?}");
    assert!(of(&by_hand).explanation.contains("\"mine\""), "{findings:#?}");
    // An instance may come back to it.
    assert_eq!(of(&attached).repair, None);
    assert_eq!(mend_all(&house).await, [(Kind::StaleLock, attached.clone())].into());
    for name in [&written, &by_hand] {
        let image = volumes.open(name, OpenMode::ReadWrite).await.unwrap();
        image.write(0, vec![2; 4096].into()).await.unwrap();
        image.close().await.unwrap();
    }
    house.detach_all().await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// What librbd keeps of names beside the directory of a pool.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_without_an_image_goes() {
    let (mut house, own) = house(StoreKind::RbdV2).await;
    let volumes = house.stores.volumes.first().store.clone();
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let (living, aside) = (names::volume(&volume), names::deleted(&names::volume(&volume)));
    let (gone, foreign) = (format!("volume-{}", new_id()), "by-hand".to_owned());
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display().to_string();
    let rados = |verb: &str, name: &str| {
        pools::run("rados", &["-p", &own.volumes, verb, &format!("rbd_id.{name}"), &path])
    };
    for name in [&gone, &foreign] {
        make(&volumes, name).await;
        rados("get", name);
        volumes.remove(name, &Progress::new()).await.unwrap();
        rados("put", name);
    }
    rados("get", &living);
    rados("put", &aside);
    let expected = BTreeSet::from([(Kind::StrayName, gone.clone()), (Kind::StrayName, aside.clone())]);
    let findings = found(&house).await;
    assert_eq!(kinds(&findings), expected);
    let of = |name: &str| findings.iter().find(|finding| finding.name == name).unwrap();
    assert!(of(&aside).explanation.contains(&format!("leads to {living}:")), "{findings:#?}");
    assert!(of(&gone).explanation.contains("leads to no image"), "{findings:#?}");
    assert_eq!(audit(&house, 600).look().await.unwrap().findings, [], "they are young");
    let leaked =
        Leaks { stores: house.stores.clone(), backups: None, ids: None, at_once: 4, at_objects: true }
            .look()
            .await;
    assert_eq!(kinds(&leaked.findings), expected);
    assert_eq!(mend_all(&house).await, BTreeSet::new());
    assert_eq!(volumes.list().await.unwrap(), std::slice::from_ref(&living));
    let image = volumes.open(&living, OpenMode::ReadOnly).await.unwrap();
    image.close().await.unwrap();
    house.stop().await;
}

/// What a process leaves that makes an image when somebody else takes its name away.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_name_is_told() {
    let (mut house, own) = house(StoreKind::RbdV2).await;
    let volumes = house.stores.volumes.first().store.clone();
    let rados = |arguments: &[&str]| pools::run("rados", &[&["-p", &own.volumes], arguments].concat());
    let name = format!("volume-{}", new_id());
    let mut ids = Vec::new();
    for is_written in [false, true] {
        make(&volumes, &name).await;
        if is_written {
            let image = volumes.open(&name, OpenMode::ReadWrite).await.unwrap();
            image.write(64 << 10, vec![1; 4096].into()).await.unwrap();
            image.close().await.unwrap();
        }
        // As if it were on its way to the trash, and there were no entry.
        let id = pools::leave_half_removed(&own.volumes, &name, pools::Died::AtTheData);
        assert_eq!(
            found(&house).await.iter().filter(|finding| finding.kind == Kind::Nameless).count(),
            ids.len()
        );
        rados(&["rmomapkey", "rbd_trash", &format!("id_{id}")]);
        ids.push(id);
    }
    let objects = [format!("rbd_header.{}", ids[0]), format!("rbd_data.{}.0000000000000001", ids[1])];
    let expected: BTreeSet<_> = objects.iter().map(|object| (Kind::Nameless, object.clone())).collect();
    let findings = found(&house).await;
    assert_eq!(kinds(&findings), expected);
    assert_eq!(audit(&house, 600).look().await.unwrap().findings, [], "they are young");
    // Nobody knows whose it is.
    assert_eq!(mend_all(&house).await, expected);
    let leaked =
        Leaks { stores: house.stores.clone(), backups: None, ids: None, at_once: 4, at_objects: true }
            .look()
            .await;
    assert_eq!(kinds(&leaked.findings), expected);
    for id in &ids {
        for object in pools::objects(&own.volumes).iter().filter(|object| object.contains(&format!(".{id}")))
        {
            rados(&["rm", object]);
        }
    }
    assert_eq!(found(&house).await, []);
    house.stop().await;
}

macro_rules! on_both_stores {
    ($($case:ident),* $(,)?) => {
        mod directory {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(crate::house::StoreKind::Directory).await;
            })*
        }
        mod rbd {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(crate::house::StoreKind::RbdV2).await;
            })*
        }
    };
}
on_both_stores!(
    what_no_row_has,
    what_contradicts_its_row,
    a_deletion_without_a_job,
    what_is_as_it_should_be,
    what_has_the_name_of_something_in_the_trash,
    what_a_clone_hung_on_may_be_kept,
    a_busy_service,
);

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_left_by_a_move_goes() {
    let (mut house, _pools) = house(StoreKind::Directory).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let name = names::volume(&volume);
    let second = house.stores.volumes.named("second").unwrap().store.clone();
    make(&second, &name).await;
    let findings = found(&house).await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!((findings[0].kind, findings[0].backend.as_str()), (Kind::Zombie, "second"));
    assert_eq!(mend_all(&house).await, BTreeSet::new());
    house.sweeper().sweep().await.unwrap();
    assert_eq!(second.list().await.unwrap(), Vec::<String>::new());
    assert!(house.stores.volumes.first().store.list().await.unwrap().contains(&name));
    house.stop().await;
}

/// As after a database was set back to before the volume moved.
#[tokio::test(flavor = "multi_thread")]
async fn the_only_copy_of_a_volume_stays_wherever_it_is() {
    let (mut house, _pools) = house(StoreKind::Directory).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let name = names::volume(&volume);
    let second = house.stores.volumes.named("second").unwrap().store.clone();
    make(&second, &name).await;
    house.stores.volumes.first().store.remove(&name, &Progress::new()).await.unwrap();
    let left = [(Kind::Zombie, name.clone()), (Kind::Missing, name.clone())].into();
    assert_eq!(mend_all(&house).await, left);
    // Nor does a note take it, which the database of then may have.
    let mut repository = house.database.begin().await.unwrap();
    let leftover = Leftover { pool: second.pool().to_owned(), name: name.clone() };
    repository.add_leftover(&leftover, house.world.now()).await.unwrap();
    repository.commit().await.unwrap();
    house.sweeper().sweep().await.unwrap();
    assert_eq!(second.list().await.unwrap(), [name]);
    house.stop().await;
}

/// In the trash lies what has the name of something else that is there.
async fn what_has_the_name_of_something_in_the_trash(store: StoreKind) {
    let (mut house, _pools) = house(store).await;
    let (images, volumes) = (house.stores.images.clone(), house.stores.volumes.first().store.clone());
    let unmanaged = house.volume(VolumeSource::Empty, 1).await;
    let (volume, image) = (names::volume(&unmanaged), new_id());
    house.unmanage_volume(&unmanaged).await;
    house.settle().await;
    volumes.rename(&volume, "aside").await.unwrap();
    for (store, name) in [(&volumes, &volume), (&images, &image)] {
        make(store, name).await;
        store.trash_move(name).await.unwrap();
    }
    volumes.rename("aside", &volume).await.unwrap();
    make(&images, &image).await;
    let expected =
        [(Kind::Zombie, volume.clone()), (Kind::Orphan, image.clone()), (Kind::Zombie, image.clone())];
    assert_eq!(kinds(&found(&house).await), expected.into());
    assert_eq!(mend_all(&house).await, BTreeSet::new());
    house.sweeper().sweep().await.unwrap();
    assert_eq!(volumes.list().await.unwrap(), [volume]);
    assert_eq!(trash_names(&volumes).await, BTreeSet::new());
    assert_eq!(trash_names(&images).await, [names::kept(&image)].into());
    house.stop().await;
}

/// A clone that goes does not take along what somebody has yet to decide about, nor what was never ours.
async fn what_a_clone_hung_on_may_be_kept(store: StoreKind) {
    let (mut house, _pools) = house(store).await;
    let volumes = house.stores.volumes.first().store.clone();
    let mut clones = Vec::new();
    let orphan = format!("volume-{}", new_id());
    for parent in ["golden", &orphan] {
        let clone = house.volume(VolumeSource::Empty, 1).await;
        let name = names::volume(&clone);
        volumes.remove(&name, &Progress::new()).await.unwrap();
        volumes.create(parent, 1 << 30, 4 << 20).await.unwrap();
        let opened = volumes.open(parent, OpenMode::ReadWrite).await.unwrap();
        opened.create_snapshot("s").await.unwrap();
        opened.protect_snapshot("s").await.unwrap();
        opened.close().await.unwrap();
        let path =
            SnapshotPath { pool: volumes.pool().to_owned(), image: parent.into(), snapshot: "s".into() };
        volumes.clone_snapshot(&path, &name, Some(4 << 20)).await.unwrap();
        clones.push(clone);
    }
    volumes.trash_move("golden").await.unwrap();
    assert_eq!(mend_all(&house).await, BTreeSet::new());
    let kept: BTreeSet<_> = ["golden".to_owned(), names::kept(&orphan)].into();
    assert_eq!(trash_names(&volumes).await, kept);
    for clone in &clones {
        assert!(house.delete_volume(clone).await);
    }
    house.settle().await;
    house.sweeper().sweep().await.unwrap();
    assert_eq!(trash_names(&volumes).await, kept);
    house.stop().await;
}

fn run(place: &Place, arguments: &[&str]) -> Output {
    place.command(arguments).output().unwrap()
}

/// Beside a server, where the store allows it; in the directory only one process can look.
async fn the_command_says_and_mends(store: StoreKind, database: DatabaseKind) {
    let place = Place::new(store, database).await;
    assert!(run(&place, &["migrate"]).status.success());
    let clean = run(&place, &["audit"]);
    assert_eq!(clean.status.code(), Some(0), "{clean:?}");
    assert_eq!(String::from_utf8_lossy(&clean.stdout), "0 found, 0 not looked at\n");
    let server = place.start_with(&[("PUMICE_JOBS__AUDIT_INTERVAL", "1")]);
    let name = format!("volume-{}", new_id());
    let server = if store == StoreKind::Directory {
        let output = run(&place, &["audit"]);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("in use by another process"), "{output:?}");
        server.stop();
        make(&place.stores().volumes.first().store, &name).await;
        None
    } else {
        make(&place.stores().volumes.first().store, &name).await;
        counted(&server, "pumice_audit_findings{kind=\"orphan\"} 1").await;
        Some(server)
    };
    let json = run(&place, &["audit", "--json"]);
    assert_eq!(json.status.code(), Some(1), "{json:?}");
    let report: Value = serde_json::from_slice(&json.stdout).unwrap();
    let finding = &report["findings"][0];
    assert_eq!(finding["kind"], "orphan");
    assert_eq!(finding["name"], name);
    assert_eq!(finding["size"], MIB);
    assert!(finding["repair"].as_str().unwrap().contains("trash"), "{report}");
    assert_eq!(report["repairs"], serde_json::json!([]));
    let mended = run(&place, &["audit", "--repair"]);
    assert_eq!(mended.status.code(), Some(1), "{mended:?}");
    assert!(String::from_utf8_lossy(&mended.stdout).contains("repaired: moves it to"), "{mended:?}");
    assert_eq!(run(&place, &["audit"]).status.code(), Some(0));
    if let Some(server) = server {
        counted(&server, "pumice_audit_findings{kind=\"orphan\"} 0").await;
        server.stop();
    }
}

/// The service audits by itself, and says in its figures what it found.
#[tokio::test(flavor = "multi_thread")]
async fn copies_of_images_are_told_store_by_store() {
    let (mut house, _pools) = house(StoreKind::Directory).await;
    let (left, lost) = (house.upload(vec![1; 1 << 20]).await, house.upload(vec![2; 1 << 20]).await);
    house.settle().await;
    assert_eq!(found(&house).await, []);

    make(&house.stores.more_images["second"], left.as_str()).await;
    let mut repository = house.database.begin().await.unwrap();
    repository.add_location(&Location::new(&lost, Some("second"), None)).await.unwrap();
    repository.commit().await.unwrap();
    let told: Vec<_> =
        found(&house).await.into_iter().map(|found| (found.backend, found.kind, found.name)).collect();
    // That store is a pool of volumes too.
    let second = house.stores.volumes.first().name.to_string();
    assert_eq!(
        told,
        [(second.clone(), Kind::Zombie, left.to_string()), (second, Kind::Missing, lost.to_string())]
    );
    house.stop().await;
}

async fn counted(server: &Server, line: &str) {
    let waited = tokio::time::timeout(PATIENCE, async {
        let figures =
            async || reqwest::get(format!("{}/metrics", server.url)).await.unwrap().text().await.unwrap();
        while !figures().await.contains(line) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    assert!(waited.await.is_ok(), "{line} does not come:\n{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_and_mends_in_a_directory() {
    the_command_says_and_mends(StoreKind::Directory, DatabaseKind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_and_mends_on_ceph_with_postgresql() {
    the_command_says_and_mends(StoreKind::RbdV2, DatabaseKind::Postgres).await;
}
