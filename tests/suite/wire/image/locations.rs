//! Locations: bytes that stay on a web server, and where bytes are, for services.

use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::get;
use pumice::block::{ErrorKind, OpenMode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Answer, Api, BYTES, JSON, V2_1};
use crate::support::regions::{self, Keystone};

const SHA256: &str = "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882";

/// A web server with ten bytes; it knows ranges below `/ranges`.
pub(super) async fn serve() -> String {
    let ranges = async |headers: HeaderMap| match headers.get("range").map(|range| range.to_str().unwrap()) {
        Some("bytes=3-") => (206, [("content-range", "bytes 3-9/10")], "3456789").into_answer(),
        other => {
            assert_eq!(other, None);
            "0123456789".into_response()
        }
    };
    let routes =
        axum::Router::new().route("/plain", get(async || "0123456789")).route("/ranges", get(ranges));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

trait Answers {
    fn into_answer(self) -> axum::response::Response;
}

impl Answers for (u16, [(&'static str, &'static str); 1], &'static str) {
    fn into_answer(self) -> axum::response::Response {
        (axum::http::StatusCode::from_u16(self.0).unwrap(), self.1, self.2).into_response()
    }
}

pub(super) async fn start() -> Api {
    Api::with(&[
        ("PUMICE_IMPORT_FILTERING_OPTS__ALLOWED_HOSTS", "[\"127.0.0.1\"]"),
        ("PUMICE_IMPORT_FILTERING_OPTS__ALLOWED_PORTS", "[]"),
        ("PUMICE_IMAGES__HTTP_RETRIES", "0"),
        ("PUMICE_JOBS__MAX_ATTEMPTS", "1"),
        ("PUMICE_IMAGE_STORES__WEB__STORE", "http"),
    ])
    .await
}

impl Api {
    async fn add_location(&self, id: &str, body: &Value) -> Answer {
        self.send("POST", &format!("/v2/images/{id}/locations"), &[JSON], body.to_string()).await
    }

    async fn last_task(&self, id: &str) -> Value {
        self.get(&format!("/v2/images/{id}/tasks")).await.is(200).json()["tasks"][0].clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_on_a_web_server_are_an_images_content() {
    let (api, server) = (start().await, serve().await);
    for (path, body) in [
        ("plain", json!({})),
        ("ranges", json!({"validation_data": {"os_hash_algo": "sha256", "os_hash_value": SHA256}})),
    ] {
        let id = api.image(json!({"disk_format": "raw", "container_format": "bare"})).await;
        let mut body = body;
        body["url"] = json!(format!("{server}/{path}"));
        assert_eq!(api.add_location(&id, &body).await.is(202).text(), "");
        api.settle().await;
        let image = api.get(&format!("/v2/images/{id}")).await.json();
        assert_eq!(
            (&image["status"], &image["size"], &image["stores"]),
            (&json!("active"), &json!(10), &json!("web"))
        );
        assert_eq!(image["checksum"], "781e5e245d69b566979b86e28d23f2c7");
        if path == "ranges" {
            assert_eq!((&image["os_hash_algo"], &image["os_hash_value"]), (&json!("sha256"), &json!(SHA256)));
        }
        let task = api.last_task(&id).await;
        assert_eq!((&task["type"], &task["status"]), (&json!("location_import"), &json!("success")));

        let file = format!("/v2/images/{id}/file");
        assert_eq!(api.send("GET", &file, &[], "").await.is(200).text(), "0123456789");
        let part = api.send("GET", &file, &[("range", "bytes=3-5")], "").await.is(206);
        assert_eq!((part.text(), part.header("content-range")), ("345", Some("bytes 3-5/10")));
        let locations = api.get(&format!("/v2/images/{id}/locations")).await.is(200).json();
        assert_eq!(locations, json!([{"url": body["url"], "metadata": {"store": "web"}}]));
        let reason = "It's not allowed to add locations if image status is active.";
        api.add_location(&id, &body).await.fault(409, reason);
        api.send("DELETE", &format!("/v2/images/{id}"), &[], "").await.is(204);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_others_are_refused() {
    let (api, server) = (start().await, serve().await);
    let id = api.image(json!({"disk_format": "raw", "container_format": "bare"})).await;
    let wrong = SHA256.replace('8', "9");
    let body = |value: &str| {
        let validation_data = json!({"os_hash_algo": "sha256", "os_hash_value": value});
        json!({"url": format!("{server}/plain"), "validation_data": validation_data})
    };
    api.add_location(&id, &body(&wrong)).await.is(202);
    api.settle().await;
    let image = api.get(&format!("/v2/images/{id}")).await.json();
    assert_eq!(
        (&image["status"], &image["checksum"], &image["size"]),
        (&json!("queued"), &Value::Null, &Value::Null)
    );
    // As Glance leaves it.
    assert_eq!(image["stores"], "web");
    let task = api.last_task(&id).await;
    assert_eq!(task["status"], "failure");
    assert_eq!(task["message"], "The bytes have another digest than the request says.");
    api.send("GET", &format!("/v2/images/{id}/file"), &[], "").await.is(204);

    api.add_location(&id, &body(SHA256)).await.is(202);
    api.settle().await;
    assert_eq!(api.get(&format!("/v2/images/{id}")).await.json()["status"], "active");

    // An upload takes the place of what was refused.
    let id = api.image(json!({"disk_format": "raw", "container_format": "bare"})).await;
    api.add_location(&id, &body(&wrong)).await.is(202);
    api.settle().await;
    api.send("PUT", &format!("/v2/images/{id}/file"), &[BYTES], "other").await.is(204);
    let image = api.get(&format!("/v2/images/{id}")).await.json();
    assert_eq!((&image["status"], &image["stores"]), (&json!("active"), &json!("default")));
    assert_eq!(api.send("GET", &format!("/v2/images/{id}/file"), &[], "").await.is(200).text(), "other");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_location_must_not_be() {
    let api = start().await;
    let id = api.image(json!({"disk_format": "raw", "container_format": "bare"})).await;
    let url = "http://127.0.0.1:1/x";
    for validation_data in [
        json!({"os_hash_value": SHA256}),
        json!({"os_hash_algo": "sha256"}),
        json!({"os_hash_algo": "sha123", "os_hash_value": SHA256}),
        json!({"checksum": "x"}),
        json!([]),
        json!({"os_hash_algo": "sha512", "os_hash_value": SHA256}),
        json!({"os_hash_algo": "sha256", "os_hash_value": "no hex"}),
    ] {
        api.add_location(&id, &json!({"url": url, "validation_data": validation_data})).await.is(400);
    }
    api.add_location(&id, &json!({})).await.is(400);
    api.add_location(&id, &json!({"url": 1})).await.is(400);
    for url in ["http://10.0.0.1/x", "http://169.254.169.254/", "https://localhost/"] {
        let reason = format!("URI for add location does not pass filtering: {url}");
        api.add_location(&id, &json!({"url": url})).await.fault(400, &reason);
    }
    let only = "http store must be enabled to use location API by normal user.";
    // Whoever is a service may name what is in a pool of images, under the image's own name.
    let other = api.raw_image().await;
    let theirs = api.cloned_by_hand(&other, b"0123456789").await;
    let missing = theirs.replace(&other, &id);
    for url in [
        "rbd://fsid/volumes/volume-1/snap",
        "file:///etc/passwd",
        "gopher://info.cern.ch",
        &theirs,
        &missing,
        &theirs.replace("/snap", "/other"),
        &theirs.replace("/images/", "/volumes/"),
    ] {
        api.add_location(&id, &json!({"url": url})).await.fault(400, "Invalid location");
    }
    let validation_data = json!({"os_hash_algo": "sha256", "os_hash_value": "no hex"});
    api.add_location(&other, &json!({"url": theirs, "validation_data": validation_data})).await.is(400);
    assert_eq!(api.get(&format!("/v2/images/{id}")).await.json()["status"], "queued");
    // Nobody could hold the bytes against what it does not say.
    let bare = api.image(json!({"container_format": "bare"})).await;
    let said = "Property disk_format must be set prior to saving data.";
    api.add_location(&bare, &json!({"url": url})).await.fault(400, said);
    let without = Api::start().await;
    let id = without.image(json!({})).await;
    without.add_location(&id, &json!({"url": "http://8.8.8.8/"})).await.fault(403, only);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_cloned_into_the_pool_is_an_images_content() {
    let api = Api::start().await;
    let id = api.raw_image().await;
    let url = api.cloned_by_hand(&id, b"0123456789").await;
    let body = |value: &str| json!({"url": url, "validation_data": {"os_hash_algo": "sha256", "os_hash_value": value}});
    api.add_location(&id, &body(&SHA256.replace('8', "9"))).await.is(202);
    api.settle().await;
    let task = api.last_task(&id).await;
    assert_eq!(task["message"], "The bytes have another digest than the request says.");
    let image = api.shown(&id).await;
    assert_eq!((&image["status"], &image["checksum"]), (&json!("queued"), &Value::Null));

    // What is not what it says is no image's content either.
    let qcow2 = json!([{"op": "replace", "path": "/disk_format", "value": "qcow2"}]);
    api.patch(&id, V2_1, qcow2).await.is(200);
    api.add_location(&id, &json!({ "url": url })).await.is(202);
    api.settle().await;
    let task = api.last_task(&id).await;
    assert_eq!(task["message"], "Image disk_format qcow2 does not match stream data raw");
    let raw = json!([{"op": "replace", "path": "/disk_format", "value": "raw"}]);
    api.patch(&id, V2_1, raw).await.is(200);

    api.add_location(&id, &body(SHA256)).await.is(202);
    api.settle().await;
    let image = api.shown(&id).await;
    let sizes = (&image["status"], &image["size"], &image["virtual_size"]);
    assert_eq!(sizes, (&json!("active"), &json!(10), &json!(10)));
    assert_eq!((&image["os_hash_algo"], &image["os_hash_value"]), (&json!("sha256"), &json!(SHA256)));
    assert_eq!(image["checksum"], "781e5e245d69b566979b86e28d23f2c7");
    let file = format!("/v2/images/{id}/file");
    assert_eq!(api.send("GET", &file, &[], "").await.is(200).text(), "0123456789");
    let locations = api.get(&format!("/v2/images/{id}/locations")).await.is(200).json();
    assert_eq!(locations, json!([{"url": url, "metadata": {}}]));
    api.send("DELETE", &format!("/v2/images/{id}"), &[], "").await.is(204);
    api.settle().await;
    assert_eq!(api.app.stores.images.list().await.unwrap(), Vec::<String>::new());
}

/// Who is no service has no say about what lies in pools.
#[tokio::test(flavor = "multi_thread")]
async fn users_say_nothing_about_pools() {
    let keystone = Keystone::play().await;
    let options = keystone.options();
    let options: Vec<_> = options.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let api = Api::with(&options).await;
    let headers = [JSON, ("x-auth-token", regions::TOKEN)];
    let body = json!({"disk_format": "raw", "container_format": "bare"});
    let made = api.send("POST", "/v2/images", &headers, body.to_string()).await.is(201).json();
    let id = made["id"].as_str().unwrap();
    let url = api.cloned_by_hand(id, b"0123456789").await;
    let body = json!({ "url": url }).to_string();
    api.send("POST", &format!("/v2/images/{id}/locations"), &headers, body)
        .await
        .fault(403, "http store must be enabled to use location API by normal user.");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_told_where_bytes_are() {
    let api = Api::start().await;
    let id = api.sealed(b"x").await;
    let locations = api.get(&format!("/v2/images/{id}/locations")).await.is(200).json();
    let url = locations[0]["url"].as_str().unwrap();
    assert!(url.starts_with("rbd://") && url.ends_with(&format!("/images/{id}/snap")), "{url}");
    assert_eq!(locations[0]["metadata"], json!({}));
    api.send("GET", &format!("/v2/images/{id}/locations"), &[JSON], "x").await.is(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_are_tasks() {
    let api = Api::start().await;
    let id = api.image(json!({"disk_format": "raw", "container_format": "bare"})).await;
    assert_eq!(api.get(&format!("/v2/images/{id}/tasks")).await.is(200).json(), json!({"tasks": []}));
    api.send("PUT", &format!("/v2/images/{id}/stage"), &[BYTES], "x").await.is(204);
    let body = json!({"method": {"name": "glance-direct"}}).to_string();
    let asked = api.send("POST", &format!("/v2/images/{id}/import"), &[JSON], body).await.is(202);
    api.settle().await;
    let task = api.last_task(&id).await;
    assert_eq!((&task["type"], &task["status"]), (&json!("api_image_import"), &json!("success")));
    assert_eq!(task["request_id"].as_str(), asked.header("x-openstack-request-id"));
    assert_eq!(task["input"]["import_req"]["method"]["name"], "glance-direct");
    assert_eq!((&task["image_id"], &task["result"]["image_id"]), (&json!(id), &json!(id)));
}

/// Where a PATCH may say where bytes are.
async fn start_with_locations() -> Api {
    Api::with(&[
        ("PUMICE_IMPORT_FILTERING_OPTS__ALLOWED_HOSTS", "[\"127.0.0.1\"]"),
        ("PUMICE_IMPORT_FILTERING_OPTS__ALLOWED_PORTS", "[]"),
        ("PUMICE_IMAGE_STORES__WEB__STORE", "http"),
        ("PUMICE_IMAGES__SHOW_MULTIPLE_LOCATIONS", "true"),
        ("PUMICE_IMAGES__SHOW_IMAGE_DIRECT_URL", "true"),
        ("PUMICE_IMAGES__IMAGE_LOCATION_QUOTA", "3"),
    ])
    .await
}

fn op(op: &str, path: &str, value: Value) -> Value {
    json!([{"op": op, "path": path, "value": value}])
}

impl Api {
    async fn raw_image(&self) -> String {
        self.image(json!({"disk_format": "raw", "container_format": "bare"})).await
    }

    /// As Nova leaves a server's disk in the pool, and where it is.
    async fn cloned_by_hand(&self, name: &str, bytes: &'static [u8]) -> String {
        let store = &self.app.stores.images;
        store.create(name, bytes.len() as u64, 4 << 20).await.unwrap();
        let image = store.open(name, OpenMode::ReadWrite).await.unwrap();
        image.write(0, bytes.into()).await.unwrap();
        image.flush().await.unwrap();
        image.create_snapshot("snap").await.unwrap();
        image.protect_snapshot("snap").await.unwrap();
        image.close().await.unwrap();
        format!("rbd://{}/{}/{name}/snap", store.fsid().await.unwrap(), store.pool())
    }

    async fn refuses(&self, id: &str, body: Value, status: u16, said: &str) {
        let refused = self.patch(id, V2_1, body.clone()).await;
        assert_eq!(refused.status.as_u16(), status, "{body}: {}", refused.text());
        assert!(refused.message().contains(said), "{body}: {}", refused.message());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_for_more_locations_than_an_image_may_have() {
    let api = start_with_locations().await;
    let id = api.raw_image().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let all: Vec<Value> =
        (0..4).map(|path| json!({"url": format!("{server}/{path}"), "metadata": {}})).collect();
    let said =
        "The limit has been exceeded on the number of allowed image locations. Attempted: 4, Maximum: 3";
    let asked = tokio::spawn(async move { listener.accept().await.map(drop) });
    api.refuses(&id, op("replace", "/locations", json!(all)), 413, said).await;
    assert!(!asked.is_finished());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_says_where_bytes_are() {
    let (api, server) = (start_with_locations().await, serve().await);
    let id = api.raw_image().await;
    let queued = api.shown(&id).await;
    assert_eq!((&queued["locations"], queued.get("direct_url")), (&json!([]), None));
    let url = api.cloned_by_hand(&id, b"0123456789").await;
    let given = json!({"url": url, "metadata": {"zone": "a", "store": "whatever"}});
    let patched = api.patch(&id, V2_1, op("add", "/locations/-", given.clone())).await.is(200).json();
    let ours = json!({"url": url, "metadata": {"zone": "a", "store": "default"}});
    assert_eq!((&patched["status"], &patched["size"]), (&json!("active"), &json!(10)));
    assert_eq!((&patched["locations"], &patched["direct_url"]), (&json!([ours]), &json!(url)));
    assert_eq!((&patched["checksum"], &patched["stores"]), (&Value::Null, &json!("default")));
    assert_eq!(patched, api.shown(&id).await);
    let keys: Vec<&String> = patched.as_object().unwrap().keys().collect();
    assert_eq!(keys[keys.len() - 8..keys.len() - 4], ["updated_at", "locations", "direct_url", "tags"]);
    let file = format!("/v2/images/{id}/file");
    assert_eq!(api.send("GET", &file, &[], "").await.is(200).text(), "0123456789");
    api.refuses(&id, op("add", "/locations/-", given), 400, &format!("The location {url} already exists"))
        .await;

    // Somewhere else as well: before the first one, and behind.
    let far = |path: &str, metadata: Value| json!({"url": format!("{server}/{path}"), "metadata": metadata});
    api.patch(&id, V2_1, op("add", "/locations/0", far("plain", json!({})))).await.is(200);
    api.patch(&id, V2_1, op("add", "/locations/9", far("ranges", json!({})))).await.is(200);
    let urls = async || -> Vec<Value> {
        let shown = api.shown(&id).await;
        shown["locations"].as_array().unwrap().iter().map(|one| one["url"].clone()).collect()
    };
    let (plain, ranges) = (json!(format!("{server}/plain")), json!(format!("{server}/ranges")));
    assert_eq!(urls().await, [plain.clone(), json!(url), ranges.clone()]);
    let more = op("add", "/locations/-", far("plain", json!({"a": "b"})));
    let said =
        "The limit has been exceeded on the number of allowed image locations. Attempted: 4, Maximum: 3";
    api.refuses(&id, more, 413, said).await;

    // What is kept with them is changed as a whole.
    let all =
        json!([far("ranges", json!({"a": "b"})), {"url": url, "metadata": {}}, far("plain", json!({}))]);
    let patched = api.patch(&id, V2_1, op("replace", "/locations", all)).await.is(200).json();
    assert_eq!(patched["locations"][0]["metadata"], json!({"a": "b", "store": "web"}));
    assert_eq!(urls().await, [ranges.clone(), json!(url), plain.clone()]);
    let others = op("replace", "/locations", json!([far("plain", json!({}))]));
    api.refuses(&id, others, 400, "Original locations is not empty: [").await;

    // The bytes go with the location, those on a web server do not.
    let removed =
        api.patch(&id, V2_1, json!([{"op": "remove", "path": "/locations/1"}])).await.is(200).json();
    assert_eq!(removed["locations"].as_array().unwrap().len(), 2);
    let gone = api.app.stores.images.open(&id, OpenMode::ReadOnly).await.err().unwrap();
    assert_eq!(gone.kind, ErrorKind::NotFound);
    assert_eq!(api.shown(&id).await["stores"], "web,web");
    api.patch(&id, V2_1, json!([{"op": "remove", "path": "/locations/-"}])).await.is(200);
    assert_eq!(urls().await, [ranges]);
    let last = json!([{"op": "remove", "path": "/locations/0"}]);
    api.refuses(&id, last, 403, "Cannot remove last location in the image.").await;
    assert_eq!(api.send("GET", &file, &[], "").await.is(200).text(), "0123456789");
    api.send("DELETE", &format!("/v2/images/{id}"), &[], "").await.is(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_goes_with_the_bytes_that_a_patch_gave_it() {
    let api = start_with_locations().await;
    let id = api.raw_image().await;
    let url = api.cloned_by_hand(&id, b"0123456789").await;
    let body = op("replace", "/locations", json!([{"url": url, "metadata": {}}]));
    assert_eq!(api.patch(&id, V2_1, body).await.is(200).json()["status"], "active");
    api.send("DELETE", &format!("/v2/images/{id}"), &[], "").await.is(204);
    api.settle().await;
    assert_eq!(api.app.stores.images.list().await.unwrap(), Vec::<String>::new());
}

/// A web server keeps what it has, so that there is nothing to wait for, and the other places are as they were.
#[tokio::test(flavor = "multi_thread")]
async fn places_on_the_web_are_forgotten_at_once() {
    let (api, server) = (start_with_locations().await, serve().await);
    let id = api.raw_image().await;
    let add = |url: &str| op("add", "/locations/-", json!({"url": url, "metadata": {}}));
    for path in ["plain", "ranges"] {
        api.patch(&id, V2_1, add(&format!("{server}/{path}"))).await.is(200);
    }
    let delete = async || api.send("DELETE", &format!("/v2/stores/web/{id}"), &[JSON], "").await;
    let only =
        "Cannot delete image data from the only store containing it. Consider deleting the image instead.";
    delete().await.fault(403, only);
    let url = api.cloned_by_hand(&id, b"0123456789").await;
    api.patch(&id, V2_1, add(&url)).await.is(200);
    assert_eq!(delete().await.is(204).text(), "");
    let shown = api.shown(&id).await;
    assert_eq!((&shown["stores"], &shown["direct_url"]), (&json!("default"), &json!(url)));
    assert_eq!(shown["locations"].as_array().unwrap().len(), 1);
    let jobs = "/pumice/v1/jobs?kind=delete_from_store";
    let jobs = super::ask(&api.routes, "GET", jobs, &[JSON], "".into()).await.is(200);
    assert_eq!(jobs.json()["jobs"], json!([]));
    delete().await.fault(403, only);
}

/// Every list of images would read it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_with_locations_has_a_bound() {
    let (api, server) = (start_with_locations().await, serve().await);
    let id = api.raw_image().await;
    let at = |path: &str, length: usize| {
        let metadata = json!({"a": [{"b": "x".repeat(length)}]});
        json!({"url": format!("{server}/{path}"), "metadata": metadata})
    };
    let said = "The limit has been exceeded on the size of the metadata of all image locations. Attempted: ";
    api.refuses(&id, op("add", "/locations/-", at("plain", 65_536)), 413, said).await;
    api.refuses(
        &id,
        op("replace", "/locations", json!([at("plain", 40_000), at("ranges", 40_000)])),
        413,
        said,
    )
    .await;
    assert_eq!(api.shown(&id).await["status"], "queued");
    api.patch(&id, V2_1, op("add", "/locations/-", at("plain", 40_000))).await.is(200);
    api.refuses(&id, op("add", "/locations/-", at("ranges", 40_000)), 413, said).await;
    api.refuses(&id, op("replace", "/locations", json!([at("plain", 80_000)])), 413, said).await;
    api.patch(&id, V2_1, op("replace", "/locations", json!([at("plain", 60_000)]))).await.is(200);
    api.patch(&id, V2_1, op("add", "/locations/-", at("ranges", 1_000))).await.is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_patch_must_not_say() {
    let (api, server) = (start_with_locations().await, serve().await);
    let id = api.raw_image().await;
    let other = api.raw_image().await;
    let others = api.cloned_by_hand(&other, b"secret").await;
    let mine = others.replace(&other, &id);
    let add = |url: &str| op("add", "/locations/-", json!({"url": url, "metadata": {}}));
    let plain = format!("{server}/plain");
    for url in [
        "",
        "file:///etc/passwd",
        "rbd://images/x/snap",
        // Nothing is there.
        &mine,
        // The bytes of another image.
        &others,
        &mine.replace("/snap", "/other"),
        &mine.replace("/images/", "/volumes/"),
        &mine.replace("rbd://", "rbd://other"),
        "http://169.254.169.254/",
        &format!("{server}/none"),
    ] {
        api.refuses(&id, add(url), 400, "Invalid location").await;
    }
    let schema = "Provided object does not match schema 'image': ";
    for value in [
        json!("x"),
        json!({"url": plain}),
        json!({"url": 1, "metadata": {}}),
        json!({"url": "x".repeat(256), "metadata": {}}),
        json!({"url": plain, "metadata": []}),
        json!({"url": plain, "metadata": {}, "validation_data": {"checksum": "x"}}),
    ] {
        api.refuses(&id, op("add", "/locations/-", value.clone()), 400, schema).await;
        api.refuses(&id, op("replace", "/locations", json!([value])), 400, schema).await;
    }
    api.refuses(&id, op("replace", "/locations", json!([])), 403, "Cannot set locations to empty list.")
        .await;
    let numbers = op("add", "/locations/-", json!({"url": plain, "metadata": {"a": [1]}}));
    api.refuses(&id, numbers, 400, "The image metadata key a has an invalid type.").await;
    let position = "Invalid position for adding a location.";
    api.refuses(&id, op("add", "/locations/x", json!({"url": plain, "metadata": {}})), 400, position).await;
    let twice = json!([{"url": plain, "metadata": {}}, {"url": plain, "metadata": {}}]);
    api.refuses(&id, op("replace", "/locations", twice), 400, "already exists").await;
    let queued = "It's not allowed to remove locations if image status is queued.";
    api.refuses(&id, json!([{"op": "remove", "path": "/locations/0"}]), 409, queued).await;

    for (validation, said) in [
        (
            json!({"os_hash_algo": "sha256", "os_hash_value": SHA256}),
            "os_hash_algo must be sha512, not sha256",
        ),
        (
            json!({"os_hash_algo": "sha512", "os_hash_value": "xy"}),
            "os_hash_value (xy) is not a valid hexadecimal",
        ),
        (
            json!({"os_hash_algo": "sha512", "os_hash_value": "abcd"}),
            "os_hash_value (abcd) is not the correct size for sha512 (should be 64 bytes)",
        ),
        (
            json!({"checksum": "z".repeat(32), "os_hash_algo": "sha512", "os_hash_value": "ab".repeat(64)}),
            "is not a valid hexadecimal value",
        ),
    ] {
        let value = json!({"url": plain, "metadata": {}, "validation_data": validation});
        api.refuses(&id, op("add", "/locations/-", value), 409, said).await;
    }
    assert_eq!(api.shown(&id).await["status"], "queued");
    let bare = api.image(json!({"disk_format": "raw"})).await;
    api.refuses(&bare, add(&plain), 400, "Property container_format must be set prior to saving data.").await;

    // What is believed of the bytes, and what is not any more.
    let said = |value: &str| {
        let validation = json!({"os_hash_algo": "sha512", "os_hash_value": value.repeat(64)});
        json!({"url": plain, "metadata": {"v": value}, "validation_data": validation})
    };
    let active = api.patch(&id, V2_1, op("add", "/locations/-", said("ab"))).await.is(200).json();
    assert_eq!((&active["status"], &active["os_hash_value"]), (&json!("active"), &json!("ab".repeat(64))));
    assert_eq!((&active["os_hash_algo"], &active["size"]), (&json!("sha512"), &json!(10)));
    let known = "os_hash_value is already set with a different value";
    api.refuses(&id, op("add", "/locations/-", said("cd")), 409, known).await;
    let known = json!({"os_hash_algo": "sha512", "os_hash_value": "ab".repeat(64)});
    let again = json!({"url": plain, "metadata": {"v": "2"}, "validation_data": known});
    api.patch(&id, V2_1, op("add", "/locations/-", again)).await.is(200);

    api.send("POST", &format!("/v2/images/{id}/actions/deactivate"), &[JSON], "").await.is(204);
    for (op_, verb) in [("add", "add"), ("remove", "remove")] {
        let said = format!("It's not allowed to {verb} locations if image status is deactivated.");
        api.refuses(&id, op(op_, "/locations/0", json!({"url": plain, "metadata": {}})), 409, &said).await;
    }
    let said = "It's not allowed to replace locations if image status is deactivated.";
    let value = json!([{"url": plain, "metadata": {}}]);
    api.refuses(&id, op("replace", "/locations", value), 409, said).await;
}
