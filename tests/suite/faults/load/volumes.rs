//! Volumes: made, grown, written to, and taken back to what they were.

use bytes::Bytes;
use pumice::block::OpenMode;
use rand::{Rng, RngCore};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::super::model::{Fate, Front, Kind, MARK_AT, Thing, Told};
use super::super::store_of;
use super::{Client, SOON};

const GIB: u64 = 1 << 30;

impl Client {
    pub(super) async fn create_empty(&mut self) {
        if let Some(at) = self.create("create empty", json!({}), &Thing::new(Kind::Volume, "")).await {
            self.settles(at).await;
        }
    }

    /// The image that is always there, or one of its own.
    async fn image(&mut self) -> Thing {
        let own = if self.random.random_bool(0.5) { self.choose(Kind::Image).await } else { None };
        own.map_or_else(|| self.base(), |at| self.things[at].clone())
    }

    fn base(&self) -> Thing {
        let mut base = Thing::new(Kind::Image, &self.ground.base);
        base.front.is(Front::Pattern(0));
        base
    }

    pub(super) async fn create_from_image(&mut self) {
        let image = self.image().await;
        let own = self.things.iter().position(|thing| thing.id == image.id);
        let size = if let Some(at) = own { self.size(at).await } else { 1 };
        let source = json!({"imageRef": image.id, "size": size});
        if let Some(at) = self.create("create from image", source, &image).await {
            self.settles(at).await;
        }
    }

    pub(super) async fn begin_create(&mut self) -> Option<usize> {
        let base = self.base();
        self.create("create from image", json!({"imageRef": base.id}), &base).await
    }

    pub(super) async fn create_from(&mut self, kind: Kind, what: &'static str, key: &str) {
        let Some(at) = self.choose(kind).await else { return };
        let like = self.things[at].clone();
        // It may have been extended.
        let size = self.size(at).await;
        if let Some(at) = self.create(what, json!({key: like.id, "size": size}), &like).await {
            self.settles_or_is_doubtful(at).await;
        }
    }

    /// What is made has the bytes of `like`, or is in error.
    async fn create(&mut self, what: &'static str, source: Value, like: &Thing) -> Option<usize> {
        let mut volume = json!({"size": 1, "name": format!("client-{}", self.number)});
        volume.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        let body = json!({ "volume": volume });
        match self.ask(what, Method::POST, "/volume/v3/volumes", Some(body)).await? {
            (StatusCode::ACCEPTED, body) => {
                let mut volume = like.copied_to(Kind::Volume, body["volume"]["id"].as_str().unwrap());
                volume.size = body["volume"]["size"].as_u64().map(Told::new);
                Some(self.add(volume))
            }
            _ => None,
        }
    }

    /// In GiB.
    pub(super) async fn size(&mut self, at: usize) -> u64 {
        let row = self.row(at).await.unwrap_or_default();
        let size = row["size"].as_u64().unwrap_or(1);
        if self.things[at].kind == Kind::Image { size.div_ceil(GIB) } else { size }
    }

    /// An action on a volume; whether it was accepted. `None`: nobody knows.
    pub(super) async fn action(&mut self, what: &'static str, at: usize, action: Value) -> Option<bool> {
        let path = format!("{}/action", self.things[at].path());
        let answer = self.ask(what, Method::POST, &path, Some(action)).await;
        answer.map(|(status, _)| status == StatusCode::ACCEPTED)
    }

    /// Likewise one that leaves the volume in error when it fails. Whether it was accepted and seen to its end; `None`: it
    /// was refused.
    async fn risk(&mut self, what: &'static str, at: usize, action: Value) -> Option<bool> {
        match self.action(what, at, action).await {
            Some(false) => None,
            Some(true) => {
                self.things[at].may_break.is(true);
                Some(self.settles(at).await)
            }
            None => {
                self.things[at].may_break.may_be(true);
                Some(false)
            }
        }
    }

    pub(super) async fn extend(&mut self) {
        let Some(at) = self.choose(Kind::Volume).await else { return };
        let size = self.size(at).await + 1;
        let is_done = self.risk("extend", at, json!({"os-extend": {"new_size": size}})).await;
        match (is_done, &mut self.things[at].size) {
            (Some(true), Some(told)) => told.is(size),
            (Some(false), Some(told)) => told.may_be(size),
            _ => {}
        }
    }

    pub(super) async fn revert(&mut self) {
        let Some(at) = self.choose(Kind::Snapshot).await else { return };
        let snapshot = self.things[at].clone();
        let of = self.things.iter().position(|thing| Some(&thing.id) == snapshot.volume.as_ref());
        let Some(of) = of.filter(|of| self.things[*of].fate == Fate::Kept) else { return };
        let action = json!({"revert": {"snapshot_id": snapshot.id}});
        if let Some(is_done) = self.risk("revert", of, action).await {
            self.has_bytes_of(of, &snapshot, is_done);
        }
    }

    /// The bytes of another image.
    pub(super) async fn reimage(&mut self) {
        let Some(at) = self.choose(Kind::Volume).await else { return };
        let image = self.image().await;
        let action = json!({"os-reimage": {"image_id": image.id}});
        if let Some(is_done) = self.risk("reimage", at, action).await {
            self.has_bytes_of(at, &image, is_done);
        }
    }

    /// All of them: behind those of an image there is nothing.
    fn has_bytes_of(&mut self, at: usize, other: &Thing, is_done: bool) {
        let volume = &mut self.things[at];
        if is_done {
            volume.front.is_like(&other.front);
            volume.mark.is_like(&other.mark);
        } else {
            volume.front.may_be_like(&other.front);
            volume.mark.may_be_like(&other.mark);
        }
        volume.is_doubtful |= other.is_doubtful;
    }

    /// As an instance would.
    pub(super) async fn write(&mut self) {
        let Some(at) = self.choose(Kind::Volume).await else { return };
        self.write_to(at).await;
    }

    pub(super) async fn write_to(&mut self, at: usize) {
        if self.things[at].is_doubtful {
            return;
        }
        let mark = self.random.next_u64();
        let Some(row) = self.row(at).await else { return };
        let (store, name) = (store_of(&self.ground.stores, &row), self.things[at].name());
        let write = async {
            let image = store.open(&name, OpenMode::ReadWrite).await?;
            let written = image.write(MARK_AT, Bytes::copy_from_slice(&mark.to_le_bytes())).await;
            let flushed = image.flush().await;
            image.close().await?;
            written.and(flushed)
        };
        let outcome = timeout(SOON * 4, write).await;
        let is_written = matches!(outcome, Ok(Ok(())));
        if is_written {
            self.things[at].mark.is(mark);
        } else {
            // The cluster is away, or full.
            self.things[at].mark.may_be(mark);
        }
        self.count("write", if is_written { "done" } else { "not known" });
    }
}
