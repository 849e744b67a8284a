//! The documents in `openapi/` are what the code says, and what it does.

pub mod answers;
mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pumice::commands::openapi::documents;
use pumice::{image_api, pumice_api, volume_api};
use serde_json::{Value, json};

use crate::policy::gate::{call, newest, prepare, request, routes};
use crate::policy::stage::{ADMIN, Api, MEMBER, OURS, Player, Stage};
use schema::{flaw, resolved};

#[test]
fn the_documents_are_those_of_the_code() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi");
    for (name, text) in documents().unwrap() {
        let found = std::fs::read_to_string(folder.join(name)).unwrap();
        assert!(found == text, "openapi/{name} is not what the code says: run `make openapi`");
    }
}

fn document(api: Api) -> Value {
    let document = match api {
        Api::Image => image_api::openapi(),
        Api::Volume => volume_api::openapi(),
        Api::Pumice => pumice_api::openapi(),
    };
    document.unwrap()
}

fn parsed() -> Vec<(&'static str, Value)> {
    let documents = documents().unwrap().into_iter();
    documents.map(|(name, text)| (name, serde_json::from_str(&text).unwrap())).collect()
}

/// Method, path and operation.
fn operations(document: &Value) -> Vec<(String, &String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        item.as_object()
            .unwrap()
            .iter()
            .map(move |(method, operation)| (method.to_uppercase(), path, operation))
    });
    operations.collect()
}

fn operation<'a>(document: &'a Value, method: &str, path: &str) -> &'a Value {
    &document["paths"][path][method.to_lowercase()]
}

/// What an operation says of a status.
fn response<'a>(document: &'a Value, operation: &'a Value, status: u16) -> Option<&'a Value> {
    let response = operation["responses"].get(status.to_string())?;
    Some(response.get("$ref").map_or(response, |reference| resolved(document, reference)))
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn every_answer_has_a_text() {
    for (name, document) in parsed() {
        for (method, path, operation) in operations(&document) {
            for status in operation["responses"].as_object().unwrap().keys() {
                let said = response(&document, operation, status.parse().unwrap()).unwrap();
                let text = said["description"].as_str().unwrap_or_default();
                assert!(!text.is_empty(), "{name}: {method} {path}: {status}");
            }
        }
    }
}

#[test]
fn what_is_referred_to_is_there_and_what_requests_bring_is_referred_to() {
    for (name, document) in parsed() {
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for reference in &found {
            resolved(&document, &json!(reference));
        }
        for schema in document["components"]["schemas"].as_object().unwrap().keys() {
            let is_of_request = schema.ends_with("Request");
            let reference = format!("#/components/schemas/{schema}");
            assert!(!is_of_request || found.contains(&reference), "{name}: no operation takes {schema}");
        }
    }
}

#[test]
fn programs_can_be_made_from_the_documents() {
    for (name, document) in parsed() {
        let mut ids = BTreeSet::new();
        for (method, path, operation) in operations(&document) {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "{name}: there are two {id}");
            let responses = operation["responses"].as_object().unwrap();
            for status in ["431", "500", "503"] {
                assert!(responses.contains_key(status), "{name}: {method} {path} never answers {status}");
            }
            for (status, of_it) in responses {
                let response = response(&document, operation, status.parse().unwrap()).unwrap();
                let headers = &response["headers"];
                let place = format!("{name}: {method} {path} {status}");
                assert!(headers.get("X-Openstack-Request-Id").is_some(), "{place} has no id: {of_it}");
                assert!(status != "429" || headers.get("Retry-After").is_some(), "{place} until when");
                let has_text = response.get("content").is_some() || ["412", "431"].contains(&status.as_str());
                assert!(status.as_str() < "400" || has_text, "{place} has no body: {of_it}");
            }
        }
    }
}

/// Whether a schema says anything about what is in an object.
fn is_of_something(document: &Value, schema: &Value) -> bool {
    if let Some(reference) = schema.get("$ref") {
        return is_of_something(document, resolved(document, reference));
    }
    let words = ["properties", "additionalProperties", "items"];
    let choices = ["oneOf", "anyOf", "allOf"].iter().filter_map(|word| schema[*word].as_array()).flatten();
    words.iter().any(|word| schema.get(*word).is_some())
        || choices.into_iter().any(|choice| is_of_something(document, choice))
}

#[test]
fn every_body_has_a_schema() {
    for (name, document) in parsed() {
        for (method, path, operation) in operations(&document) {
            for (kind, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
                let is_json = kind.contains("json");
                let schema = &content["schema"];
                assert!(!is_json || is_of_something(&document, schema), "{name}: {method} {path}: {content}");
                if is_json && name.starts_with("block-storage") {
                    let stranger = json!({ "a stranger": {} });
                    assert!(flaw(&document, schema, &stranger).is_some(), "{method} {path} takes anything");
                }
            }
        }
    }
}

#[test]
fn every_good_answer_has_a_schema() {
    for (name, document) in parsed() {
        for (method, path, operation) in operations(&document) {
            // These are schemas themselves.
            if path.starts_with("/v2/schemas/") || path.contains("{namespace}/properties") {
                continue;
            }
            for (status, answer) in operation["responses"].as_object().unwrap() {
                let schema = &answer["content"]["application/json"]["schema"];
                let is_told = schema.is_null() || is_of_something(&document, schema);
                assert!(!status.starts_with('2') || is_told, "{name}: {method} {path} {status}: {schema}");
            }
        }
    }
}

