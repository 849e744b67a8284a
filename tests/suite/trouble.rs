//! A cluster that refuses: what the service says then, and that all is well again afterwards.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pumice::block::rbd::{self, RbdOptions};
use pumice::block::{BlockImage, BlockStore, BlockingPool, ErrorKind, OpenMode, Progress};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::house::store::ceph_conf;
use crate::house::{DatabaseKind, StoreKind};
use crate::process::pools::{self, Pools};
use crate::process::{PATIENCE, Place};
use crate::workflows::disk_image;

const MIB: u64 = 1 << 20;

/// Asks again until the answer is the one that must come.
async fn until<T: std::fmt::Debug>(ask: impl AsyncFn() -> T, wanted: impl Fn(&T) -> bool) {
    let mut last = None;
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            let answer = ask().await;
            if wanted(&answer) {
                return;
            }
            last = Some(answer);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    assert!(waited.await.is_ok(), "the last answer was {last:?}");
}

/// Writes until the cluster has noticed that there is no room.
async fn fill(image: &dyn BlockImage) {
    // What takes no more room than it had is still written, so each write is to an object of its own.
    let object_size = image.object_size();
    let objects = AtomicU64::new(1);
    let write = async || {
        let object = objects.fetch_add(1, Ordering::Relaxed);
        image.write(object * object_size, vec![8; 1 << 16].into()).await
    };
    until(write, |answer| matches!(answer, Err(error) if error.kind == ErrorKind::NoSpace)).await;
}

/// Not an endless wait, which is what librbd does by itself.
#[tokio::test(flavor = "multi_thread")]
async fn writes_to_a_full_pool_are_refused() {
    let pools = Pools::make(StoreKind::RbdV2);
    let options = RbdOptions { conf: Some(ceph_conf()), ..RbdOptions::new(&pools.volumes) };
    let store = rbd::open(options, BlockingPool::default()).unwrap();
    store.create("x", 1 << 40, 4 * MIB).await.unwrap();
    let image = store.open("x", OpenMode::ReadWrite).await.unwrap();
    image.write(0, vec![7; MIB as usize].into()).await.unwrap();
    pools::limit(&pools.volumes, MIB / 2);
    fill(&*image).await;
    // What is there can be read, and stays when there is no room for what its removal writes down.
    assert_eq!(image.read(0, 1).await.unwrap(), vec![7]);
    // librbd says that it was taken, and then nobody can open it.
    assert_eq!(image.create_snapshot("s").await.unwrap_err().kind, ErrorKind::NoSpace);
    assert_eq!(image.snapshots().await.unwrap(), []);
    image.close().await.unwrap();
    for refused in [store.remove("x", &Progress::new()).await, store.trash_move("x").await.map(drop)] {
        assert_eq!(refused.unwrap_err().kind, ErrorKind::NoSpace);
    }
    assert_eq!(store.list().await.unwrap(), ["x"]);
}

