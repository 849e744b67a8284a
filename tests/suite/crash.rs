//! The process is killed in the middle of everything, again and again. Each time, after a restart, every job goes
//! on or is undone, what was answered with success is so, everything is in a status its user can act on, and bytes are
//! whole; in the end all can be deleted, and nothing is left.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;
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

const VOLUMES: &str = "/volume/v3/volumes";
const SNAPSHOTS: &str = "/volume/v3/snapshots";
const IMAGES: &str = "/image/v2/images";

/// What the service should hold, as far as one can know.
struct World {
    bytes: Bytes,
    /// An image that is never deleted before the end, so that there is always something to make volumes from.
    base: String,
    md5: Value,
    known: Mutex<Known>,
}

/// What clients were told; by paths.
#[derive(Default)]
struct Known {
    things: BTreeMap<String, Thing>,
    /// Deleted, and seen to be gone.
    gone: BTreeSet<String>,
}

/// A volume, a snapshot or an image that was there, or whose making was accepted.
#[derive(Debug, Default)]
struct Thing {
    /// Its deletion was accepted.
    is_deleted: bool,
    /// Deletions that nobody has answered: they may be so or not.
    doubts: usize,
    /// At least; of a volume in GiB, of an image in bytes.
    size: i64,
    /// Its upload was answered with success.
    has_bytes: bool,
}

impl World {
    fn change(&self, path: &str, change: impl FnOnce(&mut Thing)) {
        change(self.known.lock().unwrap().things.entry(path.to_owned()).or_default());
    }

    /// What an answer says of what was asked for.
    fn hear(&self, act: &Act, path: &str, status: StatusCode, body: &Value) {
        let is_accepted = status.is_success();
        match act {
            Act::DeleteVolume(_) | Act::DeleteSnapshot(_) | Act::DeleteImage(_) => {
                self.change(path, |thing| {
                    thing.doubts -= 1;
                    thing.is_deleted |= is_accepted;
                })
            }
            _ if !is_accepted => {}
            Act::Extend(volume, size) => {
                self.change(&format!("{VOLUMES}/{volume}"), |thing| thing.size = *size);
            }
            _ => {
                let id = body["volume"]["id"].as_str().or(body["snapshot"]["id"].as_str()).unwrap();
                self.change(&format!("{path}/{id}"), |_| {});
            }
        }
    }
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
    let world = World { bytes, base, md5, known: Mutex::default() };
    assert_as_said(&server, &world).await;
    let mut met = BTreeSet::new();
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
        // Whatever is open now was open then.
        met.extend(ids(&server.list("/pumice/v1/jobs?state=open&limit=1000", "jobs").await));
        server.settle().await;
        assert_as_said(&server, &world).await;
        assert_settled(&server, &world).await;
    }
    let mut jobs = server.list("/pumice/v1/jobs?limit=1000", "jobs").await;
    jobs.retain(was_left);
    met.extend(ids(&jobs));
    println!("{} jobs were open when the process was killed", met.len());
    assert!(given.is_some() || !met.is_empty(), "no job was open when the process was killed");
    server = assert_volumes(&place, server, &world).await;
    delete_everything(&server).await;
    place.assert_empty(server).await;
}

fn ids(items: &[Value]) -> Vec<String> {
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

/// Somebody took the job once more, and not because it had not succeeded: whoever was at it died. An upload is taken by
/// others only then.
fn was_left(job: &Value) -> bool {
    let was_tried_again = !job["error_detail"].is_null() && job["kind"] != "upload_image";
    job["attempts"].as_i64() > Some(1) && !was_tried_again
}

/// What is asked for at once in one life of the process.
async fn choose(server: &Server, world: &World, random: &mut StdRng) -> Vec<Act> {
    let volumes: Vec<Value> = server.list("/volume/v3/volumes/detail", "volumes").await;
    let volumes: Vec<&Value> = volumes.iter().filter(|volume| volume["status"] == "available").collect();
    let snapshots = server.list(SNAPSHOTS, "snapshots").await;
    let images = server.list(IMAGES, "images").await;
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
        Act::Upload => return upload_new(server, world).await,
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
            (Method::POST, SNAPSHOTS.to_owned(), Some(body))
        }
        Act::Extend(volume, size) => {
            let body = json!({"os-extend": {"new_size": size}});
            (Method::POST, format!("{VOLUMES}/{volume}/action"), Some(body))
        }
        Act::DeleteVolume(id) => (Method::DELETE, format!("{VOLUMES}/{id}"), None),
        Act::DeleteSnapshot(id) => (Method::DELETE, format!("{SNAPSHOTS}/{id}"), None),
        Act::DeleteImage(id) => (Method::DELETE, format!("{IMAGES}/{id}"), None),
    };
    if method == Method::DELETE {
        world.change(&path, |thing| thing.doubts += 1);
    }
    if let Ok((status, body)) = server.try_send(method, &path, body).await {
        assert!(status.as_u16() < 500, "{act:?}: {status} {body}\n{}", server.log());
        world.hear(act, &path, status, &body);
    }
}

