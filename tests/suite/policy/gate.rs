//! Every route, as everybody. `table.txt` says which status each gets; the routes are those of the code, so that a new
//! one without a line fails here, and so does one that no rule can close.

use std::collections::BTreeMap;
use std::fmt::Write;

use pumice::identity::policy;
use pumice::model::{ImageStatus, MemberStatus, SnapshotStatus};
use serde_json::{Value, json};

use super::stage::{ADMIN, Api, OURS, PLAYERS, Player, Stage, THEIRS};
use crate::support::Call;

/// A request to make: a method and path of the documents, and the action where the path has several.
#[derive(Clone, Debug)]
pub struct Route {
    pub api: Api,
    pub method: String,
    pub path: String,
    pub action: Option<&'static str>,
}

impl Route {
    pub fn line(&self) -> String {
        let action = self.action.map(|action| format!(" {action}")).unwrap_or_default();
        format!("{} {}{action}", self.method, self.path)
    }
}

/// Actions that are there.
const ACTIONS: [(&str, &str); 31] = [
    ("/v3/snapshots/{snapshot_id}/action", "os-force_delete"),
    ("/v3/snapshots/{snapshot_id}/action", "os-reset_status"),
    ("/v3/snapshots/{snapshot_id}/action", "os-unmanage"),
    ("/v3/snapshots/{snapshot_id}/action", "os-update_snapshot_status"),
    ("/v3/volumes/{volume_id}/action", "os-attach"),
    ("/v3/volumes/{volume_id}/action", "os-begin_detaching"),
    ("/v3/volumes/{volume_id}/action", "os-detach"),
    ("/v3/volumes/{volume_id}/action", "os-extend"),
    ("/v3/volumes/{volume_id}/action", "os-extend_volume_completion"),
    ("/v3/volumes/{volume_id}/action", "os-force_delete"),
    ("/v3/volumes/{volume_id}/action", "os-force_detach"),
    ("/v3/volumes/{volume_id}/action", "os-initialize_connection"),
    ("/v3/volumes/{volume_id}/action", "os-migrate_volume"),
    ("/v3/volumes/{volume_id}/action", "os-migrate_volume_completion"),
    ("/v3/volumes/{volume_id}/action", "os-reserve"),
    ("/v3/volumes/{volume_id}/action", "os-reset_status"),
    ("/v3/volumes/{volume_id}/action", "os-retype"),
    ("/v3/volumes/{volume_id}/action", "os-roll_detaching"),
    ("/v3/volumes/{volume_id}/action", "os-set_bootable"),
    ("/v3/volumes/{volume_id}/action", "os-set_image_metadata"),
    ("/v3/volumes/{volume_id}/action", "os-show_image_metadata"),
    ("/v3/volumes/{volume_id}/action", "os-terminate_connection"),
    ("/v3/volumes/{volume_id}/action", "os-unmanage"),
    ("/v3/volumes/{volume_id}/action", "os-unreserve"),
    ("/v3/volumes/{volume_id}/action", "os-unset_image_metadata"),
    ("/v3/volumes/{volume_id}/action", "os-update_readonly_flag"),
    ("/v3/volumes/{volume_id}/action", "os-volume_upload_image"),
    ("/v3/volumes/{volume_id}/action", "os-reimage"),
    ("/v3/volumes/{volume_id}/action", "revert"),
    ("/v3/types/{type_id}/action", "addProjectAccess"),
    ("/v3/types/{type_id}/action", "removeProjectAccess"),
];

/// Routes that tell everybody the same, or nothing: the real services ask no rule either.
const OPEN: [&str; 31] = [
    "GET /",
    "GET /versions",
    "GET /v2",
    "GET /v2/info/import",
    "GET /v2/info/stores",
    // Of the own project alone.
    "GET /v2/info/usage",
    // There are none.
    "GET /v3/group_types",
    "GET /v2/schemas/image",
    "GET /v2/schemas/images",
    "GET /v2/schemas/member",
    "GET /v2/schemas/members",
    "GET /v2/schemas/metadefs/namespace",
    "GET /v2/schemas/metadefs/namespaces",
    "GET /v2/schemas/metadefs/object",
    "GET /v2/schemas/metadefs/objects",
    "GET /v2/schemas/metadefs/properties",
    "GET /v2/schemas/metadefs/property",
    "GET /v2/schemas/metadefs/resource_type",
    "GET /v2/schemas/metadefs/resource_types",
    "GET /v2/schemas/metadefs/tag",
    "GET /v2/schemas/metadefs/tags",
    "GET /v2/schemas/task",
    "GET /v2/schemas/tasks",
    "GET /healthcheck",
    "GET /v3",
    "GET /v3/",
    "GET /v3/extensions",
    "GET /v3/extensions/{alias}",
    "GET /v3/os-availability-zone",
    // The limits themselves; what is used of them is a rule's.
    "GET /v3/limits",
    "GET /v3/resource_filters",
];

