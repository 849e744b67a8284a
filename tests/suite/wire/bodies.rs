//! Bodies that are good but for one thing, on every route that takes one in JSON: each value replaced by what does not
//! belong there, each key left out, said twice or beside a strange one, and what is no such body at all.
//!
//! The tables beside this file say what is not refused with 400, a line a place in a body.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use axum::Router;
use serde_json::{Map, Value, json};
use sqlx::{Connection, SqliteConnection};

use crate::policy::gate::{Route, newest, prepare, routes};
use crate::policy::stage::{ADMIN, Api, OURS, Player, Stage};
use crate::support::{Answer, Call};

/// No request takes longer, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Stands in a body where something else will stand.
const MARK: &str = "@here@";

/// What may be in a body beside what it must hold.
fn more(stage: &Stage, route: &Route) -> Value {
    match (route.method.as_str(), route.path.as_str(), route.action) {
        ("POST", "/v3/volumes", _) => json!({
            "volume": {
                "name": "n", "description": "d", "display_name": "n", "display_description": "d",
                "metadata": {"a": "b"}, "availability_zone": "nova", "volume_type": "__DEFAULT__",
                "imageRef": null, "snapshot_id": null, "source_volid": null,
                "consistencygroup_id": null, "group_id": null, "backup_id": null, "multiattach": false,
            },
            "OS-SCH-HNT:scheduler_hints": {
                "same_host": [], "different_host": [], "local_to_instance": null, "query": "{}",
            },
        }),
        ("PUT", "/v3/volumes/{volume_id}", _) => json!({"volume": {
            "description": "d", "display_name": "n", "display_description": "d", "metadata": {"a": "b"},
        }}),
        ("POST", "/v3/snapshots", _) => json!({"snapshot": {
            "name": "n", "display_name": "n", "description": "d", "force": true, "metadata": {"a": "b"},
        }}),
        ("PUT", "/v3/snapshots/{snapshot_id}", _) => json!({"snapshot": {
            "description": "d", "display_name": "n", "display_description": "d",
        }}),
        ("POST", "/v3/types", _) => json!({"volume_type": {
            "description": "d", "extra_specs": {"a": "b"}, "os-volume-type-access:is_public": true,
        }}),
        ("PUT", "/v3/types/{type_id}", _) => {
            json!({"volume_type": {"name": stage.new_name(), "is_public": true}})
        }
        ("POST", "/v3/types/{type_id}/encryption", _) => {
            json!({"encryption": {"cipher": "aes-xts-plain64", "key_size": 256}})
        }
        ("PUT", "/v3/types/{type_id}/encryption/{key}", _) => json!({"encryption": {
            "provider": "luks", "control_location": "front-end", "cipher": "aes-xts-plain64",
        }}),
        ("POST", "/v3/qos-specs", _) => json!({"qos_specs": {"consumer": "back-end", "a": "b"}}),
        ("POST", "/v3/attachments", _) => json!({"attachment": {
            "instance_uuid": "9c2a5d1e-5a5b-4f0e-9f0c-4a6f3f0f7a11", "connector": null, "mode": "rw",
        }}),
        ("POST", "/v3/volume-transfers", _) => json!({"transfer": {"name": "n", "no_snapshots": false}}),
        ("POST", "/v3/os-volume-transfer", _) => json!({"transfer": {"name": "n"}}),
        ("POST", "/v3/manageable_volumes" | "/v3/os-volume-manage", _) => json!({"volume": {
            "name": "n", "description": "d", "availability_zone": "nova", "bootable": false,
            "volume_type": "__DEFAULT__", "cluster": null, "metadata": {"a": "b"},
        }}),
        ("POST", "/v3/manageable_snapshots" | "/v3/os-snapshot-manage", _) => {
            json!({"snapshot": {"name": "n", "description": "d", "metadata": {"a": "b"}}})
        }
        ("PUT", "/v3/clusters/enable" | "/v3/clusters/disable", _) => json!({"binary": "cinder-volume"}),
        ("PUT", "/v3/os-services/enable" | "/v3/os-services/disable", _) => json!({"cluster": null}),
        ("PUT", "/v3/os-services/get-log" | "/v3/os-services/set-log", _) => {
            json!({"binary": "cinder-volume", "server": "pumice", "prefix": "pumice"})
        }
        ("PUT", "/v3/os-services/failover_host", _) => json!({"backend_id": "b", "cluster": null}),
        ("POST", "/v3/workers/cleanup", _) => json!({
            "host": "pumice@directory", "cluster_name": null, "binary": "cinder-volume", "disabled": false,
            "is_up": true, "resource_id": null, "resource_type": "Volume", "service_id": 1,
        }),
        (_, _, Some("os-attach")) => {
            json!({"os-attach": {"instance_uuid": "9c2a5d1e-5a5b-4f0e-9f0c-4a6f3f0f7a11", "mode": "rw"}})
        }
        (_, _, Some("os-detach")) => json!({"os-detach": {"attachment_id": null}}),
        (_, _, Some("os-force_detach")) => {
            json!({"os-force_detach": {"attachment_id": null, "connector": null}})
        }
        (_, _, Some("os-retype")) => json!({"os-retype": {"migration_policy": "never"}}),
        (_, _, Some("os-migrate_volume")) => json!({"os-migrate_volume": {
            "force_host_copy": false, "lock_volume": false, "cluster": null,
        }}),
        (_, _, Some("os-migrate_volume_completion")) => {
            json!({"os-migrate_volume_completion": {"error": false}})
        }
        (_, _, Some("os-extend_volume_completion")) => {
            json!({"os-extend_volume_completion": {"error": false}})
        }
        (_, _, Some("os-volume_upload_image")) => json!({"os-volume_upload_image": {
            "force": false, "disk_format": "raw", "container_format": "bare", "visibility": "private",
            "protected": false,
        }}),
        (_, _, Some("os-reimage")) => json!({"os-reimage": {"reimage_reserved": false}}),
        (_, "/v3/volumes/{volume_id}/action", Some("os-reset_status")) => json!({"os-reset_status": {
            "attach_status": "detached", "migration_status": "none",
        }}),
        (_, _, Some("os-update_snapshot_status")) => {
            json!({"os-update_snapshot_status": {"progress": "50%"}})
        }
        ("POST", "/v2/images", _) => json!({
            "id": stage.new_name(), "visibility": "private", "disk_format": "raw", "container_format": "bare", "min_disk": 1,
            "min_ram": 1, "protected": false, "os_hidden": false, "tags": ["t"], "of_its_own": "x",
        }),
        ("POST", "/v2/images/{image_id}/locations", _) => json!({"validation_data": {
            "os_hash_algo": "sha512", "os_hash_value": "0".repeat(128),
        }}),
        ("POST", "/v2/images/{image_id}/import", _) => json!({
            "stores": ["second"], "all_stores_must_succeed": true,
        }),
        ("POST" | "PUT", path, _) if path.ends_with("/namespaces") || path.ends_with("/{namespace}") => {
            json!({
                "display_name": "n", "description": "d", "visibility": "private", "protected": false,
            })
        }
        ("POST" | "PUT", path, _) if path.contains("/properties") => json!({
            "description": "d", "operators": ["<or>"], "enum": ["a"], "default": "a", "minimum": 1, "maximum": 2,
            "readonly": false, "minLength": 0, "maxLength": 9, "pattern": "a", "uniqueItems": false,
        }),
        ("POST" | "PUT", path, _) if path.contains("/objects") => json!({
            "description": "d", "required": ["p"], "properties": {"p": {"title": "P", "type": "string"}},
        }),
        ("POST", path, _) if path.contains("/resource_types") => {
            json!({"prefix": "p_", "properties_target": "image"})
        }
        _ => Value::Null,
    }
}

