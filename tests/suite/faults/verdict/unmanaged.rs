//! What the service was told to forget: it is on the pool, and can be taken back.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::super::load::WAS;
use super::super::model::{Fate, Kind, Thing};
use super::{SOON, Verdict};

impl Verdict<'_> {
    /// Answers what there is afterwards.
    pub(super) async fn take_back(&mut self, things: &[Thing]) -> Vec<Thing> {
        let mut all = things.to_vec();
        // What could not be managed has its own name again, and its row stands for nothing.
        let unmanage = Some(json!({"os-unmanage": {}}));
        let on_pools = self.on_pools().await;
        for kind in [Kind::Volume, Kind::Snapshot] {
            for row in self.rows(kind).await {
                // The API does not say what went wrong with it, and as a volume it may have come to harm later.
                let is_void = row["status"] == "error"
                    && row["metadata"][WAS].is_string()
                    && !on_pools.contains(&format!("volume-{}", row["id"].as_str().unwrap()));
                if is_void {
                    let path = format!("{}/{}/action", kind.path(), row["id"].as_str().unwrap());
                    let (status, body) = self.server.send(Method::POST, &path, unmanage.clone()).await;
                    if status != StatusCode::ACCEPTED {
                        self.findings.push(format!("it cannot be forgotten: {body} {row:#}"));
                    }
                    all.retain(|thing| row["id"] != thing.id);
                }
            }
        }
        self.server.settle().await;
        // A snapshot is taken back as one of a volume that is there, and that says meanwhile that it is whole.
        let mut broken = Vec::new();
        for kind in [Kind::Volume, Kind::Snapshot] {
            let known = all.clone();
            for thing in known.iter().filter(|thing| thing.kind == kind && thing.fate == Fate::GivenUp) {
                all.extend(self.take_back_one(thing, &known, &mut broken).await);
            }
            self.server.settle().await;
        }
        for volume in &broken {
            self.reset(volume, "error").await;
        }
        all
    }

    async fn on_pools(&self) -> HashSet<String> {
        let mut names = HashSet::new();
        for backend in self.stores.volumes.iter() {
            names.extend(backend.store.list().await.unwrap());
        }
        names
    }

    /// `None`: its client knows what became of it, or it is lost.
    async fn take_back_one(
        &mut self,
        thing: &Thing,
        known: &[Thing],
        broken: &mut Vec<String>,
    ) -> Option<Thing> {
        let rows = self.rows(thing.kind).await;
        if rows.iter().any(|row| row["id"] == thing.id) {
            // It was never forgotten.
            let mut kept = thing.clone();
            kept.fate = Fate::Kept;
            kept.may_break.may_be(true);
            return Some(kept);
        }
        if known.iter().any(|other| other.was.as_ref() == Some(&thing.id)) {
            return None;
        }
        let found = match rows.iter().find(|row| row["metadata"][WAS] == thing.id) {
            Some(row) => row["id"].as_str().unwrap().to_owned(),
            None => self.manage(thing, broken).await?,
        };
        let mut found = thing.copied_to(thing.kind, &found);
        found.volume.clone_from(&thing.volume);
        found.was = Some(thing.id.clone());
        found.is_whole = true;
        Some(found)
    }

    async fn manage(&mut self, thing: &Thing, broken: &mut Vec<String>) -> Option<String> {
        let reference = json!({"source-name": thing.name()});
        let (path, body) = match thing.kind {
            Kind::Snapshot => {
                let volume = self.today(thing.volume.clone().unwrap()).await;
                // Nothing else is done with it meanwhile.
                self.end_transfers().await;
                let path = format!("{}/{volume}", Kind::Volume.path());
                let (_, row) = self.server.send(Method::GET, &path, None).await;
                self.detach(&row["volume"]).await;
                if row["volume"]["status"] == "error" {
                    self.reset(&volume, "available").await;
                    broken.push(volume.clone());
                }
                let wanted = json!({"volume_id": volume, "ref": reference});
                ("/volume/v3/os-snapshot-manage", json!({ "snapshot": wanted }))
            }
            _ => {
                let wanted = json!({"host": thing.host, "ref": reference});
                ("/volume/v3/os-volume-manage", json!({ "volume": wanted }))
            }
        };
        // The cluster has only just come back: nobody has reported of the place yet, and somebody who was killed counts
        // as a user of the image.
        let end = Instant::now() + SOON;
        let (status, body) = loop {
            let answer = self.server.send(Method::POST, path, Some(body.clone())).await;
            let said = answer.1.to_string();
            let is_early = ["Service is unavailable", "in use"].iter().any(|why| said.contains(why));
            if !(is_early || answer.0 == StatusCode::SERVICE_UNAVAILABLE) || Instant::now() > end {
                break answer;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        if status == StatusCode::ACCEPTED {
            return Some(thing.kind.of(&body)["id"].as_str().unwrap().to_owned());
        }
        self.findings.push(format!("it was given up, and cannot be taken back: {thing:?} {body}"));
        None
    }

    /// The id of what a volume is by now, which may itself have been given up and taken back.
    async fn today(&self, mut id: String) -> String {
        let rows = self.rows(Kind::Volume).await;
        while let Some(next) = rows.iter().find(|row| row["metadata"][WAS] == id) {
            id = next["id"].as_str().unwrap().to_owned();
        }
        id
    }
}
