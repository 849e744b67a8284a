//! Staging and importing.

use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Api, BYTES, JSON, V2_1};
use crate::support::regions::{self, Keystone, Region};

/// An image with formats.
async fn queued(api: &Api) -> String {
    api.image(json!({"disk_format": "raw", "container_format": "bare"})).await
}

impl Api {
    async fn import(&self, id: &str, body: &Value) -> super::Answer {
        self.send("POST", &format!("/v2/images/{id}/import"), &[JSON], body.to_string()).await
    }

    async fn stage(&self, id: &str, bytes: &'static [u8]) -> super::Answer {
        self.send("PUT", &format!("/v2/images/{id}/stage"), &[BYTES, JSON], bytes).await
    }

    pub(super) async fn shown(&self, id: &str) -> Value {
        self.get(&format!("/v2/images/{id}")).await.is(200).json()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ways_to_import_are_told() {
    let api = Api::start().await;
    let told = |methods: &[&str]| json!({"import-methods": {"description": "Import methods available.", "type": "array", "value": methods}});
    let both = told(&["glance-direct", "web-download"]);
    assert_eq!(api.get("/v2/info/import").await.is(200).json(), both);
    api.send("GET", "/v2/info/import", &[JSON], "x").await.is(400);
    let none = Api::with(&[("PUMICE_IMAGES__ENABLED_IMPORT_METHODS", "[]")]).await;
    assert_eq!(none.get("/v2/info/import").await.is(200).json(), told(&[]));
    let created = none.post(&json!({})).await.is(201);
    assert_eq!(created.header("openstack-image-import-methods"), None);
    let id = queued(&none).await;
    none.stage(&id, b"x").await.fault(404, "'glance-direct' method is not available at this site.");
    none.import(&id, &json!({"method": {"name": "glance-direct"}}))
        .await
        .fault(400, "Unknown import method name 'glance-direct'.");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_staged_becomes_the_content() {
    let api = Api::start().await;
    // Formats may be set after the bytes.
    let id = api.image(json!({})).await;
    api.stage(&id, b"0123456789").await.is(204);
    let staged = api.shown(&id).await;
    assert_eq!((&staged["status"], &staged["size"]), (&json!("uploading"), &json!(10)));
    assert_eq!((&staged["checksum"], &staged["virtual_size"]), (&Value::Null, &Value::Null));
    api.send("GET", &format!("/v2/images/{id}/file"), &[], "").await.is(204);

    let direct = json!({"method": {"name": "glance-direct"}});
    api.import(&id, &direct).await.fault(409, "'container_format' needs to be set before import");
    let formats = json!([
        {"op": "replace", "path": "/container_format", "value": "bare"},
        {"op": "replace", "path": "/disk_format", "value": "raw"},
    ]);
    api.patch(&id, V2_1, formats).await.is(200);
    assert_eq!(api.import(&id, &direct).await.is(202).text(), "");
    api.settle().await;
    let active = api.shown(&id).await;
    assert_eq!((&active["status"], &active["virtual_size"]), (&json!("active"), &json!(10)));
    assert_eq!(active["checksum"], "781e5e245d69b566979b86e28d23f2c7");
    assert_eq!(
        (&active["os_glance_importing_to_stores"], &active["os_glance_failed_import"]),
        (&"".into(), &"".into())
    );
    let file = api.send("GET", &format!("/v2/images/{id}/file"), &[], "").await.is(200);
    assert_eq!(file.text(), "0123456789");

    api.import(&id, &direct).await.fault(409, "Image with status active cannot be target for import");
    api.stage(&id, b"x").await.fault(409, "Image status transition from active to uploading is not allowed");
    // What the service says of an import is not a user's to say.
    let own = json!([{"op": "add", "path": "/os_glance_failed_import", "value": "x"}]);
    api.patch(&id, V2_1, own).await.fault(403, "Attribute 'os_glance_failed_import' is reserved.");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_failed_is_told_and_repeatable() {
    let api = Api::start().await;
    let id = api.image(json!({"disk_format": "qcow2", "container_format": "bare"})).await;
    api.stage(&id, b"no qcow2").await.is(204);
    let direct = json!({"method": {"name": "glance-direct"}});
    api.import(&id, &direct).await.is(202);
    api.settle().await;
    let failed = api.shown(&id).await;
    assert_eq!((&failed["status"], &failed["size"]), (&json!("queued"), &Value::Null));
    assert_eq!(failed["os_glance_failed_import"], "default");
    let jobs = super::ask(&api.routes, "GET", "/pumice/v1/jobs?kind=import_image", &[JSON], "".into()).await;
    let reason = "Image disk_format qcow2 does not match stream data raw";
    assert_eq!(jobs.json()["jobs"][0]["error"], reason);

    let formats = json!([{"op": "replace", "path": "/disk_format", "value": "raw"}]);
    api.patch(&id, V2_1, formats).await.is(200);
    api.stage(&id, b"no qcow2").await.is(204);
    api.import(&id, &direct).await.is(202);
    api.settle().await;
    let active = api.shown(&id).await;
    assert_eq!((&active["status"], &active["os_glance_failed_import"]), (&json!("active"), &json!("")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_import_refuses() {
    let api = Api::start().await;
    let id = queued(&api).await;
    for (body, reason) in [
        (json!({}), "Import request requires a 'method' field."),
        (json!([]), "Import request requires a 'method' field."),
        (json!({"method": {}}), "Import request requires a 'name' field."),
        (json!({"method": "web-download"}), "Import request requires a 'name' field."),
        (json!({"method": {"name": "nothing"}}), "Unknown import method name 'nothing'."),
        (json!({"method": {"name": "copy-image"}}), "Unknown import method name 'copy-image'."),
        (
            json!({"method": {"name": "web-download"}, "all_stores": "yes"}),
            "'all_stores' must be boolean value only",
        ),
        (
            json!({"method": {"name": "web-download"}, "all_stores_must_succeed": 1}),
            "'all_stores_must_succeed' must be boolean value only",
        ),
        (
            json!({"method": {"name": "web-download"}, "all_stores_must_succeed": false}),
            "All_stores_must_succeed can only be set with enabled_backends None",
        ),
    ] {
        api.import(&id, &body).await.fault(400, reason);
    }
    for uri in
        ["", "file:///etc/passwd", "http://127.0.0.1/", "http://169.254.169.254/", "http://8.8.8.8:22/"]
    {
        let body = json!({"method": {"name": "web-download", "uri": uri}});
        let reason = format!("URI for web-download does not pass filtering: {uri}");
        api.import(&id, &body).await.fault(400, reason.trim());
    }
    // It would be kept with the job for weeks.
    let long = format!("http://8.8.8.8/{}", "x".repeat(8192));
    let body = json!({"method": {"name": "web-download", "uri": long}});
    api.import(&id, &body).await.fault(400, "'uri' must be a text of at most 8192 bytes");
    let direct = json!({"method": {"name": "glance-direct"}});
    let reason = "Image needs to be staged before 'glance-direct' method can be used";
    api.import(&id, &direct).await.fault(409, reason);
    assert_eq!(api.shown(&id).await["status"], "queued");
    api.import("00000000-0000-4000-8000-000000000000", &direct)
        .await
        .fault(404, "No image found with ID 00000000-0000-4000-8000-000000000000");

    api.stage(&id, b"x").await.is(204);
    api.stage(&id, b"x")
        .await
        .fault(409, "Image status transition from uploading to uploading is not allowed");
    let web = json!({"method": {"name": "web-download", "uri": "http://8.8.8.8/"}});
    let reason = "Image needs to be in 'queued' state to use 'web-download' method";
    api.import(&id, &web).await.fault(409, reason);
    let text = [("content-type", "text/plain"), JSON];
    api.send("PUT", &format!("/v2/images/{id}/stage"), &text, "x").await.is(415);
    let bare = api.image(json!({"container_format": "bare"})).await;
    api.import(&bare, &web).await.fault(409, "'disk_format' needs to be set before import");
    let promise = [("x-openstack-image-size", "3"), BYTES, JSON];
    api.send("PUT", &format!("/v2/images/{bare}/stage"), &promise, "x")
        .await
        .fault(400, "Size mismatch: expected 3 bytes, got 1 bytes");
    assert_eq!(api.shown(&bare).await["status"], "queued");
}

/// It is not tried again: the next try would take as long.
#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_takes_too_long_is_given_up() {
    let api = Api::with(&[
        ("PUMICE_IMPORT_FILTERING_OPTS__ALLOWED_HOSTS", "[\"127.0.0.1\"]"),
        ("PUMICE_IMPORT_FILTERING_OPTS__ALLOWED_PORTS", "[]"),
        ("PUMICE_IMAGES__WEB_DOWNLOAD_TIMEOUT", "1"),
    ])
    .await;
    let endless = || Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
    let routes = axum::Router::new().route("/x", get(async move || endless()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/x", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let id = queued(&api).await;
    api.import(&id, &json!({"method": {"name": "web-download", "uri": uri}})).await.is(202);
    api.settle().await;
    let shown = api.shown(&id).await;
    assert_eq!((&shown["status"], &shown["os_glance_failed_import"]), (&json!("queued"), &json!("default")));
    let jobs = super::ask(&api.routes, "GET", "/pumice/v1/jobs?kind=import_image", &[JSON], "".into()).await;
    let job = &jobs.json()["jobs"][0];
    assert_eq!(job["error"], "The download takes too long.", "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_stages_and_imports_within_its_quotas() {
    let api = Api::with(&[
        ("PUMICE_QUOTAS__IMAGE_STAGE_TOTAL", "1"),
        ("PUMICE_QUOTAS__IMAGE_SIZE_TOTAL", "0"),
        ("PUMICE_QUOTAS__IMAGE_COUNT_UPLOADING", "2"),
    ])
    .await;
    let over = |answer: super::Answer, what: &str| {
        let text = answer.is(413).message();
        assert!(text.contains(&format!("[Resource {what} is over limit of")), "{text}");
    };
    let id = queued(&api).await;
    let large = [("x-openstack-image-size", "2097152"), BYTES, JSON];
    over(api.send("PUT", &format!("/v2/images/{id}/stage"), &large, "x").await, "image_stage_total");
    let bytes: &'static [u8] = vec![7; 1 << 20].leak();
    api.stage(&id, bytes).await.is(204);
    let usage = api.get("/v2/info/usage").await.json()["usage"].clone();
    assert_eq!(usage["image_stage_total"], json!({"usage": 1, "limit": 1}));
    assert_eq!(usage["image_size_total"], json!({"usage": 0, "limit": 0}));
    assert_eq!(usage["image_count_uploading"], json!({"usage": 1, "limit": 2}));
    over(api.import(&id, &json!({"method": {"name": "glance-direct"}})).await, "image_size_total");
    assert_eq!(api.shown(&id).await["status"], "uploading");

    api.stage(&queued(&api).await, b"x").await.is(204);
    over(api.stage(&queued(&api).await, b"x").await, "image_count_uploading");
    let web = json!({"method": {"name": "web-download", "uri": "http://8.8.8.8/"}});
    let third = queued(&api).await;
    over(api.import(&third, &web).await, "image_count_uploading");
    assert_eq!(api.shown(&third).await["status"], "queued");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_of_an_allowed_host() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/x", listener.local_addr().unwrap());
    let routes = axum::Router::new().route("/x", get(async || "0123456789"));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let api = Api::with(&[
        ("PUMICE_IMPORT_FILTERING_OPTS__ALLOWED_HOSTS", "[\"127.0.0.1\"]"),
        ("PUMICE_IMPORT_FILTERING_OPTS__ALLOWED_PORTS", "[]"),
        ("PUMICE_IMAGE_IMPORT_OPTS__IMAGE_IMPORT_PLUGINS", "[\"inject_image_metadata\"]"),
        ("PUMICE_INJECT_METADATA_PROPERTIES__INJECT", "{origin = \"web\"}"),
        ("PUMICE_INJECT_METADATA_PROPERTIES__IGNORE_USER_ROLES", "[\"nobody\"]"),
    ])
    .await;
    let id = queued(&api).await;
    api.import(&id, &json!({"method": {"name": "web-download", "uri": uri}})).await.is(202);
    api.settle().await;
    let image = api.shown(&id).await;
    assert_eq!(
        (&image["status"], &image["size"], &image["origin"]),
        (&"active".into(), &10.into(), &"web".into())
    );
}

/// A service that believes a Keystone, where `glance-download` is the way to import.
async fn of_a_region(keystone: &Keystone) -> Api {
    let options = keystone.options();
    let options: Vec<_> = options.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Api::with(&options).await
}

async fn by_alice(api: &Api, method: &str, path: &str, body: Value) -> super::Answer {
    let token = ("x-auth-token", regions::TOKEN);
    let body = if body.is_null() { String::new() } else { body.to_string() };
    api.send(method, &format!("/v2{path}"), &[JSON, token], body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_another_region_is_asked_for() {
    let region = Region::play(b"0123456789".to_vec()).await;
    let api = of_a_region(&region.keystone).await;
    let told = by_alice(&api, "GET", "/info/import", Value::Null).await.is(200).json();
    assert_eq!(told["import-methods"]["value"], json!(["glance-download"]));
    let made = by_alice(&api, "POST", "/images", json!({"name": "here"})).await.is(201).json();
    let id = made["id"].as_str().unwrap();
    let import = async |method: Value| {
        by_alice(&api, "POST", &format!("/images/{id}/import"), json!({ "method": method })).await
    };
    let method =
        json!({"name": "glance-download", "glance_region": "TWO", "glance_image_id": regions::IMAGE});
    import(method.clone()).await.fault(409, "'container_format' needs to be set before import");
    let formats = json!([
        {"op": "add", "path": "/container_format", "value": "ovf"},
        {"op": "add", "path": "/disk_format", "value": "qcow2"},
    ]);
    let headers = [("x-auth-token", regions::TOKEN), ("content-type", V2_1)];
    api.send("PATCH", &format!("/v2/images/{id}"), &headers, formats.to_string()).await.is(200);
    let without = |missing: &str| {
        let mut method = method.clone();
        method.as_object_mut().unwrap().remove(missing);
        method
    };
    for missing in ["glance_region", "glance_image_id"] {
        let reason = format!("'{missing}' needs to be set for glance-download import method");
        import(without(missing)).await.fault(400, &reason);
    }
    let mut odd = method.clone();
    odd["glance_image_id"] = "../../etc".into();
    import(odd).await.fault(400, "Remote image id does not look like a UUID: ../../etc");

    import(method.clone()).await.is(202);
    api.settle_for(&[JSON, ("x-auth-token", regions::TOKEN)]).await;
    let image = by_alice(&api, "GET", &format!("/images/{id}"), Value::Null).await.is(200).json();
    for (name, value) in [("status", "active"), ("disk_format", "raw"), ("container_format", "bare")] {
        assert_eq!(image[name], value, "{image}");
    }
    assert_eq!((&image["name"], &image["os_distro"]), (&json!("here"), &json!("debian")));
    let tasks = by_alice(&api, "GET", &format!("/images/{id}/tasks"), Value::Null).await.is(200);
    assert!(!tasks.text().contains(regions::TOKEN));
    let mut shown = method.clone();
    shown["glance_service_interface"] = "public".into();
    let tasks = tasks.json()["tasks"].as_array().unwrap().clone();
    assert!(tasks.iter().any(|task| task["input"]["import_req"]["method"] == shown), "{tasks:?}");
    import(method).await.fault(409, "Image with status active cannot be target for import");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_keystone_is_needed_to_import_from_another_region() {
    let options = [("PUMICE_IMAGES__ENABLED_IMPORT_METHODS", "[\"glance-download\"]")];
    let options = options.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let faults = pumice::config::Config::load_with(None, options).unwrap_err().to_string();
    let reason = "images.enabled_import_methods: glance-download needs identity.mode = \"keystone\"";
    assert!(faults.contains(reason), "{faults}");
}
