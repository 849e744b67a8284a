//! What users are told of what failed.

use pumice::db::{Message, MessageFilter, Page};
use pumice::model::{Action, Detail, Event, MessageId, ProjectId};
use serde_json::Value;

use super::{PROJECT, assert_refused, fault, id_of};
use crate::support::Site;

impl Site {
    fn unsaved_message(&self, project: &str, event: Event, resource: &str) -> Message {
        Message {
            id: MessageId::from(self.app().world.ids.random()),
            project_id: ProjectId(project.to_owned()),
            request_id: Some("req-1".to_owned()),
            resource_type: "VOLUME".to_owned(),
            resource_uuid: Some(resource.to_owned()),
            event_id: event.id("VOLUME"),
            message_level: "ERROR".to_owned(),
            created_at: self.app().world.now(),
        }
    }

    pub(super) async fn message(&self, project: &str, event: Event, resource: &str) -> String {
        let message = self.unsaved_message(project, event, resource);
        let id = message.id.to_string();
        let mut repository = self.app().database.begin().await.unwrap();
        repository.add_message(&message).await.unwrap();
        repository.commit().await.unwrap();
        id
    }
}

pub(super) const CREATE: Event = Event { action: Action::CreateVolume, detail: Detail::StoreCreate };
const EXTEND: Event = Event { action: Action::ExtendVolume, detail: Detail::StoreExtend };

#[tokio::test]
async fn a_message_is_shown_key_by_key() {
    let site = Site::with(|config| config.volumes.message_ttl = pumice::config::Seconds(86_400)).await;
    let id = site.message(PROJECT, CREATE, "v").await;
    let shown = site.get(&format!("/v3/messages/{id}")).await.expect(200);
    let time = shown.json()["message"]["created_at"].as_str().unwrap().to_owned();
    let later = time.replace("2026-11-22", "2026-11-23");
    let one = format!(
        concat!(
            r#"{{"id":"{0}","event_id":"VOLUME_VOLUME_008_012","user_message":"create volume from backend storage:"#,
            r#"Driver failed to create the volume.","message_level":"ERROR","created_at":"{1}","guaranteed_until":"{2}","#,
            r#""request_id":"req-1","links":[{{"rel":"self","href":"#,
            r#""http://cloud.example:8080/volume/v3/messages/{0}"}},{{"rel":"bookmark","href":"#,
            r#""http://cloud.example:8080/volume/messages/{0}"}}],"resource_type":"VOLUME","resource_uuid":"v"}}"#
        ),
        id, time, later
    );
    assert_eq!(shown.text(), format!(r#"{{"message":{one}}}"#));
    assert_eq!(site.get("/v3/messages").await.expect(200).text(), format!(r#"{{"messages":[{one}]}}"#));
    for path in ["/v3/messages".to_owned(), format!("/v3/messages/{id}")] {
        let answer = site.volume("GET", &path).version(2).send().await.expect(404);
        assert_eq!(answer.text(), fault("itemNotFound", 404, "The resource could not be found."));
    }
    let path = format!("/v3/messages/{id}");
    assert_eq!(site.volume("DELETE", &path).version(3).send().await.expect(204).text(), "");
    let missing = site.get(&path).await.expect(404);
    assert_eq!(missing.text(), fault("itemNotFound", 404, &format!("Message {id} could not be found.")));
}

#[tokio::test]
async fn messages_are_filtered_sorted_and_paged_since_3_5() {
    let site = Site::new().await;
    let a = site.message(PROJECT, CREATE, "a").await;
    let b = site.message(PROJECT, EXTEND, "b").await;
    let (a, b) = (a.as_str(), b.as_str());
    let ids = |answer: Value| answer["messages"].as_array().unwrap().iter().map(id_of).collect::<Vec<_>>();
    let list = async |path: &str, version: u16| {
        ids(site.volume("GET", path).version(version).send().await.expect(200).json())
    };
    assert_eq!(list("/v3/messages", 71).await, [b, a]);
    assert_eq!(list("/v3/messages?sort=resource_uuid:asc", 71).await, [a, b]);
    assert_eq!(list("/v3/messages?resource_uuid=a", 71).await, [a]);
    assert_eq!(list("/v3/messages?event_id=VOLUME_VOLUME_007_010", 5).await, [b]);
    assert_eq!(list("/v3/messages?event_id~=_007_", 71).await, [b]);
    assert_eq!(list("/v3/messages?message_level=INFO", 71).await, Vec::<String>::new());
    // As Horizon asks.
    assert_eq!(list("/v3/messages?resource_type=volume&resource_uuid=a", 29).await, [a]);
    // Nobody looked at them before.
    assert_eq!(list("/v3/messages?resource_uuid=a&limit=x", 4).await, [b, a]);
    let page = site.get("/v3/messages?limit=1").await.json();
    let next = page["messages_links"][0]["href"].as_str().unwrap();
    assert_eq!(next, format!("http://cloud.example:8080/volume/v3/messages?limit=1&marker={b}"));
    assert_eq!(list(&format!("/v3/messages?limit=1&marker={b}"), 71).await, [a]);
    let answer = site.get("/v3/messages?sort=user_message").await;
    assert_refused(&answer, "Invalid input received: Invalid sort key");
}

#[tokio::test]
async fn whoever_follows_the_links_finds_all_messages() {
    let site = Site::with(|config| config.volumes.osapi_max_limit = 2).await;
    let mut ids = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        ids.insert(0, site.message(PROJECT, CREATE, name).await);
    }
    for version in [3, 4, 5, 71] {
        let (mut found, mut next) = (Vec::new(), Some("/v3/messages".to_owned()));
        while let Some(path) = next.filter(|_| found.len() < 6) {
            let page = site.volume("GET", &path).version(version).send().await.expect(200).json();
            found.extend(page["messages"].as_array().unwrap().iter().map(id_of));
            let href = page["messages_links"][0]["href"].as_str();
            next = href.map(|href| href.strip_prefix("http://cloud.example:8080/volume").unwrap().to_owned());
        }
        assert_eq!(found, ids, "3.{version}");
    }
}

#[tokio::test]
async fn messages_are_forgotten() {
    let site = Site::with(|config| config.volumes.message_ttl = pumice::config::Seconds(1000)).await;
    let old = site.message(PROJECT, CREATE, "a").await;
    site.pass(800);
    let young = site.message(PROJECT, CREATE, "b").await;
    site.pass(400);
    site.service.sweeper().forget().await.unwrap();
    site.get(&format!("/v3/messages/{old}")).await.expect(404);
    site.get(&format!("/v3/messages/{young}")).await.expect(200);
}

/// More of them than one transaction takes.
#[tokio::test]
async fn very_many_messages_are_forgotten() {
    let site = Site::with(|config| config.volumes.message_ttl = pumice::config::Seconds(1000)).await;
    let database = &site.app().database;
    let mut repository = database.begin().await.unwrap();
    for _ in 0..1_001 {
        repository.add_message(&site.unsaved_message(PROJECT, CREATE, "a")).await.unwrap();
    }
    repository.commit().await.unwrap();
    site.pass(1_200);
    site.service.sweeper().forget().await.unwrap();
    let mut repository = database.read().await.unwrap();
    let left = repository.messages(&MessageFilter::default(), &Page::default()).await.unwrap();
    assert!(left.is_empty());
}