fn merge(body: &mut Value, more: Value) {
    match (body, more) {
        (Value::Object(body), Value::Object(more)) => {
            for (key, value) in more {
                merge(body.entry(key).or_insert(Value::Null), value);
            }
        }
        (body @ Value::Null, more) => *body = more,
        _ => {}
    }
}

/// What may stand in the place of a value: what it is called, and its text.
fn strangers() -> Vec<(&'static str, String)> {
    let text = |text: &str| Value::from(text).to_string();
    vec![
        ("null", "null".to_owned()),
        ("true", "true".to_owned()),
        ("-1", "-1".to_owned()),
        ("0", "0".to_owned()),
        ("1.5", "1.5".to_owned()),
        ("2^31", "2147483648".to_owned()),
        ("2^63", "9223372036854775808".to_owned()),
        ("2^64", "18446744073709551616".to_owned()),
        ("1e400", "1e400".to_owned()),
        ("'1'", text("1")),
        ("'true'", text("true")),
        ("''", text("")),
        ("' '", text(" ")),
        ("'../..'", text("../..")),
        ("emoji", text("\u{1f980}")),
        ("255", text(&"x".repeat(255))),
        ("256", text(&"x".repeat(256))),
        ("70000", text(&"x".repeat(70_000))),
        ("nul", "\"a\\u0000b\"".to_owned()),
        ("surrogate", "\"\\ud83e\"".to_owned()),
        ("[]", "[]".to_owned()),
        ("['x']", "[\"x\"]".to_owned()),
        ("{}", "{}".to_owned()),
        ("{'x': 'y'}", "{\"x\": \"y\"}".to_owned()),
        ("100 deep", "[".repeat(100) + &"]".repeat(100)),
        ("200 deep", "[".repeat(200) + &"]".repeat(200)),
    ]
}