pub fn routes() -> Vec<Route> {
    let mut routes = Vec::new();
    for (api, document) in [
        (Api::Image, pumice::image_api::openapi().unwrap()),
        (Api::Volume, pumice::volume_api::openapi().unwrap()),
        (Api::Pumice, pumice::pumice_api::openapi().unwrap()),
    ] {
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                let method = method.to_uppercase();
                let actions: Vec<_> =
                    ACTIONS.iter().filter(|(of, _)| of == path).map(|(_, action)| Some(*action)).collect();
                let actions = if actions.is_empty() { vec![None] } else { actions };
                routes.extend(actions.into_iter().map(|action| Route {
                    api,
                    method: method.clone(),
                    path: path.clone(),
                    action,
                }));
            }
        }
    }
    routes
}

/// The path and body of a request about things of our project that are there for it alone.
pub async fn prepare(stage: &Stage, route: &Route) -> (String, Wanted) {
    let mut path = route.path.clone();
    if path.contains("{image_id}") {
        let is_empty = ["/stage", "/import", "/locations"].iter().any(|end| route.path.ends_with(end));
        let status = if is_empty || route.path.ends_with("/file") && route.method == "PUT" {
            ImageStatus::Queued
        } else if route.path.ends_with("reactivate") {
            ImageStatus::Deactivated
        } else {
            ImageStatus::Active
        };
        let is_shared = route.path.contains("/members");
        let id = stage.image(OURS, if is_shared { "shared" } else { "private" }, status).await;
        if is_shared {
            stage.member(&id, THEIRS, MemberStatus::Pending).await;
        }
        if path.contains("{store_id}") {
            stage.place(&id, &[None, Some("second")]).await;
        }
        path = path
            .replace("{image_id}", id.as_str())
            .replace("{member_id}", THEIRS)
            .replace("{store_id}", "second");
    }
    if path.contains("{task_id}") {
        let image = stage.image(OURS, "private", ImageStatus::Queued).await;
        path = path.replace("{task_id}", stage.task(&image, OURS).await.as_str());
    }
    if path.contains("{namespace}") {
        let namespace = stage.namespace(OURS, "private").await;
        let tag = if route.method == "POST" { "new" } else { "t" };
        path = path
            .replace("{namespace}", &namespace)
            .replace("{object}", "o")
            .replace("{property}", "p")
            .replace("{resource_type}", "r")
            .replace("{tag}", tag);
    }
    let mut wanted = body(stage, route).await;
    if path.contains("{volume_id}") {
        let id = match route.action {
            Some("revert") => {
                let snapshot = stage.snapshot(OURS).await;
                wanted = json(json!({"revert": {"snapshot_id": snapshot}}));
                stage.volume_of(&snapshot).await
            }
            _ => stage.volume(OURS).await,
        };
        if route.action == Some("os-begin_detaching") {
            stage.attach(&id, None).await;
        }
        path = path.replace("{volume_id}", id.as_str()).replace("/encryption/{key}", "/encryption/provider");
        if path.ends_with("/encryption/provider") {
            stage.encrypt(&stage.type_of(&id).await).await;
        }
    }
    if path.contains("{attachment_id}") {
        path = path.replace("{attachment_id}", stage.attachment(OURS).await.as_str());
    }
    if path.contains("{snapshot_id}") {
        let id = stage.snapshot(OURS).await;
        if route.action == Some("os-update_snapshot_status") {
            stage.site.reset_snapshot(id.as_str(), SnapshotStatus::Creating).await;
        }
        path = path.replace("{snapshot_id}", id.as_str());
    }
    if path.contains("{transfer_id}") {
        let (id, key) = stage.transfer(OURS).await;
        path = path.replace("{transfer_id}", id.as_str());
        if path.ends_with("/accept") {
            wanted = json(json!({"accept": {"auth_key": key}}));
        }
    }
    if path.contains("{message_id}") {
        path = path.replace("{message_id}", stage.message(OURS).await.as_str());
    }
    if path.contains("manag") && route.method == "GET" {
        path.push_str("?host=pumice@directory");
    }
    if path.contains("{id}") {
        path = path.replace("{id}", stage.job(OURS).await.as_str());
    }
    if path.contains("{type_id}") {
        let is_for_some = path.ends_with("access") || path.ends_with("action");
        let id = stage.volume_type(!is_for_some).await;
        if path.contains("/encryption") && route.method != "POST" {
            stage.encrypt(&id).await;
        }
        path = path
            .replace("/extra_specs/{key}", "/extra_specs/multiattach")
            .replace("/encryption/{key}", "/encryption/cipher")
            .replace("{type_id}", id.as_str());
    }
    if path.contains("{qos_id}") {
        path = path.replace("{qos_id}", stage.qos_specs().await.as_str());
        if path.ends_with("associate") {
            path = format!("{path}?vol_type_id={}", stage.volume_type(true).await);
        }
    }
    if path.ends_with("/default-types/{project_id}") {
        stage.make_default(stage.volume_type(true).await, OURS).await;
    }
    path = path
        .replace("{key}", "k")
        .replace("{tag}", "t")
        .replace("{alias}", "os-availability-zone")
        .replace("{project_id}", OURS)
        .replace("{quota_class_name}", "default")
        .replace("{host_name}", "pumice@directory")
        .replace("{cluster_name}", "c");
    assert!(!path.contains('{'), "{} has a variable that this test does not know", route.line());
    (path, wanted)
}