/// What does not succeed here: other tests look at those that may.
const REFUSED: [&str; 14] = [
    "GET / 300",
    "GET /v2 302",
    // Never.
    "DELETE /v2/tasks/{task_id} 405",
    "GET / 300",
    "GET /v3 302",
    // The volumes lie in a directory.
    "PUT /v3/attachments/{attachment_id} 501",
    // A server has it.
    "DELETE /v3/attachments/{attachment_id} 409",
    // There are none to be had.
    "POST /v3/backups 501",
    // There are none.
    "PUT /v3/clusters/disable 404",
    "PUT /v3/clusters/enable 404",
    "GET /v3/clusters/{cluster_name} 404",
    // There is no other place.
    "PUT /v3/os-services/failover_host 400",
    // Nobody extends the volume.
    "POST /v3/volumes/{volume_id}/action os-extend_volume_completion 400",
    "POST /v3/volumes/{volume_id}/action os-initialize_connection 501",
];

/// Each is held against its document as it comes, here and in all other tests.
#[tokio::test]
async fn every_route_gives_an_answer_that_is_held_against_its_document() {
    let stage = Stage::new().await;
    let ours = Player { project: OURS, ..ADMIN };
    let mut refused = Vec::new();
    // Events have no end.
    for route in routes().into_iter().filter(|route| !route.path.ends_with("/events")) {
        let answer = newest(&route, request(&stage, &route, ours).await).send().await;
        if !answer.status.is_success() {
            refused.push(format!("{} {}", route.line(), answer.status.as_u16()));
        }
    }
    assert_eq!(refused, REFUSED);
}

#[tokio::test]
async fn bodies_that_are_taken_fit_their_schemas() {
    let stage = Stage::new().await;
    let volume = document(Api::Volume);
    for route in routes().into_iter().filter(|route| matches!(route.api, Api::Volume)) {
        let (_, wanted) = prepare(&stage, &route).await;
        let operation = operation(&volume, &route.method, &route.path);
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        match wanted {
            None => assert!(schema.is_null(), "{} is not asked with a body", route.line()),
            Some((_, body)) => {
                assert_eq!(flaw(&volume, schema, &body), None, "{}: {body}", route.line());
            }
        }
    }
}

#[test]
fn every_status_that_somebody_gets_is_described() {
    let all = [document(Api::Image), document(Api::Volume), document(Api::Pumice)];
    let table = include_str!("policy/table.txt");
    let mut missing = BTreeMap::new();
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let of_path = |document: &&Value| {
            document["paths"].get(path).is_some_and(|item| item.get(method.to_lowercase()).is_some())
        };
        // Two APIs have a root.
        let described: Vec<&Value> = all.iter().filter(of_path).collect();
        for status in words.filter_map(|word| word.parse::<u16>().ok()) {
            let is_known =
                |document: &&Value| response(document, operation(document, method, path), status).is_some();
            if !described.iter().any(is_known) {
                missing.insert(format!("{method} {path}"), status);
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[tokio::test]
async fn refusals_are_as_they_are_described() {
    let stage = Stage::new().await;
    let volume = document(Api::Volume);
    for route in routes().into_iter().filter(|route| matches!(route.api, Api::Volume)) {
        let operation = operation(&volume, &route.method, &route.path);
        // What is outside of the versions.
        if operation["security"] == json!([]) {
            continue;
        }
        let (path, wanted) = prepare(&stage, &route).await;
        let request = || call(&stage, &route, MEMBER, &path, wanted.clone());
        let mut answers = vec![
            request().header("openstack-api-version", "volume 3.72").send().await.expect(406),
            request().header("openstack-api-version", "volume 3.x").send().await.expect(400),
        ];
        if wanted.is_some() {
            answers.push(request().header("content-type", "text/plain").send().await.expect(415));
            answers.push(request().version(71).body("[").send().await.expect(400));
        }
        for answer in answers {
            let described = response(&volume, operation, answer.status.as_u16()).unwrap();
            let schema = &described["content"]["application/json"]["schema"];
            assert_eq!(flaw(&volume, schema, &answer.json()), None, "{}: {}", route.line(), answer.text());
            let known = described["headers"].as_object().unwrap();
            for name in answer.headers.keys().map(|name| name.as_str()) {
                let is_known = known.keys().any(|known| known.eq_ignore_ascii_case(name));
                assert!(
                    is_known || name.starts_with("content-"),
                    "{}: {name} is not described",
                    route.line()
                );
            }
        }
    }
}

#[tokio::test]
async fn every_filter_of_a_list_is_described() {
    let stage = Stage::new().await;
    let volume = document(Api::Volume);
    let answer = stage.call(Api::Volume, MEMBER, "GET", "/v3/resource_filters").version(71).send().await;
    for of_resource in answer.expect(200).json()["resource_filters"].as_array().unwrap() {
        let paths: &[&str] = match of_resource["resource"].as_str().unwrap() {
            "volume" => &["/v3/volumes", "/v3/volumes/detail"],
            "snapshot" => &["/v3/snapshots", "/v3/snapshots/detail"],
            "attachment" => &["/v3/attachments", "/v3/attachments/detail"],
            "message" => &["/v3/messages"],
            "pool" => &["/v3/scheduler-stats/get_pools"],
            "volume_type" => &["/v3/types"],
            other => panic!("nothing lists a {other}"),
        };
        for path in paths {
            let parameters = operation(&volume, "GET", path)["parameters"].as_array().unwrap();
            let names: Vec<&Value> = parameters.iter().map(|parameter| &parameter["name"]).collect();
            for filter in of_resource["filters"].as_array().unwrap() {
                assert!(names.contains(&filter), "{path} does not describe {filter}");
            }
        }
    }
}
