//! Snapshots, and what the service is told to forget and finds again on the pool.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::super::model::{Fate, Kind, Word};
use super::{Client, SOON};

/// What is found on the pool says what it was.
pub const WAS: &str = "was";

impl Client {
    pub(super) async fn snapshot(&mut self) {
        let Some(at) = self.choose(Kind::Volume).await else { return };
        let of = self.things[at].clone();
        let body = json!({"snapshot": {"volume_id": of.id}});
        let answer = self.ask("snapshot", Method::POST, "/volume/v3/snapshots", Some(body)).await;
        if let Some((StatusCode::ACCEPTED, body)) = answer {
            let mut snapshot = of.copied_to(Kind::Snapshot, body["snapshot"]["id"].as_str().unwrap());
            snapshot.volume = Some(of.id);
            let at = self.add(snapshot);
            // What is written to the volume before it is there, is in it.
            self.settles_or_is_doubtful(at).await;
        }
    }

    /// The service forgets a volume, and is told to look at what is on the pool.
    pub(super) async fn unmanage(&mut self) {
        let Some(at) = self.choose(Kind::Volume).await else { return };
        let Some(row) = self.row(at).await else { return };
        let host = row["os-vol-host-attr:host"].as_str().map(str::to_owned);
        match self.action("unmanage", at, json!({"os-unmanage": {}})).await {
            Some(false) => return,
            _ => self.things[at].fate = Fate::GivenUp,
        }
        self.things[at].host.clone_from(&host);
        if self.is_forgotten(at).await {
            let path = "/volume/v3/manageable_volumes";
            let wanted = json!({"host": host, "ref": {"source-name": self.things[at].name()}});
            self.manage("manage", path, wanted, at).await;
        }
    }

    pub(super) async fn unmanage_snapshot(&mut self) {
        let Some(at) = self.choose(Kind::Snapshot).await else { return };
        match self.action("unmanage snapshot", at, json!({"os-unmanage": {}})).await {
            Some(false) => return,
            _ => self.things[at].fate = Fate::GivenUp,
        }
        if self.is_forgotten(at).await {
            let path = "/volume/v3/manageable_snapshots";
            let snapshot = &self.things[at];
            let wanted = json!({"volume_id": snapshot.volume, "ref": {"source-name": snapshot.name()}});
            self.manage("manage snapshot", path, wanted, at).await;
        }
    }

    async fn is_forgotten(&mut self, at: usize) -> bool {
        let path = self.things[at].path();
        let end = Instant::now() + SOON;
        while Instant::now() < end {
            match self.send(Method::GET, &path, None).await {
                Some((StatusCode::NOT_FOUND, _)) => return true,
                _ => sleep(std::time::Duration::from_millis(100)).await,
            }
        }
        false
    }

    async fn manage(&mut self, what: &'static str, path: &str, wanted: Value, at: usize) {
        let was = self.things[at].clone();
        let mut wanted = wanted;
        wanted["metadata"] = json!({WAS: was.id});
        let body = match was.kind {
            Kind::Snapshot => json!({ "snapshot": wanted }),
            _ => json!({ "volume": wanted }),
        };
        let answer = self.ask(what, Method::POST, path, Some(body)).await;
        if let Some((StatusCode::ACCEPTED, body)) = answer {
            let id = was.kind.of(&body)["id"].as_str().unwrap();
            let mut found = was.copied_to(was.kind, id);
            found.volume = was.volume;
            found.word(Word::Metadata, WAS).is(Some(was.id.clone()));
            found.was = Some(was.id);
            let at = self.add(found);
            self.settles(at).await;
        }
    }
}
