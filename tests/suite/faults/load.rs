//! What clients do, and what was said to them about it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pumice::block::{BlockStore, OpenMode, Stores};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngCore, SeedableRng};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::chaos::Addresses;

/// Of every image: several objects, and a hole in the middle.
pub const LENGTH: usize = 10 << 20;
/// Where a client writes into a volume, behind what came from an image.
pub const MARK_AT: u64 = 64 << 20;
/// How long a client waits for a volume, or for its own write, before it turns to something else.
const SOON: Duration = Duration::from_secs(15);
pub const OTHER_TYPE: &str = "other";

/// Where a volume lies.
pub fn store_of(stores: &Stores, volume: &Value) -> Arc<dyn BlockStore> {
    let host = volume["os-vol-host-attr:host"].as_str().unwrap_or_default();
    let backend = stores.volumes.of(Some(host)).unwrap_or_else(|| panic!("{volume:#}"));
    backend.store.clone()
}

/// The bytes of all images.
pub fn bytes() -> Bytes {
    let mut bytes = vec![0; LENGTH];
    StdRng::seed_from_u64(1).fill_bytes(&mut bytes);
    bytes[LENGTH / 4..LENGTH / 2].fill(0);
    bytes.into()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Volume,
    Snapshot,
    Image,
}

impl Kind {
    pub fn path(self) -> &'static str {
        match self {
            Kind::Volume => "/volume/v3/volumes",
            Kind::Snapshot => "/volume/v3/snapshots",
            Kind::Image => "/image/v2/images",
        }
    }

    /// The thing in an answer.
    pub fn of(self, answer: &Value) -> &Value {
        match self {
            Kind::Volume => &answer["volume"],
            Kind::Snapshot => &answer["snapshot"],
            Kind::Image => answer,
        }
    }
}

/// Something that a client was told is there.
#[derive(Clone, Debug)]
pub struct Thing {
    pub kind: Kind,
    pub id: String,
    /// Its first bytes are those of the image, and not zeros.
    pub is_full: bool,
    /// What may be written at [`MARK_AT`].
    pub marks: BTreeSet<u64>,
    /// Nobody said how something with it ended: its marks are not known.
    pub is_doubtful: bool,
    /// Its deletion was accepted.
    pub is_deleted: bool,
    /// Its deletion was asked for; nobody knows whether it was accepted.
    pub may_be_deleted: bool,
    /// Of a snapshot.
    pub volume: Option<String>,
}

/// `None`: nobody knows whether it was done.
type Answer = Option<(StatusCode, Value)>;

/// A client, with things of its own.
pub struct Client {
    number: usize,
    random: StdRng,
    addresses: Addresses,
    http: reqwest::Client,
    stores: Stores,
    base: String,
    web: String,
    bytes: Bytes,
    pub things: Vec<Thing>,
    /// Operations and how they were answered.
    pub counts: BTreeMap<(&'static str, String), u32>,
    /// What no fault excuses.
    pub findings: Vec<String>,
}

/// What all clients share.
#[derive(Clone)]
pub struct Ground {
    pub addresses: Addresses,
    pub stores: Stores,
    /// An image that stays.
    pub base: String,
    /// The address of its bytes on the web.
    pub web: String,
}

pub fn http() -> reqwest::Client {
    reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap()
}

impl Client {
    pub fn new(number: usize, seed: u64, ground: &Ground) -> Self {
        let Ground { addresses, stores, base, web } = ground.clone();
        Self {
            number,
            random: StdRng::seed_from_u64(seed.wrapping_mul(1_000).wrapping_add(number as u64)),
            addresses,
            http: http(),
            stores,
            base,
            web,
            bytes: bytes(),
            things: Vec::new(),
            counts: BTreeMap::new(),
            findings: Vec::new(),
        }
    }

    pub async fn work(mut self, until: Instant) -> Self {
        while Instant::now() < until {
            self.act().await;
        }
        self
    }