/// The places in a body, as JSON pointers; the first one is the whole.
fn places(body: &Value) -> Vec<String> {
    let below = |key: String, value: &Value| {
        places(value).into_iter().map(|place| format!("/{key}{place}")).collect::<Vec<_>>()
    };
    let mut found = vec![String::new()];
    match body {
        Value::Object(fields) => {
            for (key, value) in fields {
                found.extend(below(key.replace('~', "~0").replace('/', "~1"), value));
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                found.extend(below(i.to_string(), item));
            }
        }
        _ => {}
    }
    found
}

/// A body that is good but for one thing.
struct Bad {
    name: &'static str,
    body: Vec<u8>,
    /// Of another content type than the route's, or of none.
    content_type: Option<Option<&'static str>>,
}

impl Bad {
    fn new(name: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { name, body: body.into(), content_type: None }
    }
}

/// The ways to spoil a body at a place.
fn ways(body: &Value, place: &str) -> Vec<Bad> {
    let with = |raw: &str| {
        let mut body = body.clone();
        *body.pointer_mut(place).unwrap() = Value::from(MARK);
        body.to_string().replace(&format!("\"{MARK}\""), raw)
    };
    let mut ways: Vec<Bad> = strangers().iter().map(|(name, raw)| Bad::new(name, with(raw))).collect();
    let value = body.pointer(place).unwrap();
    if let Value::Object(fields) = value {
        let mut fields = fields.clone();
        fields.insert("stranger".to_owned(), Value::from("x"));
        ways.push(Bad::new("a stranger", with(&Value::Object(fields).to_string())));
    }
    if let Some((parent, key)) = place.rsplit_once('/')
        && let Value::Object(fields) = body.pointer(parent).unwrap()
    {
        let key = key.replace("~1", "/").replace("~0", "~");
        let mut rest: Map<String, Value> = fields.clone();
        rest.remove(&key);
        let mut without = body.clone();
        *without.pointer_mut(parent).unwrap() = Value::Object(rest);
        ways.push(Bad::new("left out", without.to_string()));
        ways.push(Bad::new("said twice", with(&format!("{value}, {}: {value}", Value::from(key)))));
    }
    if place.is_empty() {
        let text = body.to_string();
        ways.extend([
            Bad::new("empty", ""),
            Bad::new("spaces", "  "),
            Bad::new("cut short", &text[..text.len() - 1]),
            Bad::new("and more", text.clone() + " {}"),
            Bad::new("no UTF-8", [text.as_bytes(), b"\xff"].concat()),
            Bad::new("UTF-16", text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()),
        ]);
        for (name, content_type) in [
            ("text/plain", Some("text/plain")),
            ("a form", Some("application/x-www-form-urlencoded")),
            ("of no type", None),
        ] {
            ways.push(Bad { content_type: Some(content_type), ..Bad::new(name, text.clone()) });
        }
    }
    ways
}

/// Things that one route needs, which are there anew after each request that was taken.
struct Scene<'a> {
    stage: &'a Stage,
    route: &'a Route,
    routes: Router,
    path: String,
    content_type: &'static str,
    body: Value,
}

