//! What the drivers of Glance and Cinder leave on their pools is found without a row of theirs; what they need is not.

use std::collections::BTreeSet;
use std::process::Output;
use std::sync::Arc;

use pumice::audit::{Finding, Kind, Leaks, Report};
use pumice::block::{BlockStore, OpenMode, Progress, SnapshotPath};
use pumice::model::{VolumeId, World};
use pumice::workflows::names;
use serde_json::Value;

use crate::house::{DatabaseKind, StoreKind};
use crate::process::Place;
use crate::process::pools::run;

const MIB: u64 = 1 << 20;
const OBJECT: u64 = 64 << 10;

fn new_id() -> VolumeId {
    World::real().ids.random().into()
}

async fn make(store: &Arc<dyn BlockStore>, name: &str, snapshots: &[&str]) {
    store.create(name, MIB, OBJECT).await.unwrap();
    let image = store.open(name, OpenMode::ReadWrite).await.unwrap();
    for snapshot in snapshots {
        image.create_snapshot(snapshot).await.unwrap();
        image.protect_snapshot(snapshot).await.unwrap();
    }
    image.close().await.unwrap();
}

async fn clone(store: &Arc<dyn BlockStore>, from: (&Arc<dyn BlockStore>, &str, &str), name: &str) {
    let (parents, image, snapshot) = from;
    let path =
        SnapshotPath { pool: parents.pool().into(), image: image.into(), snapshot: snapshot.to_owned() };
    store.clone_snapshot(&path, name, None).await.unwrap();
}

/// A volume of a volume, as Cinder makes it.
async fn volume_of(store: &Arc<dyn BlockStore>, source: &VolumeId) -> VolumeId {
    let id = new_id();
    let (source, snapshot) = (names::volume(source), names::clone_snapshot(&id));
    let image = store.open(&source, OpenMode::ReadWrite).await.unwrap();
    image.create_snapshot(&snapshot).await.unwrap();
    image.protect_snapshot(&snapshot).await.unwrap();
    image.close().await.unwrap();
    clone(store, (store, &source, &snapshot), &names::volume(&id)).await;
    id
}

/// Cinder deletes a volume that it took snapshots of for clones by another name.
async fn delete_with_clones(store: &Arc<dyn BlockStore>, id: &VolumeId) {
    let name = names::volume(id);
    store.rename(&name, &names::deleted(&name)).await.unwrap();
}

/// It removes one without, and returns before it looks what that one hung on.
async fn delete(store: &Arc<dyn BlockStore>, id: &VolumeId) {
    store.remove(&names::volume(id), &Progress::new()).await.unwrap();
}

fn told(report: &Report) -> BTreeSet<(Kind, String, String)> {
    let told = |found: &Finding| (found.kind, found.backend.clone(), found.name.clone());
    assert!(report.findings.iter().all(|found| found.repair.is_none()));
    report.findings.iter().map(told).collect()
}