pub fn call(stage: &Stage, route: &Route, player: Player, path: &str, wanted: Wanted) -> Call {
    let call = stage.call(route.api, player, &route.method, path);
    match wanted {
        None => call,
        Some(("application/json", body)) => call.json(&body),
        Some(("application/octet-stream", _)) => {
            call.header("content-type", "application/octet-stream").body("bytes")
        }
        Some((kind, body)) => call.header("content-type", kind).body(body.to_string()),
    }
}

/// In the newest version.
pub fn newest(route: &Route, call: Call) -> Call {
    match route.api {
        Api::Volume => call.version(71),
        Api::Image | Api::Pumice => call,
    }
}

/// A request that this player makes, with things of our project that are there for it alone.
pub async fn request(stage: &Stage, route: &Route, player: Player) -> Call {
    let (path, wanted) = prepare(stage, route).await;
    call(stage, route, player, &path, wanted)
}

/// The status that this player gets.
async fn status(stage: &Stage, route: &Route, player: Player) -> u16 {
    let (path, wanted) = prepare(stage, route).await;
    newest(route, call(stage, route, player, &path, wanted)).open().await.status().as_u16()
}

const TAG: &str = "/v2/metadefs/namespaces/{namespace}/tags/{tag}";

pub type Wanted = Option<(&'static str, Value)>;

pub fn json(body: Value) -> Wanted {
    Some(("application/json", body))
}

async fn body(stage: &Stage, route: &Route) -> Wanted {
    match (route.method.as_str(), route.path.as_str(), route.action) {
        ("POST", "/v2/images/{image_id}/locations", _) => json(json!({"url": "http://192.88.99.1/"})),
        ("POST", "/v2/images/{image_id}/import", _) => {
            json(json!({"method": {"name": "web-download", "uri": "http://192.88.99.1/"}}))
        }
        ("PUT", "/v2/images/{image_id}/file" | "/v2/images/{image_id}/stage", _) => {
            Some(("application/octet-stream", Value::Null))
        }
        ("PATCH", "/v2/images/{image_id}", _) => Some((
            "application/openstack-images-v2.1-json-patch",
            json!([{"op": "replace", "path": "/name", "value": "another"}]),
        )),
        ("POST", "/v2/images", _) => json(json!({"name": "an image"})),
        ("POST", "/v2/tasks", _) => json(json!({"type": "import", "input": {
            "import_from": "http://192.88.99.1/", "import_from_format": "raw", "image_properties": {},
        }})),
        ("POST", "/v2/metadefs/namespaces", _) => json(json!({"namespace": stage.new_name()})),
        ("PUT", "/v2/metadefs/namespaces/{namespace}", _) => json(json!({"namespace": stage.new_name()})),
        ("POST", "/v2/metadefs/namespaces/{namespace}/tags", _) => json(json!({"tags": [{"name": "new"}]})),
        ("POST" | "PUT", path, _) if path.contains("/properties") => {
            json(json!({"name": "new", "title": "New", "type": "string"}))
        }
        ("POST" | "PUT", path, _) if path.contains("{namespace}") && path != TAG => {
            json(json!({"name": "new"}))
        }
        ("PUT", TAG, _) => json(json!({"name": "new"})),
        ("POST", "/v2/images/{image_id}/members", _) => json(json!({"member": stage.new_name()})),
        ("PUT", "/v2/images/{image_id}/members/{member_id}", _) => json(json!({"status": "accepted"})),
        ("POST", "/v3/volumes", _) => json(json!({"volume": {"size": 1}})),
        ("POST", "/v3/snapshots", _) => {
            json(json!({"snapshot": {"volume_id": stage.volume(OURS).await.as_str()}}))
        }
        ("POST", "/v3/types", _) => json(json!({"volume_type": {"name": stage.new_name()}})),
        ("PUT", "/v3/types/{type_id}", _) => json(json!({"volume_type": {"description": "another"}})),
        ("POST", "/v3/types/{type_id}/extra_specs", _) => json(json!({"extra_specs": {"a": "b"}})),
        ("PUT", "/v3/types/{type_id}/extra_specs/{key}", _) => json(json!({"multiattach": "<is> True"})),
        ("POST", "/v3/types/{type_id}/encryption", _) => {
            json(json!({"encryption": {"provider": "luks", "control_location": "front-end"}}))
        }
        ("PUT", "/v3/types/{type_id}/encryption/{key}", _) => json(json!({"encryption": {"key_size": 256}})),
        ("PUT", "/v3/default-types/{project_id}", _) => {
            json(json!({"default_type": {"volume_type": "__DEFAULT__"}}))
        }
        ("POST", "/v3/qos-specs", _) => json(json!({"qos_specs": {"name": stage.new_name()}})),
        ("PUT", "/v3/qos-specs/{qos_id}", _) => json(json!({"qos_specs": {"a": "b"}})),
        ("PUT", "/v3/qos-specs/{qos_id}/delete_keys", _) => json(json!({"keys": ["k"]})),
        ("POST", "/v3/attachments", _) => {
            json(json!({"attachment": {"volume_uuid": stage.volume(OURS).await.as_str()}}))
        }
        ("PUT", "/v3/attachments/{attachment_id}", _) => {
            json(json!({"attachment": {"connector": {"host": "compute-1"}}}))
        }
        ("POST", "/v3/attachments/{attachment_id}/action", _) => json(json!({"os-complete": null})),
        ("POST", _, Some("os-attach")) => {
            json(json!({"os-attach": {"host_name": "compute-1", "mountpoint": "/dev/vdb"}}))
        }
        ("POST", _, Some(action @ ("os-initialize_connection" | "os-terminate_connection"))) => {
            json(json!({action: {"connector": {}}}))
        }
        ("POST", _, Some("os-set_bootable")) => json(json!({"os-set_bootable": {"bootable": true}})),
        ("POST", _, Some("os-update_readonly_flag")) => {
            json(json!({"os-update_readonly_flag": {"readonly": true}}))
        }
        ("POST", _, Some("os-volume_upload_image")) => {
            json(json!({"os-volume_upload_image": {"image_name": "of a volume"}}))
        }
        ("POST", _, Some("os-reimage")) => {
            let image = stage.image(OURS, "private", ImageStatus::Active).await;
            json(json!({"os-reimage": {"image_id": image.as_str()}}))
        }
        ("POST", _, Some("os-retype")) => {
            json(json!({"os-retype": {"new_type": stage.volume_type(true).await.as_str()}}))
        }
        ("POST", _, Some("os-migrate_volume")) => {
            // To a place that lives.
            stage.site.report().await;
            json(json!({"os-migrate_volume": {"host": "pumice@directory"}}))
        }
        ("POST", _, Some("os-migrate_volume_completion")) => {
            let new_volume = stage.volume(OURS).await;
            json(json!({"os-migrate_volume_completion": {"new_volume": new_volume.as_str()}}))
        }
        ("POST", _, Some("addProjectAccess")) => json(json!({"addProjectAccess": {"project": OURS}})),
        ("POST", _, Some("removeProjectAccess")) => json(json!({"removeProjectAccess": {"project": THEIRS}})),
        ("POST", _, Some("os-extend")) => json(json!({"os-extend": {"new_size": 2}})),
        ("POST", _, Some("os-reset_status")) => json(json!({"os-reset_status": {"status": "error"}})),
        ("POST", _, Some("os-update_snapshot_status")) => {
            json(json!({"os-update_snapshot_status": {"status": "available"}}))
        }
        ("POST", _, Some("os-set_image_metadata")) => {
            json(json!({"os-set_image_metadata": {"metadata": {"a": "b"}}}))
        }
        ("POST", _, Some("os-unset_image_metadata")) => {
            json(json!({"os-unset_image_metadata": {"key": "k"}}))
        }
        ("POST", _, Some(action)) => json(json!({ action: {} })),
        ("POST", "/v3/volume-transfers" | "/v3/os-volume-transfer", _) => {
            json(json!({"transfer": {"volume_id": stage.volume(OURS).await}}))
        }
        ("POST", "/v3/manageable_volumes" | "/v3/os-volume-manage", _) => {
            stage.site.report().await;
            let name = stage.new_name();
            let store = &stage.app().stores.volumes.first().store;
            store.create(&name, pumice::model::GIB, 4 << 20).await.unwrap();
            // Others ask for more than the place has.
            let of_type = "__DEFAULT__";
            let reference = json!({"source-name": name});
            json(json!({"volume": {"host": "pumice@directory", "ref": reference, "volume_type": of_type}}))
        }
        ("POST", "/v3/manageable_snapshots" | "/v3/os-snapshot-manage", _) => {
            stage.site.report().await;
            let volume_id = stage.volume(OURS).await;
            stage.lay_snapshot(&volume_id, "by-hand").await;
            json(json!({"snapshot": {"volume_id": volume_id, "ref": {"source-name": "by-hand"}}}))
        }
        ("PUT", "/v3/volumes/{volume_id}", _) => json(json!({"volume": {"name": "another"}})),
        ("PUT", "/v3/snapshots/{snapshot_id}", _) => json(json!({"snapshot": {"name": "another"}})),
        ("PUT" | "POST", path, _) if path.ends_with("/metadata") => json(json!({"metadata": {"a": "b"}})),
        ("PUT", path, _) if path.ends_with("/metadata/{key}") => json(json!({"meta": {"k": "w"}})),
        ("PUT", "/v3/clusters/enable" | "/v3/clusters/disable", _) => json(json!({"name": "c"})),
        ("PUT", "/v3/os-services/disable-log-reason", _) => json(json!({
            "host": "pumice@directory", "binary": "cinder-volume", "disabled_reason": "why"
        })),
        ("PUT", "/v3/os-services/enable" | "/v3/os-services/disable", _) => {
            json(json!({"host": "pumice@directory", "binary": "cinder-volume"}))
        }
        ("PUT", "/v3/os-services/set-log", _) => json(json!({"level": "info"})),
        ("PUT", "/v3/os-services/get-log", _) => json(json!({})),
        ("PUT", path, _) if path.starts_with("/v3/os-services/") => json(json!({"host": "pumice@directory"})),
        ("POST", "/v3/workers/cleanup", _) => json(json!({})),
        ("PUT", "/v3/os-quota-sets/{project_id}", _) => json(json!({"quota_set": {"backups": 11}})),
        ("PUT", "/v3/os-quota-class-sets/{quota_class_name}", _) => {
            json(json!({"quota_class_set": {"backups": 11}}))
        }
        _ => None,
    }
}

#[tokio::test]
async fn every_route_answers_everybody_as_the_table_says() {
    let stage = Stage::new().await;
    let mut found = String::new();
    for route in routes() {
        let mut line = format!("{:<60}", route.line());
        for player in PLAYERS {
            write!(line, " {}", status(&stage, &route, player).await).unwrap();
        }
        writeln!(found, "{line}").unwrap();
    }
    let table = include_str!("table.txt");
    let expected: String =
        table.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    assert!(found == expected, "the routes answer otherwise than table.txt says:\n{found}");
}

#[tokio::test]
async fn no_route_is_open_when_all_rules_are_closed() {
    let folder = tempfile::tempdir().unwrap();
    let closed = |api: policy::Api, name: &str| {
        let rules: BTreeMap<&str, &str> = api.names().map(|name| (name, "!")).collect();
        let file = folder.path().join(name);
        // JSON is YAML.
        std::fs::write(&file, serde_json::to_string(&rules).unwrap()).unwrap();
        Some(file)
    };
    let stage = Stage::with(|config| {
        config.policy.image_policy_file = closed(policy::Api::Image, "image.yaml");
        config.policy.volume_policy_file = closed(policy::Api::Volume, "volume.yaml");
        config.policy.pumice_policy_file = closed(policy::Api::Own, "pumice.yaml");
    })
    .await;
    let mut player = ADMIN;
    player.project = OURS;
    for route in routes() {
        let status = status(&stage, &route, player).await;
        let is_open = OPEN.contains(&route.line().as_str());
        assert_eq!(is_open, !matches!(status, 403 | 404), "{} answers {status}", route.line());
    }
}
