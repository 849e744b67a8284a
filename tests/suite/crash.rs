//! The process is killed in the middle of everything, again and again. Each time, after a restart, every job goes
//! on or is undone, everything is in a status its user can act on, and bytes are whole; in the end all can be
//! deleted, and nothing is left.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use pumice::block::{OpenMode, Stores};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngCore, SeedableRng};
use reqwest::{Body, Method, StatusCode};
use serde_json::{Value, json};

use crate::house::{DatabaseKind, StoreKind};
use crate::process::{Place, SHORT_LEASE, Server};

/// Of every image: several objects, and a hole in the middle.
const LENGTH: usize = 20 << 20;
const MD5: &str = "checksum";

/// What the service should hold, as far as one can know.
struct World {
    bytes: Bytes,
    /// An image that is never deleted before the end, so that there is always something to make volumes from.
    base: String,
    md5: Value,
}

#[derive(Debug)]
enum Act {
    Upload,
    FromImage,
    Empty,
    FromVolume(String),
    FromSnapshot(String),
    Snapshot(String),
    Extend(String, i64),
    DeleteVolume(String),
    DeleteSnapshot(String),
    DeleteImage(String),
}

fn bytes() -> Bytes {
    let mut bytes = vec![0; LENGTH];
    StdRng::seed_from_u64(1).fill_bytes(&mut bytes);
    bytes[LENGTH / 4..LENGTH / 2].fill(0);
    bytes.into()
}