impl<'a> Scene<'a> {
    /// `None`: the route takes no JSON.
    async fn new(stage: &'a Stage, route: &'a Route) -> Option<Self> {
        let (path, wanted) = prepare(stage, route).await;
        let (content_type, mut body) = wanted.filter(|(kind, _)| *kind != "application/octet-stream")?;
        merge(&mut body, more(stage, route));
        // Everything may be asked for by an administrator of the project.
        let routes = stage.routes(route.api, Player { project: OURS, ..ADMIN });
        Some(Self { stage, route, routes, path, content_type, body })
    }

    async fn renew(&mut self) {
        if let Some(scene) = Self::new(self.stage, self.route).await {
            *self = Self { routes: self.routes.clone(), ..scene };
        }
    }

    async fn send(&self, bad: &Bad) -> Answer {
        let call = Call::to(self.routes.clone(), &self.route.method, &self.path).body(bad.body.clone());
        let call = match bad.content_type.unwrap_or(Some(self.content_type)) {
            Some(kind) => call.header("content-type", kind),
            None => call,
        };
        let sent = tokio::time::timeout(PATIENCE, newest(self.route, call).send()).await;
        sent.unwrap_or_else(|_| panic!("{} has no answer to {}", self.route.line(), bad.name))
    }
}

/// A refusal looks as it does everywhere in the API.
fn assert_shape(api: Api, what: &str, answer: &Answer) {
    let code = answer.status.as_u16();
    match api {
        Api::Volume => {
            assert_eq!(answer.header("content-type"), Some("application/json"), "{what}: {}", answer.text());
            let fault = answer.json();
            let fault: Vec<&Value> = fault.as_object().unwrap().values().collect();
            assert!(fault.len() == 1 && fault[0]["code"] == code, "{what}: {fault:?}");
            assert!(fault[0]["message"].as_str().is_some_and(|text| !text.is_empty()), "{what}: {fault:?}");
        }
        Api::Image | Api::Pumice => {
            assert!(answer.text().contains(&code.to_string()), "{what}: {}", answer.text())
        }
    }
}

/// The number of commits that others made in the database.
async fn commits(connection: &mut SqliteConnection) -> i64 {
    sqlx::query_scalar("PRAGMA data_version").fetch_one(connection).await.unwrap()
}

async fn assert_taken(table: &str, is_meant: impl Fn(&Route) -> bool) {
    let mut found = String::new();
    for route in routes().iter().filter(|route| is_meant(route)) {
        let stage = Stage::new().await;
        let mut database = SqliteConnection::connect(stage.app().config.database.url.expose()).await.unwrap();
        let Some(mut scene) = Scene::new(&stage, route).await else { continue };
        writeln!(found, "{}", route.line()).unwrap();
        for place in places(&scene.body) {
            let mut answers: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
            let mut all = ways(&scene.body, &place);
            for i in 0..all.len() {
                let bad = &all[i];
                let before = commits(&mut database).await;
                let answer = scene.send(bad).await;
                let (code, what) =
                    (answer.status.as_u16(), format!("{}: {place} {}", route.line(), bad.name));
                assert!(code < 500 || code == 501, "{what}: {code} {}", answer.text());
                if code != 400 {
                    answers.entry(code).or_default().push(bad.name);
                }
                if answer.status.is_success() {
                    scene.renew().await;
                    all = ways(&scene.body, &place);
                } else {
                    assert_shape(route.api, &what, &answer);
                    assert_eq!(
                        commits(&mut database).await,
                        before,
                        "{what} was refused, and left something"
                    );
                }
            }
            let place = if place.is_empty() { "the whole" } else { &place[1..] };
            write!(found, "    {place}:").unwrap();
            for (code, names) in answers {
                write!(found, " {code} for {};", names.join(", ")).unwrap();
            }
            found.push('\n');
        }
    }
    let table: String =
        table.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    assert!(found == table, "bodies are answered otherwise than the table says:\n{found}");
}

#[tokio::test]
async fn volume_bodies_are_refused_or_good() {
    let is_meant = |route: &Route| matches!(route.api, Api::Volume) && route.action.is_none();
    assert_taken(include_str!("bodies/volume.txt"), is_meant).await;
}

#[tokio::test]
async fn bodies_of_actions_are_refused_or_good() {
    assert_taken(include_str!("bodies/actions.txt"), |route| route.action.is_some()).await;
}

#[tokio::test]
async fn image_bodies_are_refused_or_good() {
    assert_taken(include_str!("bodies/image.txt"), |route| matches!(route.api, Api::Image)).await;
}
