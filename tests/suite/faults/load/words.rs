//! Short things that are said of something: metadata, properties, tags, members.

use rand::Rng;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::super::model::{Kind, Word};
use super::{Answer, Client};

const PATCH: &str = "application/openstack-images-v2.1-json-patch";

impl Client {
    /// One of a few names, and what is to be said: the next number, or nothing any more.
    fn think(&mut self) -> (String, Option<String>) {
        let name = format!("word-{}", self.random.random_range(0..3));
        let value = self.random.random_bool(0.75).then(|| self.random.random::<u64>().to_string());
        (name, value)
    }

    /// What was answered to saying it. That nothing is there to be taken away is as good as taken away.
    fn remember(&mut self, at: usize, word: Word, name: &str, value: Option<String>, answer: &Answer) {
        let is_gone = value.is_none();
        let told = self.things[at].word(word, name);
        match answer {
            None => told.may_be(value),
            Some((status, _)) if status.is_success() => told.is(value),
            Some((StatusCode::NOT_FOUND, _)) if is_gone && told.agrees(&None) => told.is(None),
            Some(_) => {}
        }
    }

    pub(super) async fn say_of(&mut self, kind: Kind, what: &'static str) {
        let Some(at) = self.any(kind) else { return };
        let (name, value) = self.think();
        let path = format!("{}/metadata/{name}", self.things[at].path());
        let answer = match &value {
            Some(value) => self.ask(what, Method::PUT, &path, Some(json!({"meta": {&name: value}}))).await,
            None => self.ask(what, Method::DELETE, &path, None).await,
        };
        self.remember(at, Word::Metadata, &name, value, &answer);
    }

    pub(super) async fn patch_image(&mut self) {
        let Some(at) = self.any(Kind::Image) else { return };
        let (name, value) = self.think();
        let change = match &value {
            Some(value) => json!([{"op": "add", "path": format!("/{name}"), "value": value}]),
            None => json!([{"op": "remove", "path": format!("/{name}")}]),
        };
        let path = self.things[at].path();
        let body = |request: RequestBuilder| request.header("Content-Type", PATCH).body(change.to_string());
        let answer = self.send_as(Method::PATCH, &path, body).await;
        let answer = self.note("patch image", answer).await;
        // Of what is not there nothing can be removed.
        let answer = answer.map(|(status, body)| match status {
            StatusCode::CONFLICT if value.is_none() => (StatusCode::NOT_FOUND, body),
            other => (other, body),
        });
        self.remember(at, Word::Property, &name, value, &answer);
    }

    pub(super) async fn tag_image(&mut self) {
        let Some(at) = self.any(Kind::Image) else { return };
        let (name, value) = self.think();
        let value = value.map(|_| name.clone());
        let method = if value.is_some() { Method::PUT } else { Method::DELETE };
        let path = format!("{}/tags/{name}", self.things[at].path());
        let answer = self.ask("tag image", method, &path, None).await;
        self.remember(at, Word::Tag, &name, value, &answer);
    }

    /// A member's word is what it says of the image: `pending` until it is asked.
    pub(super) async fn share_image(&mut self) {
        let Some(at) = self.any(Kind::Image) else { return };
        let (name, value) = self.think();
        let path = format!("{}/members", self.things[at].path());
        let (value, answer): (Option<String>, Answer) = if value.is_some() {
            let body: Value = json!({ "member": name });
            (Some("pending".to_owned()), self.ask("add member", Method::POST, &path, Some(body)).await)
        } else {
            let path = format!("{path}/{name}");
            (None, self.ask("remove member", Method::DELETE, &path, None).await)
        };
        self.remember(at, Word::Member, &name, value, &answer);
    }
}