    async fn act(&mut self) {
        match self.random.random_range(0..20) {
            0 | 1 => self.create_volume("create empty", json!({}), None).await,
            2 | 3 => {
                let base = self.base.clone();
                let like = Thing { is_full: true, ..self.thing(Kind::Volume, "") };
                self.create_volume("create from image", json!({"imageRef": base}), Some(like)).await
            }
            4 => self.create_from(Kind::Volume, "clone", "source_volid").await,
            5 => self.create_from(Kind::Snapshot, "create from snapshot", "snapshot_id").await,
            6 | 7 => self.snapshot().await,
            8 => self.extend().await,
            9 => self.delete(Kind::Volume, "delete volume").await,
            10 => self.delete(Kind::Snapshot, "delete snapshot").await,
            11 => self.delete(Kind::Image, "delete image").await,
            12 => self.upload().await,
            13 => self.import().await,
            14 => self.revert().await,
            15 => self.retype().await,
            16 => self.transfer().await,
            17 => self.attach().await,
            18 => self.volume_to_image().await,
            _ => self.write().await,
        }
    }

    fn thing(&self, kind: Kind, id: &str) -> Thing {
        Thing {
            kind,
            id: id.to_owned(),
            is_full: false,
            marks: BTreeSet::from([0]),
            is_doubtful: false,
            is_deleted: false,
            may_be_deleted: false,
            volume: None,
        }
    }

    async fn ask(&mut self, what: &'static str, method: Method, path: &str, body: Option<Value>) -> Answer {
        let answer = self.send(method, path, body).await;
        let said = answer.as_ref().map_or("no answer".to_owned(), |(status, _)| status.as_u16().to_string());
        if let Some((StatusCode::INTERNAL_SERVER_ERROR, body)) = &answer {
            self.findings.push(format!("{what} was answered with 500: {body}"));
        }
        *self.counts.entry((what, said)).or_default() += 1;
        if answer.as_ref().is_none_or(|(status, _)| status.is_server_error()) {
            sleep(Duration::from_millis(200)).await;
        }
        // Behind these the work may have been done all the same.
        answer.filter(|(status, _)| !status.is_server_error())
    }

