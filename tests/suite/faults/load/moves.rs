//! Volumes go to another place, or get another type: those that nobody has, and those that an instance has.

use rand::Rng;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::super::model::Kind;
use super::{Client, OTHER_TYPE, SOON};

impl Client {
    pub(super) async fn retype(&mut self) {
        if let Some(at) = self.begin_retype().await {
            self.settles_or_is_doubtful(at).await;
        }
    }

    pub(super) async fn begin_retype(&mut self) -> Option<usize> {
        let at = self.choose(Kind::Volume).await?;
        self.ask_to_retype("retype", at).await.then_some(at)
    }

    pub(super) async fn migrate(&mut self) {
        if let Some(at) = self.begin_migrate().await {
            self.settles_or_is_doubtful(at).await;
        }
    }

    pub(super) async fn begin_migrate(&mut self) -> Option<usize> {
        let at = self.choose(Kind::Volume).await?;
        self.ask_to_migrate("migrate", at).await.then_some(at)
    }

    /// Whether it was accepted. Nothing may be written while it is copied: when that is, only an answer says.
    async fn ask_to_retype(&mut self, what: &'static str, at: usize) -> bool {
        let to = if self.random.random_bool(0.5) { OTHER_TYPE } else { "__DEFAULT__" };
        let action = json!({"os-retype": {"new_type": to, "migration_policy": "on-demand"}});
        self.ask_to_move(what, at, action).await
    }

    async fn ask_to_move(&mut self, what: &'static str, at: usize, action: Value) -> bool {
        let accepted = self.action(what, at, action).await;
        let thing = &mut self.things[at];
        thing.is_doubtful |= accepted.is_none();
        thing.may_move |= accepted.is_none();
        if accepted != Some(false) {
            thing.place = None;
        }
        accepted == Some(true)
    }

    async fn ask_to_migrate(&mut self, what: &'static str, at: usize) -> bool {
        let Some(row) = self.row(at).await else { return false };
        let other = self.ground.hosts.iter().find(|host| row["os-vol-host-attr:host"] != **host);
        let Some(host) = other.cloned() else { return false };
        let action =
            json!({"os-migrate_volume": {"host": host, "lock_volume": self.random.random_bool(0.5)}});
        self.ask_to_move(what, at, action).await
    }

    /// An instance gets a volume, Nova moves it from place to place, and the instance lets go.
    pub(super) async fn move_in_use(&mut self) {
        let Some(at) = self.choose(Kind::Volume).await else { return };
        let server = Uuid::from_u128(self.random.random());
        let connector = json!({"host": "compute-1", "mountpoint": "/dev/vdb"});
        let body = json!({"attachment": {"volume_uuid": self.things[at].id, "instance_uuid": server,
            "connector": connector}});
        let answer = self.ask("attach to server", Method::POST, "/volume/v3/attachments", Some(body)).await;
        let Some((StatusCode::OK, body)) = answer else { return };
        let path = format!("/volume/v3/attachments/{}/action", body["attachment"]["id"].as_str().unwrap());
        let complete = json!({"os-complete": null});
        if self.ask("complete attachment", Method::POST, &path, Some(complete)).await.is_none() {
            return;
        }
        self.write_to(at).await;
        let moves = match self.random.random_bool(0.5) {
            true => self.ask_to_migrate("migrate in use", at).await,
            false => self.ask_to_retype("retype in use", at).await,
        };
        if moves && !self.is_in_use(at).await {
            self.things[at].is_doubtful = true;
            return;
        }
        self.write_to(at).await;
        let Some(row) = self.row(at).await else { return };
        for attachment in row["attachments"].as_array().into_iter().flatten() {
            let path = format!("/volume/v3/attachments/{}", attachment["attachment_id"].as_str().unwrap());
            self.ask("detach from server", Method::DELETE, &path, None).await;
        }
    }

    /// Waits a while until its Nova has done with it.
    async fn is_in_use(&mut self, at: usize) -> bool {
        let end = Instant::now() + 2 * SOON;
        while Instant::now() < end {
            if self.status(at).await.as_deref() == Some("in-use") {
                return true;
            }
            sleep(std::time::Duration::from_millis(100)).await;
        }
        false
    }
}
