//! Images: how bytes come to them, and to and from their stores.

use rand::Rng;
use rand::seq::IndexedRandom;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::super::model::{Fate, Front, Kind, PATTERNS, Thing};
use super::{Client, SOON, STORES};

impl Client {
    /// It has no bytes yet; these are to come.
    async fn create_image(&mut self) -> Option<(usize, u8)> {
        let body = json!({"name": "image", "disk_format": "raw", "container_format": "bare"});
        let pattern = self.random.random_range(0..PATTERNS);
        match self.ask("create image", Method::POST, "/image/v2/images", Some(body)).await? {
            (StatusCode::CREATED, body) => {
                let mut image = Thing::new(Kind::Image, body["id"].as_str().unwrap());
                image.front.is(Front::Pattern(pattern));
                Some((self.add(image), pattern))
            }
            _ => None,
        }
    }

    fn store(&mut self) -> &'static str {
        STORES.choose(&mut self.random).unwrap()
    }

    fn may_be_in(&self, at: usize, store: &str) -> bool {
        self.things[at].stores.get(store).is_some_and(|told| told.agrees(&true))
    }

    pub(super) async fn upload(&mut self) {
        let Some((at, pattern)) = self.create_image().await else { return };
        let path = format!("{}/file", self.things[at].path());
        let (store, bytes) = (self.store(), self.ground.patterns.get(pattern).bytes.clone());
        let to = |request: reqwest::RequestBuilder| {
            let request = request.header("Content-Type", "application/octet-stream");
            request.header("X-Image-Meta-Store", store).body(bytes)
        };
        let answer = self.send_as(Method::PUT, &path, to).await;
        if let Some((StatusCode::NO_CONTENT, _)) = self.note("upload", answer).await {
            self.things[at].is_whole = true;
            self.things[at].store(store).is(true);
        }
    }

    /// Most are imported at once, and some in the end.
    pub(super) async fn stage(&mut self) {
        let Some((at, pattern)) = self.create_image().await else { return };
        let path = format!("{}/stage", self.things[at].path());
        let bytes = self.ground.patterns.get(pattern).bytes.clone();
        let answer = self.send_bytes(&path, bytes).await;
        match self.note("stage", answer).await {
            Some((StatusCode::NO_CONTENT, _)) => self.things[at].is_staged.is(true),
            Some(_) => return,
            None => return self.things[at].is_staged.may_be(true),
        }
        if self.random.random_bool(0.8) {
            let store = self.store();
            let import = json!({"method": {"name": "glance-direct"}, "stores": [store]});
            self.bring("import what was staged", at, import).await;
        }
    }

    pub(super) async fn import(&mut self) {
        if let Some(at) = self.begin_import().await {
            self.settles(at).await;
        }
    }

    pub(super) async fn begin_import(&mut self) -> Option<usize> {
        let (at, pattern) = self.create_image().await?;
        let store = self.store();
        let import = json!({"method": self.web_download(pattern), "stores": [store]});
        self.ask_for_import("import", at, import).await.then_some(at)
    }

    pub(super) async fn import_to_both(&mut self) {
        let Some((at, pattern)) = self.create_image().await else { return };
        let must = self.random.random_bool(0.5);
        let method = self.web_download(pattern);
        let import = json!({"method": method, "all_stores_must_succeed": must, "stores": STORES});
        self.bring("import to both stores", at, import).await;
        let thing = &self.things[at];
        let is_in_one = !STORES.iter().all(|store| thing.stores.contains_key(*store));
        if must && thing.is_whole && is_in_one {
            self.findings.push(format!("an import to all stores succeeded, and came to one: {thing:?}"));
        }
    }

    fn web_download(&self, pattern: u8) -> Value {
        json!({"name": "web-download", "uri": format!("{}/{pattern}", self.ground.web)})
    }

    async fn bring(&mut self, what: &'static str, at: usize, import: Value) {
        if self.ask_for_import(what, at, import).await {
            self.settles(at).await;
        }
    }

    /// Whether it was accepted.
    async fn ask_for_import(&mut self, what: &'static str, at: usize, import: Value) -> bool {
        let path = format!("{}/import", self.things[at].path());
        match self.ask(what, Method::POST, &path, Some(import)).await {
            Some((StatusCode::ACCEPTED, _)) => {
                self.things[at].is_staged.is(false);
                true
            }
            Some(_) => false,
            None => {
                self.things[at].is_staged.may_be(false);
                false
            }
        }
    }

    /// Its bytes stay on a web server.
    pub(super) async fn add_location(&mut self) {
        let Some((at, pattern)) = self.create_image().await else { return };
        let path = format!("{}/locations", self.things[at].path());
        let digest = &self.ground.patterns.get(pattern).sha512;
        let digest = json!({"os_hash_algo": "sha512", "os_hash_value": digest});
        let body = json!({"url": format!("{}/{pattern}", self.ground.web), "validation_data": digest});
        let answer = self.ask("add location", Method::POST, &path, Some(body)).await;
        if answer.is_some_and(|(status, _)| status == StatusCode::ACCEPTED) {
            self.settles(at).await;
        }
    }

    pub(super) async fn copy(&mut self) {
        let Some(at) = self.begin_copy().await else { return };
        let end = Instant::now() + SOON;
        while Instant::now() < end {
            let Some(row) = self.row(at).await else { return };
            if row["os_glance_importing_to_stores"].as_str().unwrap_or_default().is_empty() {
                return self.things[at].is_in(&row);
            }
            sleep(std::time::Duration::from_millis(100)).await;
        }
    }

    pub(super) async fn begin_copy(&mut self) -> Option<usize> {
        let at = self.choose(Kind::Image).await?;
        let path = format!("{}/import", self.things[at].path());
        let lacking = STORES.into_iter().find(|store| !self.may_be_in(at, store));
        let store = lacking.unwrap_or_else(|| self.store());
        let body = json!({"method": {"name": "copy-image"}, "stores": [store]});
        let answer = self.ask("copy image", Method::POST, &path, Some(body)).await;
        // The row says when it is there.
        if answer.as_ref().is_none_or(|(status, _)| *status == StatusCode::ACCEPTED) {
            self.things[at].store(store).may_be(true);
        }
        answer.is_some_and(|(status, _)| status == StatusCode::ACCEPTED).then_some(at)
    }

    /// Of those that are in both, if there are any: of others it is refused.
    pub(super) async fn delete_from_store(&mut self) {
        let is_in_both = |at: &usize| {
            let is_there = self.things[*at].fate == Fate::Kept;
            is_there && STORES.iter().all(|store| self.may_be_in(*at, store))
        };
        let in_both: Vec<usize> = (0..self.things.len()).filter(is_in_both).collect();
        let at = match in_both.choose(&mut self.random) {
            Some(at) => Some(*at),
            None => self.choose(Kind::Image).await,
        };
        let Some(at) = at else { return };
        let store = self.store();
        let path = format!("/image/v2/stores/{store}/{}", self.things[at].id);
        match self.ask("delete from store", Method::DELETE, &path, None).await {
            Some((StatusCode::NO_CONTENT, _)) => self.things[at].store(store).is(false),
            Some(_) => {}
            None => self.things[at].store(store).may_be(false),
        }
    }

    pub(super) async fn volume_to_image(&mut self) {
        if let Some(at) = self.begin_volume_to_image().await {
            self.settles_or_is_doubtful(at).await;
        }
    }

    pub(super) async fn begin_volume_to_image(&mut self) -> Option<usize> {
        let of = self.choose(Kind::Volume).await?;
        let volume = self.things[of].clone();
        let action = json!({"os-volume_upload_image": {"image_name": "of a volume", "disk_format": "raw",
            "container_format": "bare", "force": false}});
        let path = format!("{}/action", volume.path());
        match self.ask("upload to image", Method::POST, &path, Some(action)).await? {
            (StatusCode::ACCEPTED, body) => {
                let id = body["os-volume_upload_image"]["image_id"].as_str().unwrap();
                let mut image = volume.copied_to(Kind::Image, id);
                image.volume = Some(volume.id);
                image.may_vanish = true;
                Some(self.add(image))
            }
            _ => None,
        }
    }
}