    async fn send(&mut self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let Some(address) = self.addresses.choose(&mut self.random) else {
            sleep(Duration::from_millis(200)).await;
            return None;
        };
        let mut request = self.http.request(method, format!("{address}{path}"));
        request = request.header("OpenStack-API-Version", "volume 3.71");
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.ok()?;
        let status = answer.status();
        let text = answer.text().await.ok()?;
        Some((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    /// One of its things of a kind that nothing is being done with, by its place.
    async fn choose(&mut self, kind: Kind) -> Option<usize> {
        let fits = |thing: &Thing| thing.kind == kind && !thing.is_deleted && !thing.may_be_deleted;
        let all: Vec<usize> = (0..self.things.len()).filter(|at| fits(&self.things[*at])).collect();
        let at = *all.choose(&mut self.random)?;
        let settled = if kind == Kind::Image { "active" } else { "available" };
        (self.status(at).await? == settled).then_some(at)
    }

    async fn status(&mut self, at: usize) -> Option<String> {
        let (kind, path) = (self.things[at].kind, self.path(at));
        let (status, body) = self.send(Method::GET, &path, None).await?;
        if status == StatusCode::NOT_FOUND {
            let thing = &self.things[at];
            self.findings.push(format!("it is gone, and nobody deleted it: {thing:?}"));
            self.things[at].may_be_deleted = true;
        }
        kind.of(&body)["status"].as_str().map(str::to_owned)
    }

    fn path(&self, at: usize) -> String {
        let thing = &self.things[at];
        format!("{}/{}", thing.kind.path(), thing.id)
    }

    /// Waits a while until it is `available`; else it does not know how that ended.
    async fn settles(&mut self, at: usize) -> bool {
        let end = Instant::now() + SOON;
        while Instant::now() < end {
            match self.status(at).await.as_deref() {
                Some("available") => return true,
                Some(status) if status.starts_with("error") => break,
                _ => sleep(Duration::from_millis(100)).await,
            }
        }
        self.things[at].is_doubtful = true;
        false
    }

    async fn create_volume(&mut self, what: &'static str, source: Value, like: Option<Thing>) {
        let mut volume = json!({"size": 1, "name": format!("client-{}", self.number)});
        volume.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        let answer =
            self.ask(what, Method::POST, "/volume/v3/volumes", Some(json!({"volume": volume}))).await;
        if let Some((StatusCode::ACCEPTED, body)) = answer {
            let id = body["volume"]["id"].as_str().unwrap().to_owned();
            let like = like.unwrap_or_else(|| self.thing(Kind::Volume, ""));
            self.things.push(Thing { kind: Kind::Volume, id, volume: None, ..like });
            let at = self.things.len() - 1;
            self.settle_quietly(at).await;
        }
    }

    /// What is made is what it is, whether it is waited for or not.
    async fn settle_quietly(&mut self, at: usize) {
        let was = self.things[at].is_doubtful;
        self.settles(at).await;
        self.things[at].is_doubtful = was;
    }

    async fn create_from(&mut self, kind: Kind, what: &'static str, key: &str) {
        let Some(at) = self.choose(kind).await else { return };
        let like = self.things[at].clone();
        // It may have been extended.
        let size = self.size(at).await;
        let count = self.things.len();
        self.create_volume(what, json!({key: like.id, "size": size}), Some(like)).await;
        if self.things.len() > count {
            // What is written to a volume before it was cloned, is in the clone too.
            self.settles(count).await;
        }
    }

    async fn size(&mut self, at: usize) -> i64 {
        let (kind, path) = (self.things[at].kind, self.path(at));
        let answer = self.send(Method::GET, &path, None).await;
        answer.and_then(|(_, body)| kind.of(&body)["size"].as_i64()).unwrap_or(1)
    }

    async fn snapshot(&mut self) {
        let Some(at) = self.choose(Kind::Volume).await else { return };
        let of = self.things[at].clone();
        let body = json!({"snapshot": {"volume_id": of.id}});
        let answer = self.ask("snapshot", Method::POST, "/volume/v3/snapshots", Some(body)).await;
        if let Some((StatusCode::ACCEPTED, body)) = answer {
            let id = body["snapshot"]["id"].as_str().unwrap().to_owned();
            self.things.push(Thing { kind: Kind::Snapshot, volume: Some(of.id.clone()), id, ..of });
            let snapshot = self.things.len() - 1;
            // What is written to the volume before it is there, is in it.
            self.settles(snapshot).await;
        }
    }

    /// An action on a volume; whether it was accepted.
    async fn action(&mut self, what: &'static str, at: usize, action: Value) -> bool {
        let path = format!("{}/action", self.path(at));
        match self.ask(what, Method::POST, &path, Some(action)).await {
            Some((StatusCode::ACCEPTED, _)) => true,
            Some(_) => false,
            None => {
                self.things[at].is_doubtful = true;
                false
            }
        }
    }

    async fn extend(&mut self) {
        let Some(at) = self.choose(Kind::Volume).await else { return };
        let size = self.size(at).await + 1;
        if self.action("extend", at, json!({"os-extend": {"new_size": size}})).await {
            self.settle_quietly(at).await;
        }
    }

    async fn retype(&mut self) {
        let Some(at) = self.choose(Kind::Volume).await else { return };
        let to = if self.random.random_bool(0.5) { OTHER_TYPE } else { "__DEFAULT__" };
        let action = json!({"os-retype": {"new_type": to, "migration_policy": "on-demand"}});
        if self.action("retype", at, action).await {
            // Nothing may be written while it is copied.
            self.settles(at).await;
        }
    }

    async fn revert(&mut self) {
        let Some(at) = self.choose(Kind::Snapshot).await else { return };
        let snapshot = self.things[at].clone();
        let of = self.things.iter().position(|thing| Some(&thing.id) == snapshot.volume.as_ref());
        let Some(of) = of.filter(|of| !self.things[*of].is_deleted) else { return };
        if self.action("revert", of, json!({"revert": {"snapshot_id": snapshot.id}})).await
            && self.settles(of).await
        {
            self.things[of].marks = snapshot.marks;
            self.things[of].is_doubtful |= snapshot.is_doubtful;
        }
    }

    async fn transfer(&mut self) {
        let Some(at) = self.choose(Kind::Volume).await else { return };
        let id = self.things[at].id.clone();
        let body = json!({"transfer": {"volume_id": id}});
        const PATH: &str = "/volume/v3/os-volume-transfer";
        let Some((StatusCode::ACCEPTED, body)) = self.ask("transfer", Method::POST, PATH, Some(body)).await
        else {
            return;
        };
        let path = format!("{PATH}/{}", body["transfer"]["id"].as_str().unwrap());
        if self.random.random_bool(0.5) {
            let accept = json!({"accept": {"auth_key": body["transfer"]["auth_key"]}});
            self.ask("accept transfer", Method::POST, &format!("{path}/accept"), Some(accept)).await;
        } else {
            self.ask("delete transfer", Method::DELETE, &path, None).await;
        }
    }

    async fn attach(&mut self) {
        let Some(at) = self.choose(Kind::Volume).await else { return };
        let body = json!({"attachment": {"volume_uuid": self.things[at].id}});
        let answer = self.ask("attach", Method::POST, "/volume/v3/attachments", Some(body)).await;
        if let Some((StatusCode::OK, body)) = answer {
            let path = format!("/volume/v3/attachments/{}", body["attachment"]["id"].as_str().unwrap());
            self.ask("detach", Method::DELETE, &path, None).await;
        }
    }

    async fn delete(&mut self, kind: Kind, what: &'static str) {
        let Some(at) = self.choose(kind).await else { return };
        let path = self.path(at);
        match self.ask(what, Method::DELETE, &path, None).await {
            Some((StatusCode::ACCEPTED | StatusCode::NO_CONTENT, _)) => self.things[at].is_deleted = true,
            Some(_) => {}
            None => self.things[at].may_be_deleted = true,
        }
    }

    async fn create_image(&mut self) -> Option<usize> {
        let body = json!({"name": "image", "disk_format": "raw", "container_format": "bare"});
        match self.ask("create image", Method::POST, "/image/v2/images", Some(body)).await {
            Some((StatusCode::CREATED, body)) => {
                let id = body["id"].as_str().unwrap();
                self.things.push(Thing { is_full: true, ..self.thing(Kind::Image, id) });
                Some(self.things.len() - 1)
            }
            _ => None,
        }
    }

    async fn upload(&mut self) {
        let Some(at) = self.create_image().await else { return };
        let path = format!("{}/file", self.path(at));
        let Some(address) = self.addresses.choose(&mut self.random) else { return };
        let request = self.http.put(format!("{address}{path}")).body(self.bytes.clone());
        let answer = request.header("Content-Type", "application/octet-stream").send().await;
        let said = answer.as_ref().map_or("no answer".to_owned(), |a| a.status().as_u16().to_string());
        *self.counts.entry(("upload", said)).or_default() += 1;
        let is_there = answer.is_ok_and(|answer| answer.status() == StatusCode::NO_CONTENT);
        if is_there && self.status(at).await.is_some_and(|status| status != "active") {
            let thing = &self.things[at];
            self.findings.push(format!("an upload was accepted, and the image is not active: {thing:?}"));
        }
    }

    async fn import(&mut self) {
        let Some(at) = self.create_image().await else { return };
        let path = format!("{}/import", self.path(at));
        let body = json!({"method": {"name": "web-download", "uri": self.web}});
        self.ask("import", Method::POST, &path, Some(body)).await;
    }

    async fn volume_to_image(&mut self) {
        let Some(at) = self.choose(Kind::Volume).await else { return };
        let action = json!({"os-volume_upload_image": {"image_name": "of a volume", "disk_format": "raw",
            "container_format": "bare", "force": false}});
        if self.action("upload to image", at, action).await {
            self.settle_quietly(at).await;
        }
    }

    /// As an instance would.
    async fn write(&mut self) {
        let Some(at) = self.choose(Kind::Volume).await else { return };
        if self.things[at].is_doubtful {
            return;
        }
        let name = format!("volume-{}", self.things[at].id);
        let mark = self.random.next_u64();
        let path = self.path(at);
        let Some((StatusCode::OK, row)) = self.send(Method::GET, &path, None).await else { return };
        let store = store_of(&self.stores, &row["volume"]);
        let write = async {
            let image = store.open(&name, OpenMode::ReadWrite).await?;
            let written = image.write(MARK_AT, Bytes::copy_from_slice(&mark.to_le_bytes())).await;
            let flushed = image.flush().await;
            image.close().await?;
            written.and(flushed)
        };
        self.things[at].marks.insert(mark);
        let outcome = timeout(SOON * 4, write).await;
        if let Ok(Ok(())) = outcome {
            self.things[at].marks = BTreeSet::from([mark]);
        } else {
            // The cluster is away, or full.
            self.things[at].is_doubtful = true;
        }
        let said = if matches!(outcome, Ok(Ok(()))) { "done" } else { "not known" };
        *self.counts.entry(("write", said.to_owned())).or_default() += 1;
    }
}