/// Everything that leaks, beside its like that does not.
async fn what_is_leaked_is_told(kind: StoreKind) {
    let place = Place::new(kind, DatabaseKind::Sqlite).await;
    let stores = place.stores();
    let (images, volumes) = (stores.images.clone(), stores.volumes.first().store.clone());
    let label = stores.volumes.first().name.to_string();
    let of = |id: &VolumeId| names::volume(id);
    let deleted = |id: &VolumeId| names::deleted(&names::volume(id));

    // Clones of clones: the first line is deleted whole, of the second the last is kept.
    let [first, kept] = [new_id(), new_id()];
    for id in [&first, &kept] {
        make(&volumes, &of(id), &[]).await;
    }
    let second = volume_of(&volumes, &first).await;
    let third = volume_of(&volumes, &second).await;
    let kept_second = volume_of(&volumes, &kept).await;
    let kept_third = volume_of(&volumes, &kept_second).await;
    for id in [&first, &second, &kept, &kept_second] {
        delete_with_clones(&volumes, id).await;
    }
    delete(&volumes, &third).await;

    // A volume that is there, of which one clone was deleted, one by way of another name, and one is kept.
    let source = new_id();
    make(&volumes, &of(&source), &[]).await;
    let gone = volume_of(&volumes, &source).await;
    let renamed = volume_of(&volumes, &source).await;
    let last = volume_of(&volumes, &renamed).await;
    let clone_of_source = volume_of(&volumes, &source).await;
    delete(&volumes, &gone).await;
    delete_with_clones(&volumes, &renamed).await;
    delete(&volumes, &last).await;

    // Uploads: whole, broken off, and under way.
    let [whole, broken, under_way] = [new_id(), new_id(), new_id()];
    make(&images, whole.as_str(), &["snap"]).await;
    make(&images, broken.as_str(), &[]).await;
    make(&images, under_way.as_str(), &[]).await;
    let upload = images.open(under_way.as_str(), OpenMode::ReadWrite).await.unwrap();
    // Where volumes are, something of that name is no image.
    make(&volumes, new_id().as_str(), &[]).await;

    // In the trash: one that a volume reads from, one that nobody does.
    let [read, unread] = [new_id(), new_id()];
    for id in [&read, &unread] {
        make(&images, id.as_str(), &["snap"]).await;
    }
    let reader = new_id();
    clone(&volumes, (&images, read.as_str(), "snap"), &of(&reader)).await;
    for id in [&read, &unread] {
        images.trash_move(id.as_str()).await.unwrap();
    }

    // A deleted volume under which somebody's snapshot may lie, and what is not named by the services.
    let with_snapshot = new_id();
    let snapshot = names::snapshot(&World::real().ids.random().into());
    make(&volumes, &deleted(&with_snapshot), &[&snapshot]).await;
    make(&volumes, "by-hand", &["snapshot-by-hand"]).await;

    let look = async |ids| {
        Leaks { stores: stores.clone(), backups: None, ids, at_once: 4, at_objects: true }.look().await
    };
    let report = look(None).await;
    assert_eq!(report.unseen, Vec::<String>::new());
    let at = |id: &VolumeId, clone: &VolumeId| format!("{}@{}", of(id), names::clone_snapshot(clone));
    let in_images = |kind, name: &VolumeId| (kind, "images".to_owned(), name.to_string());
    let in_volumes = |kind, name: String| (kind, label.clone(), name);
    let mut expected: BTreeSet<_> = [
        in_volumes(Kind::Zombie, deleted(&first)),
        in_volumes(Kind::Zombie, deleted(&second)),
        in_volumes(Kind::Zombie, deleted(&renamed)),
        in_volumes(Kind::StraySnapshot, at(&source, &gone)),
        in_volumes(Kind::StraySnapshot, at(&source, &renamed)),
        in_images(Kind::Zombie, &broken),
        in_images(Kind::Zombie, &unread),
    ]
    .into();
    assert_eq!(told(&report), expected);

    // With a list of what the services know it says more.
    let [lost, known] = [new_id(), new_id()];
    let strange = names::snapshot(&World::real().ids.random().into());
    let known_snapshot = World::real().ids.random();
    make(&volumes, &of(&lost), &[]).await;
    make(&volumes, &of(&known), &[&strange, &format!("snapshot-{known_snapshot}")]).await;
    let ids = [&kept_third, &source, &clone_of_source, &whole, &broken, &under_way, &reader, &known];
    let ids = ids.map(VolumeId::to_string).into_iter().chain([known_snapshot.to_string()]).collect();
    expected.extend([
        in_volumes(Kind::Orphan, of(&lost)),
        in_volumes(Kind::StraySnapshot, format!("{}@{strange}", of(&known))),
        in_volumes(Kind::Zombie, deleted(&with_snapshot)),
    ]);
    assert_eq!(told(&look(Some(ids)).await), expected);
    upload.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_leaked_is_told_in_a_directory() {
    what_is_leaked_is_told(StoreKind::Directory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_leaked_is_told_with_clones_of_format_1() {
    what_is_leaked_is_told(StoreKind::RbdV1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_leaked_is_told_with_clones_of_format_2() {
    what_is_leaked_is_told(StoreKind::RbdV2).await;
}

fn audit(place: &Place, arguments: &[&str]) -> Output {
    place.command(&[&["audit", "--pools-only"], arguments].concat()).output().unwrap()
}

/// The command, over pools that the tools of Ceph filled, and without a database.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_asks_no_database() {
    let mut place = Place::new(StoreKind::RbdV2, DatabaseKind::Sqlite).await;
    place.options.push(("PUMICE_DATABASE__URL", "postgres://nobody@127.0.0.1:1/nothing".to_owned()));
    let (images, volumes) = (place.pools.images.clone(), place.pools.volumes.clone());
    let clean = audit(&place, &[]);
    assert_eq!(clean.status.code(), Some(0), "{clean:?}");
    assert_eq!(String::from_utf8_lossy(&clean.stdout), "0 found, 0 not looked at\n");

    let [volume, restored, first, second] = [(); 4].map(|()| new_id());
    let source = format!("{volumes}/{}", names::volume(&volume));
    let target = format!("{volumes}/{}", names::volume(&restored));
    let backup = format!("{images}/{}.backup.{first}", names::volume(&volume));
    let [kept, left] = [&first, &second].map(|id| format!("backup.{id}.snap.1700000000.25"));
    for (image, snapshots) in [(&source, [&kept, &left].as_slice()), (&target, &[&kept]), (&backup, &[&kept])]
    {
        run("rbd", &["create", image, "--size", "1M"]);
        for snapshot in snapshots {
            run("rbd", &["snap", "create", &format!("{image}@{snapshot}")]);
        }
    }
    let unjudged = audit(&place, &[]);
    assert_eq!(unjudged.status.code(), Some(2), "{unjudged:?}");
    let said = String::from_utf8_lossy(&unjudged.stdout).into_owned();
    assert!(said.contains("not looked at: 3 snapshots of backups: --backup-pool was not given"), "{said}");

    // The pool of images stands in for that of backups: the user of volumes may read there.
    let found = audit(&place, &["--backup-pool", &images, "--json"]);
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    let report: Value = serde_json::from_slice(&found.stdout).unwrap();
    let told: BTreeSet<_> =
        report["findings"].as_array().unwrap().iter().map(|found| found["name"].as_str().unwrap()).collect();
    let expected =
        [format!("{}@{left}", names::volume(&volume)), format!("{}@{kept}", names::volume(&restored))];
    assert_eq!(told, expected.iter().map(String::as_str).collect(), "{report}");

    let ids = place.folder.path().join("ids");
    let with_ids = |text: &str| {
        std::fs::write(&ids, text).unwrap();
        audit(&place, &["--backup-pool", &images, "--ids", ids.to_str().unwrap()])
    };
    let orphans = with_ids(&format!("\n{}\n", volume.as_str().to_uppercase()));
    assert_eq!(orphans.status.code(), Some(1), "{orphans:?}");
    let said = String::from_utf8_lossy(&orphans.stdout).into_owned();
    assert!(said.contains(&format!("orphan rbd {}", names::volume(&restored))), "{said}");
    assert!(said.ends_with("2 found, 0 not looked at\n"), "{said}");
    for (text, fault) in [("", "names no id"), (&*format!("{volume}\nid\n"), "line 2 of ")] {
        let refused = with_ids(text);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains(fault), "{refused:?}");
    }
    let refused = audit(&place, &["--repair"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("cannot be used with"), "{refused:?}");
}
