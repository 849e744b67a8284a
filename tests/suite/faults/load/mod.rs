//! What clients do, one function an act, and what they note of how they were answered.

mod images;
mod moves;
mod sharing;
mod snapshots;
mod volumes;
mod words;

use std::collections::BTreeMap;
use std::time::Duration;

use pumice::block::Stores;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngCore, SeedableRng};
use reqwest::{Body, Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::chaos::Addresses;
use super::model::{Fate, Kind, Patterns, Thing};

pub use snapshots::WAS;

/// How long a client waits for a volume, or for its own write, before it turns to something else.
const SOON: Duration = Duration::from_secs(15);

pub const OTHER_TYPE: &str = "other";

/// Where images can be.
pub const STORES: [&str; 2] = ["first", "second"];

/// `None`: nobody knows whether it was done.
type Answer = Option<(StatusCode, Value)>;

/// A client, with things of its own.
pub struct Client {
    number: usize,
    /// Which acts, one after the other.
    acts: StdRng,
    /// What else is left to chance in one act.
    random: StdRng,
    http: reqwest::Client,
    ground: Ground,
    pub things: Vec<Thing>,
    /// Jobs that were told to stop.
    pub cancelled: Vec<String>,
    /// Operations and how they were answered.
    pub counts: BTreeMap<(&'static str, String), u32>,
    /// What no fault excuses.
    pub findings: Vec<String>,
}

/// What all clients share.
#[derive(Clone)]
pub struct Ground {
    pub addresses: Addresses,
    /// Past the service.
    pub stores: Stores,
    pub patterns: Patterns,
    /// An image that stays, with the first pattern.
    pub base: String,
    /// The address of a web server that has the patterns, by their numbers.
    pub web: String,
    /// The places of volumes, as administrators call them.
    pub hosts: Vec<String>,
}

pub fn http() -> reqwest::Client {
    reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap()
}

/// What a client can do, and how often it does compared with the others.
const ACTS: [(Act, u32); 33] = [
    (Act::CreateVolume, 4),
    (Act::CreateFromImage, 4),
    (Act::Clone, 2),
    (Act::CreateFromSnapshot, 2),
    (Act::Write, 5),
    (Act::Extend, 2),
    (Act::Revert, 2),
    (Act::Reimage, 2),
    (Act::DeleteVolume, 2),
    (Act::Retype, 2),
    (Act::Migrate, 2),
    (Act::MoveInUse, 2),
    (Act::Unmanage, 2),
    (Act::UnmanageSnapshot, 1),
    (Act::Transfer, 1),
    (Act::Attach, 1),
    (Act::Snapshot, 4),
    (Act::DeleteSnapshot, 2),
    (Act::Upload, 2),
    (Act::Stage, 2),
    (Act::Import, 2),
    (Act::ImportToBoth, 1),
    (Act::AddLocation, 1),
    (Act::Copy, 3),
    (Act::DeleteFromStore, 3),
    (Act::VolumeToImage, 2),
    (Act::DeleteImage, 2),
    (Act::SayOfVolume, 2),
    (Act::SayOfSnapshot, 1),
    (Act::PatchImage, 2),
    (Act::TagImage, 2),
    (Act::ShareImage, 2),
    (Act::Cancel, 3),
];

#[derive(Clone, Copy, Debug)]
enum Act {
    CreateVolume,
    CreateFromImage,
    Clone,
    CreateFromSnapshot,
    Write,
    Extend,
    Revert,
    Reimage,
    DeleteVolume,
    Retype,
    Migrate,
    MoveInUse,
    Unmanage,
    UnmanageSnapshot,
    Transfer,
    Attach,
    Snapshot,
    DeleteSnapshot,
    Upload,
    Stage,
    Import,
    ImportToBoth,
    AddLocation,
    Copy,
    DeleteFromStore,
    VolumeToImage,
    DeleteImage,
    SayOfVolume,
    SayOfSnapshot,
    PatchImage,
    TagImage,
    ShareImage,
    Cancel,
}

impl Client {
    pub fn new(number: usize, seed: u64, ground: &Ground) -> Self {
        let acts = StdRng::seed_from_u64(seed.wrapping_mul(1_000).wrapping_add(number as u64));
        Self {
            number,
            random: acts.clone(),
            acts,
            http: http(),
            ground: ground.clone(),
            things: Vec::new(),
            cancelled: Vec::new(),
            counts: BTreeMap::new(),
            findings: Vec::new(),
        }
    }

    pub async fn work(mut self, until: Instant) -> Self {
        while Instant::now() < until {
            // Whatever an act meets, the next one is what the seed says.
            let act = ACTS.choose_weighted(&mut self.acts, |(_, weight)| *weight).unwrap().0;
            self.random = StdRng::seed_from_u64(self.acts.next_u64());
            self.act(act).await;
        }
        self
    }

    async fn act(&mut self, act: Act) {
        match act {
            Act::CreateVolume => self.create_empty().await,
            Act::CreateFromImage => self.create_from_image().await,
            Act::Clone => self.create_from(Kind::Volume, "clone", "source_volid").await,
            Act::CreateFromSnapshot => {
                self.create_from(Kind::Snapshot, "create from snapshot", "snapshot_id").await
            }
            Act::Write => self.write().await,
            Act::Extend => self.extend().await,
            Act::Revert => self.revert().await,
            Act::Reimage => self.reimage().await,
            Act::DeleteVolume => self.delete(Kind::Volume, "delete volume").await,
            Act::Retype => self.retype().await,
            Act::Migrate => self.migrate().await,
            Act::MoveInUse => self.move_in_use().await,
            Act::Unmanage => self.unmanage().await,
            Act::UnmanageSnapshot => self.unmanage_snapshot().await,
            Act::Transfer => self.transfer().await,
            Act::Attach => self.attach().await,
            Act::Snapshot => self.snapshot().await,
            Act::DeleteSnapshot => self.delete(Kind::Snapshot, "delete snapshot").await,
            Act::Upload => self.upload().await,
            Act::Stage => self.stage().await,
            Act::Import => self.import().await,
            Act::ImportToBoth => self.import_to_both().await,
            Act::AddLocation => self.add_location().await,
            Act::Copy => self.copy().await,
            Act::DeleteFromStore => self.delete_from_store().await,
            Act::VolumeToImage => self.volume_to_image().await,
            Act::DeleteImage => self.delete(Kind::Image, "delete image").await,
            Act::SayOfVolume => self.say_of(Kind::Volume, "metadata of volume").await,
            Act::SayOfSnapshot => self.say_of(Kind::Snapshot, "metadata of snapshot").await,
            Act::PatchImage => self.patch_image().await,
            Act::TagImage => self.tag_image().await,
            Act::ShareImage => self.share_image().await,
            Act::Cancel => self.cancel().await,
        }
    }

    async fn ask(&mut self, what: &'static str, method: Method, path: &str, body: Option<Value>) -> Answer {
        let answer = self.send(method, path, body).await;
        self.note(what, answer).await
    }

    /// Behind a failure the work may have been done all the same: that is as good as no answer.
    async fn note(&mut self, what: &'static str, answer: Answer) -> Answer {
        let said = answer.as_ref().map_or("no answer".to_owned(), |(status, _)| status.as_u16().to_string());
        if let Some((StatusCode::INTERNAL_SERVER_ERROR, body)) = &answer {
            self.findings.push(format!("{what} was answered with 500: {body}"));
        }
        self.count(what, said);
        let known = answer.filter(|(status, _)| !status.is_server_error());
        if known.is_none() {
            sleep(Duration::from_millis(200)).await;
        }
        known
    }

    fn count(&mut self, what: &'static str, said: impl Into<String>) {
        *self.counts.entry((what, said.into())).or_default() += 1;
    }

    async fn send(&mut self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let json = |request: RequestBuilder| match body {
            Some(body) => request.json(&body),
            None => request,
        };
        self.send_as(method, path, json).await
    }

    async fn send_bytes(&mut self, path: &str, bytes: impl Into<Body>) -> Answer {
        let octets = |request: RequestBuilder| {
            request.header("Content-Type", "application/octet-stream").body(bytes.into())
        };
        self.send_as(Method::PUT, path, octets).await
    }

    async fn send_as(
        &mut self,
        method: Method,
        path: &str,
        body: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Answer {
        let Some(address) = self.ground.addresses.choose(&mut self.random) else {
            sleep(Duration::from_millis(200)).await;
            return None;
        };
        let request = self.http.request(method, format!("{address}{path}"));
        let request = request.header("OpenStack-API-Version", "volume 3.71");
        let answer = body(request).send().await.ok()?;
        let status = answer.status();
        let text = answer.text().await.ok()?;
        Some((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    fn add(&mut self, thing: Thing) -> usize {
        self.things.push(thing);
        self.things.len() - 1
    }

    /// One of its things of a kind, by its place.
    fn any(&mut self, kind: Kind) -> Option<usize> {
        let fits = |thing: &Thing| thing.kind == kind && thing.fate == Fate::Kept;
        let all: Vec<usize> = (0..self.things.len()).filter(|at| fits(&self.things[*at])).collect();
        all.choose(&mut self.random).copied()
    }

    /// One that nothing is being done with.
    async fn choose(&mut self, kind: Kind) -> Option<usize> {
        let at = self.any(kind)?;
        (self.status(at).await? == kind.whole()).then_some(at)
    }

    async fn row(&mut self, at: usize) -> Option<Value> {
        let (kind, path) = (self.things[at].kind, self.things[at].path());
        match self.send(Method::GET, &path, None).await? {
            (StatusCode::OK, body) => Some(kind.of(&body).clone()),
            (StatusCode::NOT_FOUND, _) => {
                let thing = &mut self.things[at];
                if !thing.may_vanish {
                    self.findings.push(format!("it is gone, and nobody deleted it: {thing:?}"));
                }
                thing.fate = Fate::MayBeDeleted;
                None
            }
            _ => None,
        }
    }

    async fn status(&mut self, at: usize) -> Option<String> {
        let row = self.row(at).await?;
        let mut status = row["status"].as_str()?.to_owned();
        // Its status does not say that it is being copied.
        if let Some(moving @ ("starting" | "migrating" | "completing")) = row["migration_status"].as_str() {
            status = moving.to_owned();
        }
        let thing = &mut self.things[at];
        if status == thing.kind.whole() {
            thing.is_whole = true;
            thing.may_vanish = false;
            thing.may_break.is(false);
            thing.is_in(&row);
            if thing.kind == Kind::Volume {
                thing.is_like(&row);
            }
        }
        Some(status)
    }

    /// Waits a while until it is whole. `false`: it is not, or not yet.
    async fn settles(&mut self, at: usize) -> bool {
        let end = Instant::now() + SOON;
        while Instant::now() < end && self.things[at].fate == Fate::Kept {
            match self.status(at).await.as_deref() {
                Some(status) if status == self.things[at].kind.whole() => return true,
                Some(status) if status == "queued" || status.starts_with("error") => break,
                _ => sleep(Duration::from_millis(100)).await,
            }
        }
        false
    }

    /// Likewise after something that reads or writes its bytes until it is over: what is written to it meanwhile, or to
    /// what it is made from, nobody knows.
    async fn settles_or_is_doubtful(&mut self, at: usize) -> bool {
        let settled = self.settles(at).await;
        self.things[at].is_doubtful |= !settled;
        settled
    }

    async fn delete(&mut self, kind: Kind, what: &'static str) {
        let Some(at) = self.choose(kind).await else { return };
        let path = self.things[at].path();
        match self.ask(what, Method::DELETE, &path, None).await {
            Some((StatusCode::ACCEPTED | StatusCode::NO_CONTENT, _)) => self.things[at].fate = Fate::Deleted,
            Some(_) => {}
            None => self.things[at].fate = Fate::MayBeDeleted,
        }
    }

    /// Begins something that takes a while, and tells its job to stop.
    async fn cancel(&mut self) {
        let begun = match self.random.random_range(0..6) {
            0 => self.begin_create().await,
            1 => self.begin_retype().await,
            2 => self.begin_migrate().await,
            3 => self.begin_import().await,
            4 => self.begin_copy().await,
            _ => self.begin_volume_to_image().await,
        };
        let Some(at) = begun else { return };
        let path = format!("/pumice/v1/jobs?state=open&resource_id={}", self.things[at].id);
        if let Some((StatusCode::OK, body)) = self.send(Method::GET, &path, None).await {
            for job in body["jobs"].as_array().into_iter().flatten() {
                let id = job["id"].as_str().unwrap();
                let path = format!("/pumice/v1/jobs/{id}");
                let answer = self.ask("cancel", Method::DELETE, &path, None).await;
                if answer.is_some_and(|(status, _)| status == StatusCode::ACCEPTED) {
                    self.cancelled.push(id.to_owned());
                }
            }
        }
        self.settles_or_is_doubtful(at).await;
    }
}
