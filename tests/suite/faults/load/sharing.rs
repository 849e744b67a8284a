//! Volumes are handed over, and attached for a moment.

use rand::Rng;
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::super::model::Kind;
use super::Client;

impl Client {
    pub(super) async fn transfer(&mut self) {
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

    pub(super) async fn attach(&mut self) {
        let Some(at) = self.choose(Kind::Volume).await else { return };
        let body = json!({"attachment": {"volume_uuid": self.things[at].id}});
        let answer = self.ask("attach", Method::POST, "/volume/v3/attachments", Some(body)).await;
        if let Some((StatusCode::OK, body)) = answer {
            let path = format!("/volume/v3/attachments/{}", body["attachment"]["id"].as_str().unwrap());
            self.ask("detach", Method::DELETE, &path, None).await;
        }
    }
}