async fn killed_at_random(store: StoreKind, database: DatabaseKind) {
    let mut place = Place::new(store, database).await;
    place.options.extend(SHORT_LEASE.map(|(name, value)| (name, value.to_owned())));
    let mut server = place.start();
    let bytes = bytes();
    let base = create_image(&server).await.unwrap();
    assert_eq!(upload(&server, &base, &bytes).await.unwrap(), StatusCode::NO_CONTENT);
    let md5 = server.get(&format!("/image/v2/images/{base}")).await[MD5].clone();
    let world = World { bytes, base, md5 };
    let given = std::env::var("PUMICE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in given.map_or(0..6, |seed: u64| seed..seed + 1) {
        println!("PUMICE_TEST_SEED={seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let acts = choose(&server, &world, &mut random).await;
        println!("{acts:?}");
        let life = Duration::from_millis(random.random_range(1..1500));
        {
            let all = acts.iter().map(|act| act_out(&server, &world, act));
            // Requests that are still waiting for an answer end with the process.
            let _ = tokio::time::timeout(life, futures::future::join_all(all)).await;
        }
        server.kill();
        place.pools.forget_ghosts();
        server = place.start();
        server.settle().await;
        assert_settled(&server, &world).await;
    }
    server = assert_volumes(&place, server, &world).await;
    delete_everything(&server).await;
    place.assert_empty(server).await;
}

/// What is asked for at once in one life of the process.
async fn choose(server: &Server, world: &World, random: &mut StdRng) -> Vec<Act> {
    let volumes: Vec<Value> = server.list("/volume/v3/volumes/detail", "volumes").await;
    let volumes: Vec<&Value> = volumes.iter().filter(|volume| volume["status"] == "available").collect();
    let snapshots = server.list("/volume/v3/snapshots", "snapshots").await;
    let images = server.list("/image/v2/images", "images").await;
    let id = |of: &Value| of["id"].as_str().unwrap().to_owned();
    let mut acts = vec![Act::Upload, Act::FromImage, Act::FromImage, Act::Empty];
    for _ in 0..8 {
        let volume = volumes.choose(random);
        let act = match (random.random_range(0..9), volume, snapshots.choose(random)) {
            (0 | 1, Some(volume), _) => Act::FromVolume(id(volume)),
            (2, Some(volume), _) => Act::Snapshot(id(volume)),
            (3, Some(volume), _) => Act::Extend(id(volume), volume["size"].as_i64().unwrap() + 1),
            (4 | 5, Some(volume), _) => Act::DeleteVolume(id(volume)),
            (6, _, Some(snapshot)) => Act::FromSnapshot(id(snapshot)),
            (7, _, Some(snapshot)) => Act::DeleteSnapshot(id(snapshot)),
            (8, ..) => match images.choose(random) {
                Some(image) if image["id"] != world.base.as_str() => Act::DeleteImage(id(image)),
                _ => continue,
            },
            _ => continue,
        };
        acts.push(act);
    }
    acts
}

/// Asks for it. What the service refuses, or does not live to answer, is as good.
async fn act_out(server: &Server, world: &World, act: &Act) {
    let (method, path, body) = match act {
        Act::Upload => {
            if let Ok(image) = create_image(server).await {
                let _ = upload(server, &image, &world.bytes).await;
            }
            return;
        }
        Act::FromImage => create(json!({"size": 1, "name": "full", "imageRef": world.base})),
        Act::Empty => create(json!({"size": 1, "name": "empty"})),
        // The name says what the bytes must be.
        Act::FromVolume(source) => {
            let name = name_of(server, "volume", source).await;
            create(json!({"name": name, "source_volid": source}))
        }
        Act::FromSnapshot(source) => {
            let name = name_of(server, "snapshot", source).await;
            create(json!({"name": name, "snapshot_id": source}))
        }
        Act::Snapshot(volume) => {
            let name = name_of(server, "volume", volume).await;
            let body = json!({"snapshot": {"volume_id": volume, "name": name}});
            (Method::POST, "/volume/v3/snapshots".to_owned(), Some(body))
        }
        Act::Extend(volume, size) => {
            let body = json!({"os-extend": {"new_size": size}});
            (Method::POST, format!("/volume/v3/volumes/{volume}/action"), Some(body))
        }
        Act::DeleteVolume(id) => (Method::DELETE, format!("/volume/v3/volumes/{id}"), None),
        Act::DeleteSnapshot(id) => (Method::DELETE, format!("/volume/v3/snapshots/{id}"), None),
        Act::DeleteImage(id) => (Method::DELETE, format!("/image/v2/images/{id}"), None),
    };
    if let Ok((status, body)) = server.try_send(method, &path, body).await {
        assert!(status.as_u16() < 500, "{act:?}: {status} {body}\n{}", server.log());
    }
}

fn create(volume: Value) -> (Method, String, Option<Value>) {
    (Method::POST, "/volume/v3/volumes".to_owned(), Some(json!({ "volume": volume })))
}

/// Of a volume or a snapshot. Gone already: then the request that follows is refused, whatever it says.
async fn name_of(server: &Server, kind: &str, id: &str) -> Value {
    match server.try_send(Method::GET, &format!("/volume/v3/{kind}s/{id}"), None).await {
        Ok((StatusCode::OK, body)) => body[kind]["name"].clone(),
        _ => "gone".into(),
    }
}

async fn create_image(server: &Server) -> reqwest::Result<String> {
    let body = json!({"name": "full", "disk_format": "raw", "container_format": "bare"});
    let (status, body) = server.try_send(Method::POST, "/image/v2/images", Some(body)).await?;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    Ok(body["id"].as_str().unwrap().to_owned())
}

/// Piece by piece, so that there is a middle to be killed in.
async fn upload(server: &Server, image: &str, bytes: &Bytes) -> reqwest::Result<StatusCode> {
    let bytes = bytes.clone();
    let pieces = futures::stream::iter((0..LENGTH).step_by(1 << 20)).then(move |at| {
        let piece = bytes.slice(at..at + (1 << 20));
        async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Ok::<_, std::io::Error>(piece)
        }
    });
    server.try_upload(image, Body::wrap_stream(pieces)).await
}