/// Somebody else is renaming or removing it at this moment: the directory has its name no more. There is room.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_there_in_part_is_no_sign_of_a_full_pool() {
    let pools = Pools::make(StoreKind::RbdV2);
    let options = RbdOptions { conf: Some(ceph_conf()), ..RbdOptions::new(&pools.volumes) };
    let store = rbd::open(options, BlockingPool::default()).unwrap();
    store.create("x", MIB, 4 * MIB).await.unwrap();
    pools::run("rados", &["-p", &pools.volumes, "rmomapkey", "rbd_directory", "name_x"]);
    assert_eq!(store.trash_move("x").await.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_volume_makes_room_in_a_full_pool() {
    let place = Place::new(StoreKind::RbdV2, DatabaseKind::Sqlite).await;
    let server = place.start();
    let create = json!({"volume": {"size": 1}});
    let (status, volume) = server.send(Method::POST, "/volume/v3/volumes", Some(create)).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    server.settle().await;
    let id = volume["volume"]["id"].as_str().unwrap();
    let image = place
        .stores()
        .volumes
        .first()
        .store
        .open(&format!("volume-{id}"), OpenMode::ReadWrite)
        .await
        .unwrap();
    pools::limit(&place.pools.volumes, MIB);
    fill(&*image).await;
    image.close().await.unwrap();
    let path = format!("/volume/v3/volumes/{id}");
    assert_eq!(server.send(Method::DELETE, &path, None).await.0, StatusCode::ACCEPTED);
    server.settle().await;
    assert_eq!(server.send(Method::GET, &path, None).await.0, StatusCode::NOT_FOUND, "{}", server.log());
    place.assert_empty(server).await;
}

/// What filled it is taken away again, though a removal needs room itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_fills_a_pool_is_taken_back() {
    let place = Place::new(StoreKind::RbdV2, DatabaseKind::Sqlite).await;
    let server = place.start();
    let create = json!({"name": "x", "disk_format": "qcow2", "container_format": "bare"});
    let (status, image) = server.send(Method::POST, "/image/v2/images", Some(create)).await;
    assert_eq!(status, StatusCode::CREATED);
    let image = image["id"].as_str().unwrap();
    let disk = disk_image(&vec![9; 8 * MIB as usize], "qcow2", &[]);
    assert_eq!(server.try_upload(image, disk).await.unwrap(), StatusCode::NO_CONTENT);
    pools::limit(&place.pools.volumes, MIB);
    // The cluster takes a while to notice.
    let paths = Mutex::new(Vec::new());
    let status_of_another = async || {
        let create = json!({"volume": {"size": 1, "imageRef": image}});
        let (status, volume) = server.send(Method::POST, "/volume/v3/volumes", Some(create)).await;
        assert_eq!(status, StatusCode::ACCEPTED);
        server.settle().await;
        let path = format!("/volume/v3/volumes/{}", volume["volume"]["id"].as_str().unwrap());
        let status = server.get(&path).await["volume"]["status"].clone();
        paths.lock().unwrap().push(path);
        status
    };
    until(status_of_another, |status| status == "error").await;
    let mut paths = paths.into_inner().unwrap();
    let refused = paths.pop().unwrap();
    let name = refused.replace("/volume/v3/volumes/", "volume-");
    let on_pool = place.stores().volumes.first().store.list().await.unwrap();
    assert!(!on_pool.contains(&name), "{on_pool:?}");
    paths.push(refused);
    for path in paths.iter().map(String::as_str).chain([format!("/image/v2/images/{image}").as_str()]) {
        let (status, said) = server.send(Method::DELETE, path, None).await;
        assert!(status.is_success(), "{status} {said}");
    }
    server.settle().await;
    place.assert_empty(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_to_a_full_pool_can_be_repeated() {
    let place = Place::new(StoreKind::RbdV2, DatabaseKind::Sqlite).await;
    let server = place.start();
    let create = json!({"name": "x", "disk_format": "raw", "container_format": "bare"});
    let image = async || {
        let (status, image) = server.send(Method::POST, "/image/v2/images", Some(create.clone())).await;
        assert_eq!(status, StatusCode::CREATED);
        image["id"].as_str().unwrap().to_owned()
    };
    let bytes = || vec![9_u8; 2 * MIB as usize];
    let first = image().await;
    assert_eq!(server.try_upload(&first, bytes()).await.unwrap(), StatusCode::NO_CONTENT);
    pools::limit(&place.pools.images, MIB);
    // The cluster takes a while to notice.
    let refused = Mutex::new(String::new());
    let upload = async || {
        let id = image().await;
        let status = server.try_upload(&id, bytes()).await.unwrap();
        *refused.lock().unwrap() = id;
        status
    };
    until(upload, |status| *status == StatusCode::PAYLOAD_TOO_LARGE).await;
    let id = refused.into_inner().unwrap();
    // Nor is there room for what a removal writes down; nothing is lost by asking.
    let path = format!("/image/v2/images/{first}");
    server.send(Method::DELETE, &path, None).await;
    let status = async || server.send(Method::GET, &path, None).await.1["status"].clone();
    until(status, |status| status == "active").await;
    assert_eq!(server.download(&first).await, bytes());
    pools::limit(&place.pools.images, 0);
    // What the refused upload had written, if anything, goes as soon as there is room for that.
    let upload = async || server.try_upload(&id, bytes()).await;
    until(upload, |answer| matches!(answer, Ok(StatusCode::NO_CONTENT))).await;
    // Its snapshot was dropped for the delete, and is made again.
    let create = json!({"volume": {"size": 1, "imageRef": first}});
    let (status, volume) = server.send(Method::POST, "/volume/v3/volumes", Some(create)).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    server.settle().await;
    let path = format!("/volume/v3/volumes/{}", volume["volume"]["id"].as_str().unwrap());
    assert_eq!(server.get(&path).await["volume"]["status"], "available", "{}", server.log());
    assert_eq!(server.send(Method::DELETE, &path, None).await.0, StatusCode::ACCEPTED);
    server.settle().await;
    for image in server.list("/image/v2/images?limit=1000", "images").await {
        let path = format!("/image/v2/images/{}", image["id"].as_str().unwrap());
        assert_eq!(server.send(Method::DELETE, &path, None).await.0, StatusCode::NO_CONTENT);
    }
    place.assert_empty(server).await;
}

/// Told at once, with a reason, and without the key.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_refused() {
    const WRONG: &str = "AQD3dQVkAAAAABAAGd3pVFHRhZ0m8gSt7GvKvw==";
    let folder = tempfile::tempdir().unwrap();
    let keyring = folder.path().join("keyring");
    std::fs::write(&keyring, format!("[client.admin]\n\tkey = {WRONG}\n")).unwrap();
    let options = RbdOptions {
        conf: Some(ceph_conf()),
        extra: vec![("keyring".to_owned(), keyring.display().to_string())],
        ..RbdOptions::new("images")
    };
    let store = rbd::open(options, BlockingPool::default()).unwrap();
    let error = store.list().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Disconnected, "{error}");
    assert!(!error.to_string().contains(WRONG), "{error}");
}

