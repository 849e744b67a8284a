//! The API beside a published description of it: nothing of that is missing, and no answer looks otherwise, without a
//! reason.
//!
//! `published.json` holds, of each route that `published.txt` names, the statuses of its answers, and the shape of each
//! that has a body of JSON: with what is referred to in its place, and without words for readers.
//! `differences.txt` says where ours differ, and why.

use std::collections::{BTreeMap, BTreeSet};

use pumice::model::ImageId;
use serde_json::{Value, json};

use crate::policy::gate::{request, routes};
use crate::policy::stage::{ADMIN, Api, MEMBER, OURS, Player, Stage, THEIRS};
use crate::support::Answer;
use crate::wire::published::{anonymous, assert_explained, assert_served, differences};

#[test]
fn every_published_route_is_served_or_has_a_reason() {
    let published = include_str!("published.txt");
    assert_eq!(published.lines().filter(|line| !line.starts_with('#')).count(), 81);
    assert_served(published, &pumice::image_api::openapi().unwrap(), "/v2/");
}

/// Statuses and shapes.
type Published = BTreeMap<String, Value>;

/// How an answer differs from all that are published of its route.
fn beside(answer: &Answer, published: &Published) -> Vec<String> {
    let mut found = Vec::new();
    let status = answer.status.as_u16().to_string();
    if !published.contains_key(&status) {
        found.push(format!("answers {status}"));
    }
    let shapes: Vec<Value> = published.values().filter(|shape| !shape.is_null()).cloned().collect();
    let is_json = answer.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
    match (is_json, shapes.is_empty()) {
        (true, false) => found.extend(differences(&answer.json(), &shapes, 0)),
        (true, true) => found.push("has a body".to_owned()),
        (false, false) => found.push("has no body".to_owned()),
        (false, true) => {}
    }
    found
}

/// An image and a namespace with all that one can have: what the variables of paths stand for.
async fn whole(stage: &Stage, player: Player) -> BTreeMap<&'static str, String> {
    let call = |method: &str, path: &str| stage.call(Api::Image, player, method, path);
    let property = json!({
        "title": "P", "description": "what", "type": "array", "items": {"type": "string", "enum": ["a", "b"]},
        "minItems": 1, "maxItems": 2, "uniqueItems": true, "default": "a", "operators": ["<or>"],
    });
    let object =
        json!({"name": "o", "description": "what", "required": ["p"], "properties": {"p": property}});
    let namespace = json!({
        "namespace": "n", "display_name": "N", "description": "what", "visibility": "public", "protected": true,
        "objects": [object], "properties": {"p": property}, "tags": [{"name": "t"}],
        "resource_type_associations": [{"name": "r", "prefix": "r_", "properties_target": "image"}],
    });
    call("POST", "/v2/metadefs/namespaces").json(&namespace).send().await.expect(201);
    let image = json!({
        "name": "i", "disk_format": "raw", "container_format": "bare", "visibility": "shared", "tags": ["t"],
        "min_disk": 1, "min_ram": 64, "os_type": "linux",
    });
    let image = call("POST", "/v2/images").json(&image).send().await.expect(201).json();
    let id = image["id"].as_str().unwrap().to_owned();
    let file = format!("/v2/images/{id}/file");
    let upload = call("PUT", &file).header("content-type", "application/octet-stream").body("0123456789");
    upload.send().await.expect(204);
    let members = format!("/v2/images/{id}/members");
    call("POST", &members).json(&json!({"member": THEIRS})).send().await.expect(200);
    let task = stage.task(&ImageId::from(id.parse::<uuid::Uuid>().unwrap()), OURS).await;
    BTreeMap::from([
        ("{image_id}", id),
        ("{member_id}", THEIRS.to_owned()),
        ("{task_id}", task.to_string()),
        ("{namespace}", "n".to_owned()),
        ("{object}", "o".to_owned()),
        ("{property}", "p".to_owned()),
        ("{tag}", "t".to_owned()),
    ])
}

#[tokio::test]
async fn every_answer_is_as_published_or_has_a_reason() {
    let published: BTreeMap<String, Published> =
        serde_json::from_str(include_str!("published.json")).unwrap();
    let published: BTreeMap<String, Published> =
        published.into_iter().map(|(route, of)| (anonymous(&route), of)).collect();
    let stage = Stage::with(|config| config.images.show_multiple_locations = true).await;
    // Everything may be asked for by an administrator, and things of ours by a member.
    let ours = Player { project: OURS, ..ADMIN };
    let whole = whole(&stage, ours).await;
    let mut found = BTreeSet::new();
    let mut silent: BTreeSet<&String> = published.keys().collect();
    for route in routes().into_iter().filter(|route| matches!(route.api, Api::Image)) {
        let name = anonymous(&format!("{} {}", route.method, route.path));
        let Some(published) = published.get(&name) else { continue };
        let mut answers = Vec::new();
        for player in [ours, MEMBER] {
            answers.push(request(&stage, &route, player).await.send().await);
        }
        if route.method == "GET" {
            let path = whole.iter().fold(route.path.clone(), |path, (name, value)| path.replace(name, value));
            let get = || stage.call(Api::Image, ours, "GET", &path);
            answers.push(get().send().await);
            if path.ends_with("/file") {
                answers.push(get().header("range", "bytes=2-3").send().await);
            }
        }
        for answer in answers.iter().filter(|answer| answer.status.is_success()) {
            silent.remove(&name);
            let differences = beside(answer, published);
            found.extend(differences.iter().map(|of| format!("{name} {}", of.trim_start())));
        }
    }
    found.extend(silent.iter().map(|route| format!("{route} tells nothing")));
    assert_explained(&found, include_str!("differences.txt"));
}