/// No job is open, so nothing may wait for one; and a crash is no reason for anything to fail.
async fn assert_settled(server: &Server, world: &World) {
    for volume in server.list("/volume/v3/volumes/detail", "volumes").await {
        let jobs = format!("/pumice/v1/jobs?resource_id={}", volume["id"].as_str().unwrap());
        if volume["status"] != "available" {
            let jobs = server.list(&jobs, "jobs").await;
            panic!("a volume is {}: {volume:#}\n{jobs:#?}\n{}", volume["status"], server.log());
        }
    }
    for snapshot in server.list("/volume/v3/snapshots", "snapshots").await {
        assert_eq!(snapshot["status"], "available", "{snapshot:#}\n{}", server.log());
    }
    for image in server.list("/image/v2/images", "images").await {
        let id = image["id"].as_str().unwrap();
        if image["status"] == "queued" {
            // Whose upload was broken off: it can be uploaded again.
            let status = upload(server, id, &world.bytes).await.unwrap();
            assert_eq!(status, StatusCode::NO_CONTENT, "{}", server.log());
        }
        let image = server.get(&format!("/image/v2/images/{id}")).await;
        assert_eq!(image["status"], "active", "{image:#}\n{}", server.log());
        assert_eq!(image[MD5], world.md5, "{image:#}");
    }
}

/// The bytes of all volumes, past the service.
async fn assert_volumes(place: &Place, server: Server, world: &World) -> Server {
    let volumes = server.list("/volume/v3/volumes/detail", "volumes").await;
    // A directory has one user at a time.
    server.stop();
    {
        let stores = place.stores();
        for volume in &volumes {
            assert_bytes(&stores, volume, world).await;
        }
    }
    println!("the bytes of {} volumes are right", volumes.len());
    place.start()
}

async fn assert_bytes(stores: &Stores, volume: &Value, world: &World) {
    let name = format!("volume-{}", volume["id"].as_str().unwrap());
    let image = stores.volumes.first().store.open(&name, OpenMode::ReadOnly).await.unwrap();
    let size = image.size().await.unwrap();
    assert_eq!(size, volume["size"].as_u64().unwrap() << 30, "{volume:#}");
    let found = image.read(0, LENGTH as u64).await.unwrap();
    match volume["name"].as_str() {
        Some("full") => assert!(found == world.bytes, "the bytes of a volume differ: {volume:#}"),
        Some("empty") => assert!(found.iter().all(|byte| *byte == 0), "an empty volume is not: {volume:#}"),
        other => panic!("a volume nobody asked for: {other:?}"),
    }
    for extent in image.allocated().await.unwrap() {
        let behind = extent.offset + extent.length;
        // Whole objects are allocated.
        assert!(behind <= (LENGTH as u64).next_multiple_of(32 << 20), "{extent:?} of {volume:#}");
    }
    image.close().await.unwrap();
}

/// In no order: what is refused is tried again.
async fn delete_everything(server: &Server) {
    for _ in 0..50 {
        let mut paths: Vec<String> = Vec::new();
        for (path, key) in [
            ("/volume/v3/volumes", "volumes"),
            ("/volume/v3/snapshots", "snapshots"),
            ("/image/v2/images", "images"),
        ] {
            let items = server.list(path, key).await;
            paths.extend(items.iter().map(|item| format!("{path}/{}", item["id"].as_str().unwrap())));
        }
        if paths.is_empty() {
            return;
        }
        let mut answers: HashMap<StatusCode, usize> = HashMap::new();
        for path in &paths {
            let (status, body) = server.send(Method::DELETE, path, None).await;
            assert!(status.as_u16() < 500, "{path}: {status} {body}\n{}", server.log());
            *answers.entry(status).or_default() += 1;
        }
        println!("deleting {}: {answers:?}", paths.len());
        server.settle().await;
    }
    panic!("not everything can be deleted\n{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_directory() {
    killed_at_random(StoreKind::Directory, DatabaseKind::Sqlite).await;
}

/// Where a process may not take over what another one had, before its lease is over.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_directory_with_postgresql() {
    killed_at_random(StoreKind::Directory, DatabaseKind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_ceph_with_clone_format_1() {
    killed_at_random(StoreKind::RbdV1, DatabaseKind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_ceph_with_clone_format_2() {
    killed_at_random(StoreKind::RbdV2, DatabaseKind::Sqlite).await;
}