/// Its pool's users are told apart from those of the pool of volumes: what cannot be cloned is copied.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_volumes_may_not_hang_on_is_copied() {
    let place = Place::new(StoreKind::RbdV2, DatabaseKind::Sqlite).await;
    let (user, pool) = (format!("client.{}", place.users().volumes), &place.pools.volumes);
    let allowed = format!("profile rbd pool={pool}");
    pools::run("ceph", &["auth", "caps", &user, "mon", "profile rbd", "mgr", &allowed, "osd", &allowed]);
    let server = place.start();
    let image = json!({"disk_format": "raw", "container_format": "bare"});
    let (_, image) = server.send(Method::POST, "/image/v2/images", Some(image)).await;
    let image = image["id"].as_str().unwrap();
    let bytes = vec![9_u8; 2 * MIB as usize];
    assert_eq!(server.try_upload(image, bytes.clone()).await.unwrap(), StatusCode::NO_CONTENT);
    let volume = json!({"volume": {"size": 1, "imageRef": image}});
    let (status, volume) = server.send(Method::POST, "/volume/v3/volumes", Some(volume)).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{volume}");
    server.settle().await;
    let id = volume["volume"]["id"].as_str().unwrap();
    let path = format!("/volume/v3/volumes/{id}");
    let row = server.get(&path).await;
    assert_eq!(row["volume"]["status"], "available", "{}", server.log());
    let store = place.stores().volumes.first().store.clone();
    let copy = store.open(&format!("volume-{id}"), OpenMode::ReadOnly).await.unwrap();
    assert_eq!(copy.read(0, bytes.len() as u64).await.unwrap(), bytes);
    assert_eq!(copy.parent().await.unwrap(), None);
    copy.close().await.unwrap();
    for path in [path, format!("/image/v2/images/{image}")] {
        let (status, said) = server.send(Method::DELETE, &path, None).await;
        assert!(status.is_success(), "{status} {said}");
    }
    server.settle().await;
    place.assert_empty(server).await;
}

/// And not one that the cluster has not counted yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_gone_is_not_measured() {
    let pools = Pools::make(StoreKind::RbdV2);
    let options = RbdOptions { conf: Some(ceph_conf()), ..RbdOptions::new(&pools.volumes) };
    let store = rbd::open(options, BlockingPool::default()).unwrap();
    until(async || store.statistics().await, Result::is_ok).await;
    drop(pools);
    // Before or after this process knows the map without it.
    let gone = [ErrorKind::NotFound, ErrorKind::Disconnected];
    let is_gone =
        |answer: &pumice::block::Result<_>| answer.as_ref().is_err_and(|error| gone.contains(&error.kind));
    until(async || store.statistics().await, is_gone).await;
}