async fn upload_new(server: &Server, world: &World) {
    let Ok(image) = create_image(server).await else { return };
    let path = format!("{IMAGES}/{image}");
    world.change(&path, |_| {});
    if let Ok(status) = upload(server, &image, &world.bytes).await {
        world.change(&path, |thing| thing.has_bytes = status.is_success());
    }
}

fn create(volume: Value) -> (Method, String, Option<Value>) {
    (Method::POST, VOLUMES.to_owned(), Some(json!({ "volume": volume })))
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
    let (status, body) = server.try_send(Method::POST, IMAGES, Some(body)).await?;
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

/// All there is, by paths.
async fn listed(server: &Server) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for (path, details, key) in [
        (VOLUMES, "/volume/v3/volumes/detail", "volumes"),
        (SNAPSHOTS, "/volume/v3/snapshots/detail", "snapshots"),
        (IMAGES, "/image/v2/images?limit=1000", "images"),
    ] {
        let items = server.list(details, key).await;
        all.extend(items.into_iter().map(|item| (format!("{path}/{}", item["id"].as_str().unwrap()), item)));
    }
    all
}

/// No job is open. What was answered with success is so, before anything is repeated; of the rest either may be. From
/// now on what is there is there, and what is gone is gone.
async fn assert_as_said(server: &Server, world: &World) {
    let there = listed(server).await;
    let Known { things, mut gone } = std::mem::take(&mut *world.known.lock().unwrap());
    for (path, thing) in things {
        let Some(item) = there.get(&path) else {
            let may_be_gone = thing.is_deleted || thing.doubts > 0;
            assert!(may_be_gone, "nobody deleted {path}, and it is gone\n{}", server.log());
            assert_eq!(server.send(Method::GET, &path, None).await.0, StatusCode::NOT_FOUND, "{path}");
            gone.insert(path);
            continue;
        };
        assert_is_as_said(server, world, &thing, item).await;
    }
    let back: Vec<&String> = there.keys().filter(|path| gone.contains(*path)).collect();
    assert!(back.is_empty(), "they were gone: {back:?}\n{}", server.log());
    let known = |item: &Value| Thing { size: item["size"].as_i64().unwrap_or_default(), ..Thing::default() };
    let things = there.iter().map(|(path, item)| (path.clone(), known(item))).collect();
    *world.known.lock().unwrap() = Known { things, gone };
}

async fn assert_is_as_said(server: &Server, world: &World, thing: &Thing, item: &Value) {
    let id = item["id"].as_str().unwrap();
    if thing.is_deleted {
        // It may be there only when its deletion failed, and says so.
        let jobs = server.list(&format!("/pumice/v1/jobs?resource_id={id}"), "jobs").await;
        let last = jobs.iter().find(|job| job["kind"].as_str().unwrap().starts_with("delete"));
        let has_failed = last.is_some_and(|job| job["state"] == "failed");
        assert!(has_failed, "it was deleted, and is there: {item:#}\n{jobs:#?}\n{}", server.log());
    }
    assert!(item["size"].as_i64().unwrap_or_default() >= thing.size, "{thing:?}: {item:#}\n{}", server.log());
    if thing.has_bytes {
        assert_eq!(item["status"], "active", "{item:#}\n{}", server.log());
        assert!(server.download(id).await == world.bytes, "other bytes were uploaded: {item:#}");
    }
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
    for snapshot in server.list(SNAPSHOTS, "snapshots").await {
        assert_eq!(snapshot["status"], "available", "{snapshot:#}\n{}", server.log());
    }
    for image in server.list(IMAGES, "images").await {
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
        for (path, key) in [(VOLUMES, "volumes"), (SNAPSHOTS, "snapshots"), (IMAGES, "images")] {
            let items = server.list(path, key).await;
            paths.extend(ids(&items).iter().map(|id| format!("{path}/{id}")));
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
