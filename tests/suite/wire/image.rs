//! The Image API.

mod metadefs;
mod published;
mod schemas;
mod signatures;
mod tasks;

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use pumice::block::{Progress, SnapshotPath};
use pumice::config::Config;
use pumice::http::App;
use pumice::model::ImageId;
use pumice::service::Service;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::openapi::answers;

mod imports;
mod locations;
mod request_ids;
mod stores;

const JSON: (&str, &str) = ("accept", "application/json");
const V2_1: &str = "application/openstack-images-v2.1-json-patch";
const V2_0: &str = "application/openstack-images-v2.0-json-patch";
const BYTES: (&str, &str) = ("content-type", "application/octet-stream");

/// A whole service over SQLite and the directory store, without a socket.
struct Api {
    routes: Router,
    /// The same API as it is served on a port of its own.
    own_port: Router,
    app: App,
    stop: CancellationToken,
    /// Keeps the files.
    _folder: TempDir,
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    /// Of a fault that was asked for as JSON: its message without the line breaks around it.
    fn message(&self) -> String {
        let message = self.json()["message"].as_str().unwrap().to_owned();
        message.replace("<br /><br />", "").trim().to_owned()
    }

    fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.body));
        self
    }

    /// A fault that was asked for as JSON, with its text.
    fn fault(self, status: u16, message: &str) -> Self {
        let answer = self.is(status);
        assert_eq!(answer.message(), message);
        answer
    }
}

async fn ask(routes: &Router, method: &str, path: &str, headers: &[(&str, &str)], body: Body) -> Answer {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = Request::builder().method(&method).uri(path).header("host", "cloud.example:8080");
    for (name, value) in headers {
        if *name == "host" {
            request.headers_mut().unwrap().clear();
        }
        request = request.header(*name, *value);
    }
    let response = routes.clone().oneshot(request.body(body).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    answers::hold(method.as_str(), &parts, &body);
    Answer { status: parts.status, headers: parts.headers, body }
}

impl Api {
    async fn start() -> Self {
        Self::with(&[]).await
    }

    async fn with(options: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let variables = [
            ("PUMICE_DATABASE__URL", format!("sqlite:{}", path("pumice.db"))),
            ("PUMICE_IMAGES__DIRECTORY", path("store")),
            ("PUMICE_VOLUMES__DIRECTORY", path("store")),
            ("PUMICE_JOBS__POLL_INTERVAL", "1".to_owned()),
            ("PUMICE_IDENTITY__MODE", "none".to_owned()),
        ];
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value));
        // An @ is the folder of this service.
        let place = folder.path().display().to_string();
        let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).replace('@', &place)));
        let config = Config::load_with(None, variables.chain(options)).unwrap();
        let service = Service::open(config).await.unwrap();
        let stop = CancellationToken::new();
        service.start_background(&stop, &TaskTracker::new());
        let own_port = pumice::image_api::router(service.app.clone(), "");
        Self { routes: service.routes(None), own_port, app: service.app, stop, _folder: folder }
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        ask(&self.routes, method, &format!("/image{path}"), headers, body.into()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[JSON], Body::empty()).await
    }

    async fn post(&self, body: &Value) -> Answer {
        self.send("POST", "/v2/images", &[JSON], body.to_string()).await
    }

    /// The id of a new image.
    async fn image(&self, body: Value) -> String {
        self.post(&body).await.is(201).json()["id"].as_str().unwrap().to_owned()
    }

    /// The id of a new image with bytes.
    async fn active(&self, bytes: &'static [u8]) -> String {
        let id = self.image(json!({"disk_format": "raw", "container_format": "bare"})).await;
        self.send("PUT", &format!("/v2/images/{id}/file"), &[BYTES], bytes).await.is(204);
        id
    }

    /// The same, with its snapshot.
    async fn sealed(&self, bytes: &'static [u8]) -> String {
        let id = self.active(bytes).await;
        self.settle().await;
        id
    }

    /// Waits until no job is open.
    async fn settle(&self) {
        self.settle_for(&[JSON]).await;
    }

    /// As somebody sees it who says who they are.
    async fn settle_for(&self, headers: &[(&str, &str)]) {
        let open = async || {
            let path = "/pumice/v1/jobs?state=open";
            ask(&self.routes, "GET", path, headers, Body::empty()).await.is(200).json()["jobs"].clone()
        };
        while open().await != json!([]) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn patch(&self, id: &str, media_type: &str, body: Value) -> Answer {
        let headers = [JSON, ("content-type", media_type)];
        self.send("PATCH", &format!("/v2/images/{id}"), &headers, body.to_string()).await
    }

    async fn names(&self, query: &str) -> Vec<String> {
        let list = self.get(&format!("/v2/images?{query}")).await.is(200).json();
        let images = list["images"].as_array().unwrap();
        images.iter().map(|image| image["name"].as_str().unwrap_or("-").to_owned()).collect()
    }
}

const QUEUED: &str = r#"{"zebra":"2","zoo":"1","name":"n","disk_format":"raw","container_format":"bare","visibility":"shared","size":null,"virtual_size":null,"status":"queued","checksum":null,"protected":false,"min_ram":1,"min_disk":2,"owner":"00000000000000000000000000000001","os_hidden":false,"os_hash_algo":null,"os_hash_value":null,"id":"A","created_at":"T","updated_at":"T","tags":["a","b"],"self":"/v2/images/A","file":"/v2/images/A/file","schema":"/v2/schemas/image"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_image_has_the_keys_and_the_order_of_glance() {
    let api = Api::start().await;
    let id = "a5e0b0c4-0000-4000-8000-000000000001";
    let body = json!({"id": id.to_uppercase(), "name": "n", "zoo": "1", "zebra": "2", "tags": ["b", "a", "b"],
        "disk_format": "raw", "container_format": "bare", "min_ram": 1.0, "min_disk": 2});
    let created = api.post(&body).await.is(201);
    assert_eq!(created.header("location"), Some(&*format!("http://cloud.example:8080/image/v2/images/{id}")));
    assert_eq!(created.header("content-type"), Some("application/json"));
    assert!(created.header("x-openstack-request-id").is_some_and(|id| id.starts_with("req-")));
    assert_eq!(created.header("openstack-image-import-methods"), Some("glance-direct,web-download"));
    let time = created.json()["created_at"].as_str().unwrap().to_owned();
    assert_eq!(time.len(), "2026-01-31T12:00:00Z".len());
    let expected = QUEUED.replace('A', id).replace("\"T\"", &format!("{time:?}"));
    assert_eq!(created.text(), expected);
    assert_eq!(api.get(&format!("/v2/images/{id}")).await.is(200).text(), expected);
    let list = api.get("/v2/images").await.is(200);
    let whole = format!(r#"{{"images":[{expected}],"first":"/v2/images","schema":"/v2/schemas/images"}}"#);
    assert_eq!(list.text(), whole);

    api.send("PUT", &format!("/v2/images/{id}/file"), &[BYTES], "0123456789").await.is(204);
    let active = api.get(&format!("/v2/images/{id}")).await.json();
    assert_eq!(active["status"], "active");
    assert_eq!(active["size"], 10);
    assert_eq!(active["checksum"], "781e5e245d69b566979b86e28d23f2c7");
    assert_eq!(active["os_hash_algo"], "sha512");
    assert_eq!(active["os_hash_value"].as_str().unwrap().len(), 128);
    assert_eq!(active.get("direct_url"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_direct_url_is_shown_when_it_is_configured() {
    let api = Api::with(&[("PUMICE_IMAGES__SHOW_IMAGE_DIRECT_URL", "true")]).await;
    let id = api.sealed(b"x").await;
    let image = api.get(&format!("/v2/images/{id}")).await.json();
    let url = image["direct_url"].as_str().unwrap();
    assert!(url.starts_with("rbd://") && url.ends_with(&format!("/images/{id}/snap")), "{url}");
    let keys: Vec<&String> = image.as_object().unwrap().keys().collect();
    assert_eq!(keys[keys.len() - 5..], ["direct_url", "tags", "self", "file", "schema"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn versions() {
    let api = Api::start().await;
    let link = json!([{"rel": "self", "href": "http://cloud.example:8080/image/v2/"}]);
    let version = |id: &str, status: &str| json!({"id": id, "status": status, "links": link});
    let ids = ["2.15", "2.9", "2.17", "2.7", "2.6", "2.5", "2.4", "2.3", "2.2", "2.1", "2.0"];
    let status = |id: &str| if id == "2.17" { "CURRENT" } else { "SUPPORTED" };
    let expected: Vec<Value> = ids.map(|id| version(&format!("v{id}"), status(id))).into();
    let expected = json!({"versions": expected});
    for path in ["", "/v3/images", "/v1/images", "/v2.99/images", "/nothing", "/V2/images"] {
        for method in ["GET", "POST"] {
            let answer = api.send(method, path, &[], Body::empty()).await.is(300);
            assert_eq!(answer.json(), expected, "{path}");
            assert_eq!(answer.header("content-type"), Some("application/json"));
        }
    }
    assert_eq!(api.get("/versions").await.is(200).json(), expected);
    assert_eq!(api.get("/versions/").await.is(200).json(), expected);
    let root = api.get("/v2").await.is(302);
    assert_eq!(root.header("location"), Some("http://cloud.example:8080/image/v2/"));
    api.get("/v2/").await.fault(404, "The resource could not be found.");
    api.get("/v2.3/images").await.is(200);
    let accept = [("accept", "application/vnd.openstack.images-v2.1")];
    api.send("GET", "/images", &accept, Body::empty()).await.is(200);

    for (path, status) in [("/", 300), ("/versions", 200)] {
        let answer = ask(&api.own_port, "GET", path, &[], Body::empty()).await.is(status).json();
        assert_eq!(answer["versions"][0]["links"][0]["href"], "http://cloud.example:8080/v2/");
    }
    ask(&api.own_port, "GET", "/v2/images", &[], Body::empty()).await.is(200);
    let proxied = [("x-forwarded-host", "a.example, b.example")];
    let answer = ask(&api.own_port, "GET", "/versions", &proxied, Body::empty()).await.is(200).json();
    assert_eq!(answer["versions"][0]["links"][0]["href"], "http://b.example/v2/");

    for (routes, path) in [(&api.routes, "/image/healthcheck"), (&api.own_port, "/healthcheck")] {
        for method in ["GET", "POST"] {
            let answer = ask(routes, method, path, &[JSON], Body::empty()).await.is(200);
            assert_eq!(
                (answer.text(), answer.header("content-type")),
                ("OK", Some("text/plain; charset=UTF-8"))
            );
        }
        assert_eq!(ask(routes, "HEAD", path, &[], Body::empty()).await.is(200).text(), "");
    }

    let public = Api::with(&[("PUMICE_API__IMAGE_PUBLIC_ENDPOINT", "https://images.example/glance/")]).await;
    let answer = public.get("/versions").await.json();
    assert_eq!(answer["versions"][0]["links"][0]["href"], "https://images.example/glance/v2/");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_has_three_bodies() {
    let api = Api::start().await;
    let ask = async |accept: Option<&str>| {
        let headers: Vec<(&str, &str)> = accept.map(|accept| ("accept", accept)).into_iter().collect();
        api.send("GET", "/v2/images/z%3Cb%3E%26z", &headers, Body::empty()).await.is(404)
    };
    for accept in [None, Some("image/png")] {
        let plain = ask(accept).await;
        assert_eq!(plain.header("content-type"), Some("text/plain; charset=UTF-8"));
        assert_eq!(plain.text(), "404 Not Found\n\nNo image found with ID z&z\n\n   ");
    }
    // With an empty one openstacksdk uploads.
    for accept in ["text/html", "*/*", ""] {
        let html = ask(Some(accept)).await;
        assert_eq!(html.header("content-type"), Some("text/html; charset=UTF-8"));
        assert_eq!(
            html.text(),
            "<html>\n <head>\n  <title>404 Not Found</title>\n </head>\n <body>\n  <h1>404 Not Found</h1>\n  \
             No image found with ID z&lt;b&gt;&amp;z<br /><br />\n\n\n\n </body>\n</html>"
        );
    }
    let json = ask(Some("application/json")).await;
    assert_eq!(json.header("content-type"), Some("application/json"));
    assert_eq!(
        json.text(),
        r#"{"message":"No image found with ID z<b>&z<br /><br />\n\n\n","code":"404 Not Found","title":"Not Found"}"#
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_a_byte_now_and_then_is_given_up() {
    let options = [("PUMICE_IMAGES__UPLOAD_IDLE_TIMEOUT", "1"), ("PUMICE_IMAGES__UPLOAD_MIN_RATE", "100000")];
    let api = Api::with(&options).await;
    let id = api.image(json!({"disk_format": "raw", "container_format": "bare"})).await;
    let drops = || {
        let drop = futures::stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Some((Ok::<_, std::io::Error>("x"), ()))
        });
        Body::from_stream(drop)
    };
    for what in ["file", "stage"] {
        let path = format!("/v2/images/{id}/{what}");
        let said = "Too little image data arrived for too long.";
        api.send("PUT", &path, &[BYTES, JSON], drops()).await.fault(408, said);
        let image = api.get(&format!("/v2/images/{id}")).await.is(200).json();
        assert_eq!((&image["status"], &image["size"]), (&json!("queued"), &Value::Null));
    }
    assert_eq!(api.app.stores.images.list().await.unwrap(), Vec::<String>::new());
    api.send("PUT", &format!("/v2/images/{id}/file"), &[BYTES], "0123456789").await.is(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_with_bodies_of_their_own() {
    let api = Api::start().await;
    let id = api.active(b"0123456789").await;
    let file = format!("/v2/images/{id}/file");

    let method = api.send("PUT", "/v2/images", &[], Body::empty()).await.is(405);
    assert_eq!(
        method.text(),
        "405 Method Not Allowed\n\nThe method PUT is not allowed for this resource. \n\n "
    );
    let method = api.send("PUT", "/v2/images", &[JSON], Body::empty()).await.json();
    assert_eq!(method["message"], "The method PUT is not allowed for this resource. <br /><br />\n");

    let kind = api.send("PUT", &file, &[("content-type", "text/plain")], "x").await.is(415);
    assert_eq!(
        kind.text(),
        "415 Unsupported Media Type\n\nThe request media type text/plain is not supported by this server. \
         \n\n Invalid content type text/plain"
    );
    let range = api.send("GET", &file, &[("range", "bytes=10-")], Body::empty()).await.is(416);
    assert_eq!(
        range.text(),
        "416 Request Range Not Satisfiable\n\nThe Range requested is not available.\n\n \
         Invalid start position in Range header. Start position MUST be in the inclusive range [0, 9].  "
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_that_a_path_does_not_have() {
    let api = Api::start().await;
    for (method, path, allow) in [
        ("PUT", "/v2/images", "GET, POST"),
        ("HEAD", "/v2/images", "GET, POST"),
        ("POST", "/v2/images/x", "GET, PATCH, DELETE"),
        ("HEAD", "/v2/images/x", "GET, PATCH, DELETE"),
        ("DELETE", "/v2/images/x/file", "GET, PUT"),
        ("GET", "/v2/images/x/tags/t", "PUT, DELETE"),
        ("GET", "/v2/images/x/actions/deactivate", "POST"),
        ("PUT", "/v2/images/x/actions/reactivate", "POST"),
        ("POST", "/v2/schemas/image", "GET"),
        ("TRACE", "/v2/schemas/images", "GET"),
        ("PATCH", "/v2/images/x/members", "GET, POST"),
        ("POST", "/v2/images/x/members/m", "GET, PUT, DELETE"),
        ("DELETE", "/v2/metadefs/namespaces", "GET, POST"),
        ("PATCH", "/v2/metadefs/namespaces/n", "GET, PUT, DELETE"),
        ("PUT", "/v2/metadefs/namespaces/n/objects", "GET, POST, DELETE"),
        ("POST", "/v2/metadefs/namespaces/n/objects/o", "GET, PUT, DELETE"),
        ("PUT", "/v2/metadefs/namespaces/n/properties", "GET, POST, DELETE"),
        ("POST", "/v2/metadefs/namespaces/n/properties/p", "GET, PUT, DELETE"),
        ("PUT", "/v2/metadefs/namespaces/n/tags", "GET, POST, DELETE"),
        ("PATCH", "/v2/metadefs/namespaces/n/tags/t", "GET, POST, PUT, DELETE"),
        ("PUT", "/v2/metadefs/namespaces/n/resource_types", "GET, POST"),
        ("GET", "/v2/metadefs/namespaces/n/resource_types/r", "DELETE"),
        ("POST", "/v2/metadefs/resource_types", "GET"),
        ("PUT", "/v2/tasks", "GET, POST"),
        ("PUT", "/v2/tasks/t", "GET, DELETE"),
        ("POST", "/v2/images/x/tasks", "GET"),
    ] {
        let answer = api.send(method, path, &[JSON], Body::empty()).await.is(405);
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
        if method == "HEAD" {
            assert!(answer.body.is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_that_are_not_there_are_not_faked() {
    let api = Api::start().await;
    let id = api.image(json!({})).await;
    for path in [
        "/v2/nothing",
        "/v2/images/",
        "/v2/schemas/nothing",
        "/v2/cache",
        &format!("/v2/images/{id}/actions/nothing"),
    ] {
        for method in ["GET", "POST", "HEAD"] {
            api.send(method, path, &[JSON], Body::empty()).await.is(404);
        }
        api.get(path).await.fault(404, "The resource could not be found.");
    }
    // The cache of images, which takes no directory here.
    for (method, path) in [
        ("GET", "/v2/cache".to_owned()),
        ("DELETE", "/v2/cache".to_owned()),
        ("PUT", format!("/v2/cache/{id}")),
        ("DELETE", format!("/v2/cache/{id}")),
        ("GET", format!("/v2/cache/nodes/{id}")),
        ("POST", "/v2/cache/clean".to_owned()),
        ("POST", "/v2/cache/prune".to_owned()),
    ] {
        let answer = api.send(method, &path, &[JSON], Body::empty()).await;
        answer.fault(404, "The resource could not be found.");
    }
    // One that Glance knows by its method alone.
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let answer = api.send(method, "/v2/info/usage", &[JSON], Body::empty()).await;
        answer.fault(404, "The resource could not be found.");
    }
    api.send("HEAD", "/v2/info/usage", &[JSON], Body::empty()).await.is(404);
    assert_eq!(api.get("/v2/info/usage").await.is(200).header("allow"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_expected() {
    let api = Api::start().await;
    let id = api.image(json!({})).await;
    for (method, path) in [
        ("GET", format!("/v2/images/{id}")),
        ("DELETE", format!("/v2/images/{id}")),
        ("GET", format!("/v2/images/{id}/file")),
        ("PUT", format!("/v2/images/{id}/tags/t")),
        ("DELETE", format!("/v2/images/{id}/tags/t")),
        ("POST", format!("/v2/images/{id}/actions/deactivate")),
        ("POST", format!("/v2/images/{id}/actions/reactivate")),
        ("GET", "/v2/schemas/image".to_owned()),
        ("GET", "/v2/schemas/images".to_owned()),
    ] {
        let answer = api.send(method, &path, &[JSON], "body").await;
        answer.fault(400, "A body is not expected with this request.");
    }
    // Glance does not look here.
    api.send("GET", "/v2/images", &[JSON], "body").await.is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_create_refuses() {
    let api = Api::start().await;
    let raw = async |body: &'static [u8]| api.send("POST", "/v2/images", &[JSON], body).await;
    raw(b"").await.fault(400, "Body expected in request.");
    raw(b"{").await.fault(400, "Malformed JSON in request body.");
    raw(b"\xff{}").await.fault(400, "Malformed JSON in request body.");
    raw(br#"{"name": "\ud800"}"#).await.fault(400, "Malformed JSON in request body.");
    raw(b"5").await.fault(400, "Unexpected body type. Expected list/dict.");
    raw(b"[]").await.fault(400, "Request body must be a JSON object.");
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    api.send("POST", "/v2/images", &[JSON], deep).await.fault(400, "Malformed JSON in request body.");
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
    api.send("POST", "/v2/images", &[JSON], large)
        .await
        .fault(413, "The request body is larger than 1048576 bytes.");
    // Of unknown length.
    let frames = futures::stream::iter((0..300).map(|_| Ok::<_, std::io::Error>(vec![b' '; 4096])));
    api.send("POST", "/v2/images", &[JSON], Body::from_stream(frames)).await.is(413);

    let id = api.image(json!({})).await;
    let long = "x".repeat(256);
    let tags: Vec<String> = (0..129).map(|n| n.to_string()).collect();
    let properties: serde_json::Map<String, Value> =
        (0..129).map(|n| (format!("p{n}"), json!("x"))).collect();
    let schema = "Provided object does not match schema 'image': ";
    for (body, status, message) in [
        (json!({"id": id}), 409, format!("Image ID {id} already exists!")),
        (json!({"id": id.to_uppercase()}), 409, format!("Image ID {id} already exists!")),
        (json!({"status": "active"}), 403, "Attribute 'status' is read-only.".to_owned()),
        (json!({"size": 5}), 403, "Attribute 'size' is read-only.".to_owned()),
        (json!({"virtual_size": 5}), 403, "Attribute 'virtual_size' is read-only.".to_owned()),
        (json!({"checksum": null}), 403, "Attribute 'checksum' is read-only.".to_owned()),
        (json!({"os_hash_algo": "md5"}), 403, "Attribute 'os_hash_algo' is read-only.".to_owned()),
        (json!({"os_hash_value": "x"}), 403, "Attribute 'os_hash_value' is read-only.".to_owned()),
        (json!({"created_at": "x"}), 403, "Attribute 'created_at' is read-only.".to_owned()),
        (json!({"updated_at": "x"}), 403, "Attribute 'updated_at' is read-only.".to_owned()),
        (json!({"self": 5}), 403, "Attribute 'self' is read-only.".to_owned()),
        (json!({"file": "x"}), 403, "Attribute 'file' is read-only.".to_owned()),
        (json!({"schema": "x"}), 403, "Attribute 'schema' is read-only.".to_owned()),
        (json!({"stores": "x"}), 403, "Attribute 'stores' is read-only.".to_owned()),
        (json!({"direct_url": "x"}), 403, "Attribute 'direct_url' is read-only.".to_owned()),
        (json!({"locations": []}), 403, "Attribute 'locations' is reserved.".to_owned()),
        (json!({"location": "x"}), 403, "Access was denied to this resource.\nAttribute 'location' is reserved.".to_owned()),
        (json!({"deleted": "x"}), 403, "Access was denied to this resource.\nAttribute 'deleted' is reserved.".to_owned()),
        (json!({"deleted_at": "x"}), 403, "Access was denied to this resource.\nAttribute 'deleted_at' is reserved.".to_owned()),
        (json!({"os_glance_x": "x"}), 403, "Access was denied to this resource.\nAttribute 'os_glance_x' is reserved.".to_owned()),
        (json!({"min_ram": -1}), 400, "Invalid value '-1' for parameter 'min_ram': Cannot be a negative value".to_owned()),
        (json!({"min_disk": -1}), 400, "Invalid value '-1' for parameter 'min_disk': Cannot be a negative value".to_owned()),
        (json!({"min_ram": 1_i64 << 31}), 400, "'min_ram' value out of range, must not exceed 2147483647.".to_owned()),
        (json!({"min_ram": u64::MAX}), 400, "'min_ram' value out of range, must not exceed 2147483647.".to_owned()),
        (json!({"min_ram": 1e300}), 400, "'min_ram' value out of range, must not exceed 2147483647.".to_owned()),
        (json!({"min_ram": 1.5}), 400, format!("{schema}1.5 is not of type 'integer'\n\nOn instance['min_ram']")),
        (json!({"min_ram": true}), 400, format!("{schema}True is not of type 'integer'\n\nOn instance['min_ram']")),
        (json!({"name": 5}), 400, format!("{schema}5 is not of type 'null', 'string'\n\nOn instance['name']")),
        (json!({"name": long}), 400, format!("{schema}'{long}' is too long\n\nOn instance['name']")),
        (json!({"owner": 5}), 400, format!("{schema}5 is not of type 'null', 'string'\n\nOn instance['owner']")),
        (json!({"k": 5}), 400, format!("{schema}5 is not of type 'string'\n\nOn instance['k']")),
        (json!({"k": null}), 400, format!("{schema}None is not of type 'string'\n\nOn instance['k']")),
        (json!({"tags": "x"}), 400, format!("{schema}'x' is not of type 'array'\n\nOn instance['tags']")),
        (json!({"tags": ["a", 5]}), 400, format!("{schema}5 is not of type 'string'\n\nOn instance['tags'][1]")),
        (json!({"tags": [long]}), 400, format!("{schema}'{long}' is too long\n\nOn instance['tags'][0]")),
        (json!({"protected": "x"}), 400, format!("{schema}'x' is not of type 'boolean'\n\nOn instance['protected']")),
        (json!({"os_hidden": 1}), 400, format!("{schema}1 is not of type 'boolean'\n\nOn instance['os_hidden']")),
        (json!({"visibility": null}), 400, format!("{schema}None is not of type 'string'\n\nOn instance['visibility']")),
        (
            json!({"visibility": "x"}), 400,
            format!("{schema}'x' is not one of ['community', 'public', 'private', 'shared']\n\nOn instance['visibility']"),
        ),
        (
            json!({"container_format": "x"}), 400,
            format!("{schema}'x' is not one of [None, 'ami', 'ari', 'aki', 'bare', 'ovf', 'ova', 'docker', 'compressed']\n\nOn instance['container_format']"),
        ),
        (
            json!({"id": "x"}), 400,
            format!("{schema}'x' does not match '^([0-9a-fA-F]){{8}}-([0-9a-fA-F]){{4}}-([0-9a-fA-F]){{4}}-([0-9a-fA-F]){{4}}-([0-9a-fA-F]){{12}}$'\n\nOn instance['id']"),
        ),
        (json!({long.clone(): "x"}), 400, "Custom property should not be greater than 255 characters.".to_owned()),
        (json!({"name": "a\0b"}), 400, "The character NUL is not allowed in texts.".to_owned()),
        (json!({"a\0b": "x"}), 400, "The character NUL is not allowed in texts.".to_owned()),
        (json!({"tags": ["a\0b"]}), 400, "The character NUL is not allowed in texts.".to_owned()),
        (json!({"k": "a\0b"}), 400, "The character NUL is not allowed in texts.".to_owned()),
        (
            json!({"tags": tags}), 413,
            "The limit has been exceeded on the number of allowed image tags. Attempted: 129, Maximum: 128".to_owned(),
        ),
        (
            Value::Object(properties), 413,
            "The limit has been exceeded on the number of allowed image properties. Attempted: 129, Maximum: 128".to_owned(),
        ),
    ] {
        api.post(&body).await.fault(status, &message);
    }
    assert_eq!(api.names("").await, ["-"]);

    let few = Api::with(&[("PUMICE_QUOTAS__IMAGE_COUNT_TOTAL", "1")]).await;
    few.post(&json!({})).await.is(201);
    few.post(&json!({})).await.is(413);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_create_takes() {
    let api = Api::start().await;
    for (body, key, value) in [
        (json!({"owner": null}), "owner", Value::Null),
        (json!({"owner": "other"}), "owner", json!("other")),
        (json!({"name": ""}), "name", json!("")),
        (json!({"name": "é".repeat(255)}), "name", json!("é".repeat(255))),
        (json!({"": "empty"}), "", json!("empty")),
        (json!({"tags": [""]}), "tags", json!([""])),
        (json!({"disk_format": null}), "disk_format", Value::Null),
        (json!({"visibility": "public"}), "visibility", json!("public")),
        (json!({"os_hidden": true}), "os_hidden", json!(true)),
        (json!({"k": "x".repeat(70_000)}), "k", json!("x".repeat(70_000))),
    ] {
        assert_eq!(api.post(&body).await.is(201).json()[key], value);
    }
}

/// Twelve images in pairs of equal names, with sizes for some.
async fn many(api: &Api) -> Vec<Value> {
    for n in 0..12 {
        let mut body = json!({"name": format!("n{}", n / 2), "min_ram": n % 3});
        if n % 4 == 0 {
            body["disk_format"] = json!(["raw", "qcow2", "iso"][n / 4]);
            body["container_format"] = json!("bare");
        }
        api.post(&body).await.is(201);
    }
    let list = api.get("/v2/images?limit=100").await.json();
    list["images"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_pages_in_every_order() {
    let api = Api::start().await;
    let all = many(&api).await;
    let everything: BTreeSet<&str> = all.iter().map(|image| image["id"].as_str().unwrap()).collect();
    assert_eq!(everything.len(), 12);
    for key in ["name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at"]
    {
        for direction in ["asc", "desc"] {
            for sort in [
                format!("sort={key}:{direction}"),
                format!("sort_key={key}&sort_dir={direction}"),
                format!("sort={key}:{direction},name:asc"),
                format!("sort_key={key}&sort_key=name&sort_dir={direction}&sort_dir=asc"),
            ] {
                let mut path = format!("/v2/images?limit=5&{sort}");
                let mut found: Vec<Value> = Vec::new();
                let mut sizes = Vec::new();
                loop {
                    let page = api.get(&path).await.is(200).json();
                    let images = page["images"].as_array().unwrap();
                    sizes.push(images.len());
                    found.extend(images.iter().cloned());
                    assert!(!page["first"].as_str().unwrap().contains("marker"));
                    match page.get("next") {
                        Some(next) => path = next.as_str().unwrap().to_owned(),
                        None => break,
                    }
                }
                assert_eq!(sizes, [5, 5, 2], "{sort}");
                let ids: BTreeSet<&str> = found.iter().map(|image| image["id"].as_str().unwrap()).collect();
                assert_eq!(ids, everything, "{sort}");
                // Nothing comes before everything, in both engines.
                let values: Vec<&str> =
                    found.iter().map(|image| image[key].as_str().unwrap_or_default()).collect();
                let mut sorted = values.clone();
                sorted.sort_unstable();
                if direction == "desc" {
                    sorted.reverse();
                }
                assert_eq!(values, sorted, "{sort}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_keep_the_query() {
    let api = Api::start().await;
    for n in 0..3 {
        api.image(json!({"name": format!("é{n}"), "tags": ["a", "b c"]})).await;
    }
    let query = "tag=a&limit=1&tag=b+c&visibility=all";
    let first = api.get(&format!("/v2/images?{query}")).await.json();
    assert_eq!(first["first"], format!("/v2/images?{query}"));
    let id = first["images"][0]["id"].as_str().unwrap();
    assert_eq!(first["next"], format!("/v2/images?{query}&marker={id}"));
    let second = api.get(first["next"].as_str().unwrap()).await.json();
    assert_eq!(second["first"], format!("/v2/images?{query}"));
    // A full last page cannot know that it is the last.
    let all = api.get("/v2/images?limit=3").await.json();
    let after = api.get(all["next"].as_str().unwrap()).await.json();
    assert_eq!(after["images"], json!([]));
    assert_eq!(after.get("next"), None);
    let none = api.get("/v2/images?limit=0").await.is(200);
    assert_eq!(none.text(), r#"{"images":[],"first":"/v2/images?limit=0","schema":"/v2/schemas/images"}"#);
    assert_eq!(
        api.get("/v2/images?limit=99999999999999999999999").await.json()["images"].as_array().unwrap().len(),
        3
    );
    let two =
        Api::with(&[("PUMICE_IMAGES__LIMIT_PARAM_DEFAULT", "1"), ("PUMICE_IMAGES__API_LIMIT_MAX", "2")])
            .await;
    for _ in 0..3 {
        two.image(json!({})).await;
    }
    assert_eq!(two.names("").await.len(), 1);
    assert_eq!(two.names("limit=9").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters() {
    let api = Api::start().await;
    let id = api.image(json!({"name": "a", "tags": ["x", "y"], "os_distro": "debian", "min_ram": 5})).await;
    api.image(json!({"name": "b,c", "tags": ["x"], "protected": true, "disk_format": "raw"})).await;
    api.image(json!({"name": "hidden", "os_hidden": true})).await;
    api.image(json!({"name": "theirs", "owner": "other"})).await;
    api.image(json!({"name": "community", "visibility": "community"})).await;
    api.image(json!({"name": "their community", "owner": "other", "visibility": "community"})).await;
    let ours = ["community", "theirs", "b,c", "a"];
    for (query, expected) in [
        ("", &ours[..]),
        ("name=a", &["a"]),
        ("name=eq:a", &["a"]),
        ("name=in:a,theirs", &["theirs", "a"]),
        ("name=in:%22b,c%22,a", &["b,c", "a"]),
        ("name=in:", &[]),
        ("name=", &[]),
        (&format!("id={id}"), &["a"]),
        (&format!("id=in:{id},x"), &["a"]),
        ("status=queued", &ours),
        ("status=in:active,queued", &ours),
        ("status=deleted", &[]),
        ("disk_format=raw", &["b,c"]),
        ("tag=x", &["b,c", "a"]),
        ("tag=x&tag=y", &["a"]),
        ("tag=x&tag=z", &[]),
        ("os_distro=debian", &["a"]),
        ("os_distro=arch", &[]),
        ("protected=true", &["b,c"]),
        ("os_hidden=True", &["hidden"]),
        ("os_hidden=false", &ours),
        ("visibility=community", &["their community", "community"]),
        ("visibility=all", &["their community", "community", "theirs", "b,c", "a"]),
        ("visibility=public", &[]),
        ("visibility=shared&owner=other", &["theirs"]),
        ("owner=other", &["theirs"]),
        ("min_ram=5", &["a"]),
        ("min_ram=x", &[]),
        ("min_ram_min=5", &["a"]),
        ("min_ram_max=4", &["community", "theirs", "b,c"]),
        ("size_min=0", &[]),
        ("size_min=99999999999999999999", &[]),
        ("checksum=x", &[]),
        ("created_at=gt:2020-01-01", &ours),
        ("created_at=lt:2020-01-01T00:00:00Z", &[]),
        ("created_at=neq:2020-01-01T00:00:00Z", &ours),
        ("updated_at=gte:2020-01-01T00:00:00%2B02:00", &ours),
        ("member_status=all", &ours),
        ("deleted=true", &ours),
        ("unknown_min=5", &[]),
        ("a=%00", &[]),
    ] {
        assert_eq!(api.names(query).await, expected, "{query}");
    }
    // What is shown, in seconds, is what is compared.
    let shown = api.get(&format!("/v2/images/{id}")).await.json()["created_at"].as_str().unwrap().to_owned();
    assert_eq!(api.names(&format!("name=a&created_at={shown}")).await, ["a"]);
    assert_eq!(api.names(&format!("name=a&created_at=gt:{shown}")).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_list_refuses() {
    let api = Api::start().await;
    let keys = "It must be one of the following: name, status, container_format, disk_format, size, id, created_at, updated_at.";
    let many: Vec<String> = (0..300).map(|n| format!("tag={n}")).collect();
    for (query, message) in [
        ("limit=-1", "limit param must be positive".to_owned()),
        ("limit=x", "limit param must be an integer".to_owned()),
        ("limit=", "limit param must be an integer".to_owned()),
        ("marker=zz", "No image found with ID zz".to_owned()),
        ("marker=", "No image found with ID".to_owned()),
        ("sort=foo", format!("Invalid sort key: foo. {keys}")),
        ("sort=", format!("Invalid sort key: . {keys}")),
        ("sort=name,,size", format!("Invalid sort key: . {keys}")),
        ("sort_key=min_ram", format!("Invalid sort key: min_ram. {keys}")),
        ("sort=name:up", "Invalid sort direction: up".to_owned()),
        ("sort_dir=up", "Invalid sort direction: up".to_owned()),
        ("sort=name&sort_key=id", "Old and new sorting syntax cannot be combined".to_owned()),
        (
            "sort_key=name&sort_key=id&sort_dir=asc&sort_dir=desc&sort_dir=asc",
            "Number of sort dirs does not match the number of sort keys".to_owned(),
        ),
        ("visibility=x", "Invalid visibility value: x".to_owned()),
        ("changes-since=x", "The \"changes-since\" filter is no longer available on v2.".to_owned()),
        ("member_status=x", "Invalid status: x".to_owned()),
        ("os_hidden=x", "Invalid value 'x' for 'os_hidden' filter. Valid values are 'true' or 'false'.".to_owned()),
        ("protected=True", "Invalid value 'True' for 'protected' filter. Valid values are 'true' or 'false'.".to_owned()),
        ("size_min=x", "Unable to filter on a range with a non-numeric value.".to_owned()),
        ("name=gt:a", "Unable to filter by unknown operator 'gt'.".to_owned()),
        ("name=in:%22a,b", "Invalid filter value \"a,b. The quote is not closed.".to_owned()),
        ("name=in:a%22b%22", "Invalid filter value a\"b\". There is no comma before opening quotation mark.".to_owned()),
        ("created_at=x", "Bad \"created_at\" query filter format. Use ISO 8601 DateTime notation.".to_owned()),
        ("created_at=foo:2020-01-01T00:00:00Z", "Unable to filter on a unknown operator.".to_owned()),
        (
            "%ff=1",
            "Error decoding your request. Either the URL or the request body contained characters that could not \
             be decoded by Glance".to_owned(),
        ),
        (&many.join("&"), "A list takes at most 200 parameters.".to_owned()),
    ] {
        api.get(&format!("/v2/images?{query}")).await.fault(400, &message);
    }
    api.get("/v2/images/%ff").await.is(400);
    api.get("/v2/images/%00").await.is(404);
    let commas = ",".repeat(30_000);
    assert_eq!(api.names(&format!("name=in:{commas}")).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn patches() {
    let api = Api::start().await;
    let id = &api.image(json!({"name": "a", "k": "1"})).await;
    let op = |op: &str, path: &str, value: Value| json!([{"op": op, "path": path, "value": value}]);
    let denied = |said: &str| format!("Access was denied to this resource.\n{said}");
    let conflict = |said: &str| format!("There was a conflict when trying to complete your request.\n{said}");
    let tags: Vec<String> = (0..129).map(|n| n.to_string()).collect();
    let properties: Vec<Value> =
        (0..128).map(|n| json!({"op": "add", "path": format!("/p{n}"), "value": "x"})).collect();
    for (patch, status, message) in [
        (json!({}), 400, "Request body must be a JSON array of operation objects.".to_owned()),
        (json!([5]), 400, "Operations must be JSON objects.".to_owned()),
        (json!([{}]), 400, "Unable to find `op` in JSON Schema change. It must be one of the following: add, remove, replace.".to_owned()),
        (op("test", "/name", json!("x")), 400, "Invalid operation: `test`. It must be one of the following: add, remove, replace.".to_owned()),
        (json!([{"op": 5, "path": "/a"}]), 400, "Invalid operation: `5`. It must be one of the following: add, remove, replace.".to_owned()),
        (json!([{"op": "add"}]), 400, "Unable to find 'path' in JSON Schema change".to_owned()),
        (json!([{"op": "add", "path": 5, "value": "x"}]), 400, "A JSON pointer must be a string.".to_owned()),
        (json!([{"op": "add", "path": "/a"}]), 400, "Operation \"add\" requires a member named \"value\".".to_owned()),
        (op("add", "", json!("x")), 400, "Pointer `` does not start with \"/\".".to_owned()),
        (op("add", "name", json!("x")), 400, "Pointer `name` does not start with \"/\".".to_owned()),
        (op("add", "/a//b", json!("x")), 400, "Pointer `/a//b` contains adjacent \"/\".".to_owned()),
        (op("add", "/a/", json!("x")), 400, "Pointer `/a/` end with \"/\".".to_owned()),
        (op("add", "/a~2", json!("x")), 400, "Pointer `/a~2` contains \"~\" not part of a recognized escape sequence.".to_owned()),
        (op("add", "/a~", json!("x")), 400, "Pointer `/a~` contains \"~\" not part of a recognized escape sequence.".to_owned()),
        (op("add", "/a/b", json!("x")), 400, "Invalid JSON pointer for this resource: '/a/b'".to_owned()),
        (op("add", "/tags/-", json!("x")), 400, "Invalid JSON pointer for this resource: '/tags/-'".to_owned()),
        (op("remove", "/locations", Value::Null), 400, "Invalid JSON pointer for this resource: '/locations'".to_owned()),
        (op("replace", "/id", json!("x")), 403, "Attribute 'id' is read-only.".to_owned()),
        (op("replace", "/self", json!("x")), 403, "Attribute 'self' is read-only.".to_owned()),
        (op("remove", "/status", Value::Null), 403, "Attribute 'status' is read-only.".to_owned()),
        (op("remove", "/direct_url", Value::Null), 403, "Attribute 'direct_url' is read-only.".to_owned()),
        (op("replace", "/location", json!("x")), 403, "Attribute 'location' is reserved.".to_owned()),
        (op("add", "/os_glance_x", json!("x")), 403, "Attribute 'os_glance_x' is reserved.".to_owned()),
        (op("remove", "/name", Value::Null), 403, denied("Property name may not be removed.")),
        (op("remove", "/tags", Value::Null), 403, denied("Property tags may not be removed.")),
        (op("replace", "/locations", json!([])), 403, denied("Cannot set locations to empty list.")),
        (
            op("add", "/locations/-", json!({"url": "x", "metadata": {}})), 403,
            "It's not allowed to add locations if locations are invisible.".to_owned(),
        ),
        (op("remove", "/nope", Value::Null), 409, conflict("Property nope does not exist.")),
        (op("replace", "/nope", json!("x")), 409, conflict("Property nope does not exist.")),
        (op("replace", "/min_ram", json!(-1)), 400, "Invalid value '-1' for parameter 'min_ram': Cannot be a negative value".to_owned()),
        (op("add", &format!("/{}", "k".repeat(256)), json!("x")), 400, "Custom property should not be greater than 255 characters.".to_owned()),
        (op("add", "/a\0", json!("x")), 400, "The character NUL is not allowed in texts.".to_owned()),
        (
            op("replace", "/tags", json!(tags)), 413,
            "The limit has been exceeded on the number of allowed image tags. Attempted: 129, Maximum: 128".to_owned(),
        ),
        (
            Value::Array(properties), 413,
            "The limit has been exceeded on the number of allowed image properties. Attempted: 129, Maximum: 128".to_owned(),
        ),
        (
            op("replace", "/k", json!(5)), 400,
            "Provided object does not match schema 'image': 5 is not of type 'string'\n\nOn instance['k']".to_owned(),
        ),
    ] {
        api.patch(id, V2_1, patch).await.fault(status, &message);
    }
    api.patch("zz", V2_1, json!([])).await.fault(404, "No image found with ID zz");
    // However many requests bring them.
    let half = "x".repeat(600_000);
    api.patch(id, V2_1, json!([{"op": "add", "path": "/half", "value": half}])).await.is(200);
    let both = api.patch(id, V2_1, json!([{"op": "add", "path": "/other", "value": half}])).await;
    assert!(both.is(413).text().contains("the size of all image properties"));
    api.patch(id, V2_1, json!([{"op": "remove", "path": "/half"}])).await.is(200);
    // All of a patch, or nothing.
    let both = json!([{"op": "replace", "path": "/name", "value": "b"}, {"op": "remove", "path": "/nope"}]);
    api.patch(id, V2_1, both).await.is(409);
    let unchanged = api.patch(id, V2_1, json!([])).await.is(200).json();
    assert_eq!((&unchanged["name"], &unchanged["k"]), (&json!("a"), &json!("1")));

    for (patch, key, value) in [
        (op("replace", "/name", Value::Null), "name", Value::Null),
        (op("add", "/name", json!("b")), "name", json!("b")),
        (op("replace", "/k", json!("2")), "k", json!("2")),
        (op("add", "/k", json!("3")), "k", json!("3")),
        (op("add", "/a~1b~0c", json!("x")), "a/b~c", json!("x")),
        (op("add", "/a b ", json!("x")), "a b", json!("x")),
        (op("add", "/", json!("x")), "", json!("x")),
        (op("replace", "/tags", json!(["q", "q", "r"])), "tags", json!(["q", "r"])),
        (op("replace", "/visibility", json!("public")), "visibility", json!("public")),
        (op("replace", "/owner", json!("other")), "owner", json!("other")),
        (op("replace", "/owner", Value::Null), "owner", Value::Null),
        (op("replace", "/disk_format", json!("raw")), "disk_format", json!("raw")),
        (op("replace", "/os_hidden", json!(true)), "os_hidden", json!(true)),
        (op("replace", "/min_disk", json!(7)), "min_disk", json!(7)),
        (op("remove", "/k", Value::Null), "k", Value::Null),
    ] {
        assert_eq!(api.patch(id, V2_1, patch).await.is(200).json()[key], value, "{key}");
        assert_eq!(api.get(&format!("/v2/images/{id}")).await.json()[key], value, "{key}");
    }

    for (patch, status, message) in [
        (json!([{"add": "/n", "value": "1"}]), 200, String::new()),
        (json!([{"add": "/n", "value": "2"}]), 409, conflict("Property n already present.")),
        (json!([{"add": "/name", "value": "2"}]), 409, conflict("Property name already present.")),
        (json!([{"replace": "/n", "value": "3"}]), 200, String::new()),
        (json!([{"remove": "/n"}]), 200, String::new()),
        (json!([{"remove": "/n"}]), 409, conflict("Property n does not exist.")),
        (
            json!([{"add": "/n", "replace": "/n", "value": "1"}]),
            400,
            "Operation objects must contain only one member named \"add\", \"remove\", or \"replace\"."
                .to_owned(),
        ),
        (
            json!([{"op": "add", "path": "/n", "value": "1"}]),
            400,
            "Operation objects must contain exactly one member named \"add\", \"remove\", or \"replace\"."
                .to_owned(),
        ),
        (json!([{"add": "/n"}]), 400, "Operation \"add\" requires a member named \"value\".".to_owned()),
        (json!([{"add": 5, "value": "x"}]), 400, "A JSON pointer must be a string.".to_owned()),
    ] {
        let answer = api.patch(id, V2_0, patch).await.is(status);
        if status != 200 {
            assert_eq!(answer.message(), message);
        }
    }

    for kind in ["application/json", "application/json-patch+json", "text/plain", ""] {
        let answer = api.patch(id, kind, json!([])).await.is(415);
        assert_eq!(answer.header("accept-patch"), Some(&*format!("{V2_0}, {V2_1}")));
        let expected = format!(
            "The request media type {kind} is not supported by this server.\n<br /><br />\nImage PATCH expects \
             Content-Type one of: {V2_0}, {V2_1}"
        );
        assert_eq!(answer.json()["message"], expected);
    }
}

/// Whoever keeps bytes by an image's id, as Nova does, never takes another one's for them.
#[tokio::test(flavor = "multi_thread")]
async fn the_id_of_a_deleted_image_stays_taken() {
    let api = Api::start().await;
    let (one, other) = (api.active(b"x").await, api.image(json!({})).await);
    for id in [one, other] {
        api.send("DELETE", &format!("/v2/images/{id}"), &[], "").await.is(204);
        api.get(&format!("/v2/images/{id}")).await.is(404);
        for named in [id.clone(), id.to_uppercase()] {
            let said = format!("Image ID {id} already exists!");
            api.post(&json!({"id": named})).await.fault(409, &said);
        }
        api.get(&format!("/v2/images/{id}")).await.is(404);
    }
    // It is free still when only its creation was refused.
    let id = "a5e0b0c4-0000-4000-8000-000000000002";
    let few = Api::with(&[("PUMICE_QUOTAS__IMAGE_COUNT_TOTAL", "1")]).await;
    let first = few.image(json!({})).await;
    few.post(&json!({"id": id})).await.is(413);
    few.send("DELETE", &format!("/v2/images/{first}"), &[], "").await.is(204);
    few.post(&json!({"id": id})).await.is(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn formats_are_settled_with_the_bytes() {
    let api = Api::start().await;
    let id = api.active(b"x").await;
    for name in ["disk_format", "container_format"] {
        let patch = json!([{"op": "replace", "path": format!("/{name}"), "value": null}]);
        let said = format!("Attribute {name} can be only replaced for a queued image.");
        api.patch(&id, V2_1, patch).await.fault(403, &said);
    }
    // Nor is one said afterwards that nobody held them against.
    let mut repository = api.app.database.begin().await.unwrap();
    let mut row = repository.image_to_change(&ImageId::parse(&id).unwrap()).await.unwrap().unwrap();
    row.container_format = None;
    repository.update_image(&row).await.unwrap();
    repository.commit().await.unwrap();
    let patch = json!([{"op": "replace", "path": "/container_format", "value": "bare"}]);
    let said = "Attribute container_format can be only replaced for a queued image.";
    api.patch(&id, V2_1, patch).await.fault(403, said);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags() {
    let api = Api::start().await;
    let id = api.image(json!({})).await;
    let call = async |method: &str, id: &str, tag: &str| {
        api.send(method, &format!("/v2/images/{id}/tags/{tag}"), &[JSON], Body::empty()).await
    };
    call("PUT", &id, "new").await.is(204);
    call("PUT", &id, "new").await.is(204);
    call("PUT", &id, "%C3%A9").await.is(204);
    assert_eq!(api.get(&format!("/v2/images/{id}")).await.json()["tags"], json!(["new", "é"]));
    call("DELETE", &id, "new").await.is(204);
    call("DELETE", &id, "new").await.fault(404, "The resource could not be found.");
    call("PUT", "zz", "x").await.fault(404, "Image zz not found.");
    call("DELETE", "zz", "x").await.fault(404, "Image zz not found.");
    call("PUT", &id, &"x".repeat(256)).await.is(400);
    call("PUT", &id, "%00").await.is(400);
    call("DELETE", &id, "%00").await.is(404);
    call("PUT", &id, "%ff").await.is(400);
    let few = Api::with(&[("PUMICE_IMAGES__IMAGE_TAG_QUOTA", "1")]).await;
    let id = few.image(json!({"tags": ["a"]})).await;
    few.send("PUT", &format!("/v2/images/{id}/tags/a"), &[JSON], Body::empty()).await.is(204);
    few.send("PUT", &format!("/v2/images/{id}/tags/b"), &[JSON], Body::empty()).await.fault(
        413,
        &format!(
            "Image tag limit exceeded for image {id}: The limit has been exceeded on the number of allowed \
             image tags. Attempted: 2, Maximum: 1:"
        ),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn actions() {
    let api = Api::start().await;
    let queued = api.image(json!({})).await;
    let active = api.active(b"x").await;
    let act = async |id: &str, verb: &str| {
        api.send("POST", &format!("/v2/images/{id}/actions/{verb}"), &[JSON], Body::empty()).await
    };
    for verb in ["deactivate", "reactivate"] {
        act(&queued, verb).await.fault(403, &format!("Not allowed to {verb} image in status 'queued'"));
        act("zz", verb).await.fault(404, "No image found with ID zz");
    }
    for (verb, status) in [("deactivate", "deactivated"), ("reactivate", "active")] {
        for _ in 0..2 {
            act(&active, verb).await.is(204);
            assert_eq!(api.get(&format!("/v2/images/{active}")).await.json()["status"], status);
        }
        // An administrator still reads it.
        api.get(&format!("/v2/images/{active}/file")).await.is(200);
        let again = api.send("PUT", &format!("/v2/images/{active}/file"), &[JSON, BYTES], "x").await;
        again.fault(409, &format!("Image status transition from {status} to saving is not allowed"));
    }
}

/// The header of an empty qcow2 of 1 GiB, with a backing file at that place.
fn qcow2(backing: u64) -> Vec<u8> {
    let mut bytes = vec![0; 4 << 16];
    bytes[..8].copy_from_slice(b"QFI\xfb\0\0\0\x02");
    bytes[8..16].copy_from_slice(&backing.to_be_bytes());
    bytes[20..24].copy_from_slice(&16u32.to_be_bytes());
    bytes[24..32].copy_from_slice(&(1u64 << 30).to_be_bytes());
    bytes[36..40].copy_from_slice(&2u32.to_be_bytes());
    bytes[40..48].copy_from_slice(&(1u64 << 16).to_be_bytes());
    bytes[48..56].copy_from_slice(&(2u64 << 16).to_be_bytes());
    bytes[56..60].copy_from_slice(&1u32.to_be_bytes());
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_must_be_what_the_image_says() {
    let api = Api::start().await;
    let id = api.image(json!({"disk_format": "qcow2", "container_format": "bare"})).await;
    let (image, file) = (format!("/v2/images/{id}"), format!("/v2/images/{id}/file"));
    let put = async |bytes: Vec<u8>| api.send("PUT", &file, &[JSON, BYTES], bytes).await;
    for (bytes, why) in [
        (vec![7; 70_000], "Image disk_format qcow2 does not match stream data raw"),
        (qcow2(512), "Image failed safety checks: as qcow2, it has a backing file"),
    ] {
        let answer = put(bytes).await.is(415).json();
        assert!(answer["message"].as_str().unwrap().ends_with(why), "{answer}");
        let shown = api.get(&image).await.json();
        assert_eq!((&shown["status"], &shown["size"]), (&json!("queued"), &Value::Null));
    }
    put(qcow2(0)).await.is(204);
    let shown = api.get(&image).await.json();
    assert_eq!((&shown["size"], &shown["virtual_size"]), (&json!(4 << 16), &json!(1 << 30)));

    let lax = Api::with(&[("PUMICE_IMAGES__REQUIRE_IMAGE_FORMAT_MATCH", "false")]).await;
    let id = lax.image(json!({"disk_format": "qcow2", "container_format": "bare"})).await;
    let file = format!("/v2/images/{id}/file");
    lax.send("PUT", &file, &[JSON, BYTES], qcow2(512)).await.is(415);
    lax.send("PUT", &file, &[JSON, BYTES], "abc").await.is(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_are_refused() {
    let api = Api::start().await;
    let bare = api.image(json!({})).await;
    let half = api.image(json!({"disk_format": "raw"})).await;
    let id = api.image(json!({"disk_format": "raw", "container_format": "bare"})).await;
    let put = async |id: &str, headers: &[(&str, &str)]| {
        let headers: Vec<(&str, &str)> = headers.iter().copied().chain([JSON]).collect();
        api.send("PUT", &format!("/v2/images/{id}/file"), &headers, "abc").await
    };
    assert_eq!(
        put(&id, &[]).await.is(415).json()["message"],
        "The request media type  is not supported by this server.\n<br /><br />\nInvalid content type None"
    );
    put(&bare, &[BYTES])
        .await
        .fault(400, "Properties disk_format, container_format must be set prior to saving data.");
    put(&half, &[BYTES]).await.fault(400, "Property container_format must be set prior to saving data.");
    put("zz", &[BYTES]).await.fault(404, "No image found with ID zz");
    let size = |size: &'static str| [BYTES, ("x-openstack-image-size", size)];
    for wrong in ["zz", "-5", ""] {
        put(&id, &size(wrong)).await.fault(400, "Invalid or missing image size in request headers.");
    }
    put(&id, &size("5")).await.fault(400, "Size mismatch: expected 5 bytes, got 3 bytes");
    put(&id, &size("2")).await.is(400);
    let image = api.get(&format!("/v2/images/{id}")).await.json();
    assert_eq!((&image["status"], &image["size"]), (&json!("queued"), &Value::Null));
    put(&id, &size("3")).await.is(204);
    assert_eq!(api.get(&format!("/v2/images/{id}/file")).await.is(200).text(), "abc");

    let small = Api::with(&[("PUMICE_IMAGES__IMAGE_SIZE_CAP", "2")]).await;
    let id = small.image(json!({"disk_format": "raw", "container_format": "bare"})).await;
    let answer = small.send("PUT", &format!("/v2/images/{id}/file"), &[JSON, BYTES], "abc").await;
    answer.fault(413, "The incoming image is too large: The provided image is too large.");
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_that_depend_on_what_the_client_has() {
    let api = Api::start().await;
    let id = api.active(b"0123456789").await;
    let get = async |headers: &[(&str, &str)]| {
        api.send("GET", &format!("/v2/images/{id}/file"), headers, Body::empty()).await
    };
    let tag = "\"781e5e245d69b566979b86e28d23f2c7\"";
    assert_eq!(get(&[]).await.is(200).header("etag"), Some(tag));
    for same in [tag, "*", &format!("\"x\", W/{tag}")] {
        let answer = get(&[("if-none-match", same)]).await.is(304);
        assert_eq!((answer.header("etag"), answer.text()), (Some(tag), ""));
    }
    assert_eq!(get(&[("if-none-match", "\"x\"")]).await.is(200).text(), "0123456789");
    // The rest of what it has, or else the whole.
    let range = ("range", "bytes=7-");
    let rest = get(&[range, ("if-range", tag)]).await.is(206);
    assert_eq!((rest.text(), rest.header("etag")), ("789", Some(tag)));
    for other in ["\"x\"", "Wed, 21 Oct 2026 07:28:00 GMT"] {
        assert_eq!(get(&[range, ("if-range", other)]).await.is(200).text(), "0123456789");
    }
}

/// Then they have a name too: another one when they may be others.
#[tokio::test(flavor = "multi_thread")]
async fn downloads_of_bytes_without_a_digest() {
    let api = Api::with(&[("PUMICE_IMAGES__COMPUTE_DIGESTS", "false")]).await;
    let (id, other) = (api.active(b"0123456789").await, api.active(b"0123456789").await);
    let get = async |id: &str, headers: &[(&str, &str)]| {
        api.send("GET", &format!("/v2/images/{id}/file"), headers, Body::empty()).await
    };
    let tag = async |id: &str| get(id, &[]).await.is(200).header("etag").unwrap().to_owned();
    let first = tag(&id).await;
    assert!(first.starts_with('"') && first.ends_with('"') && first.len() > 2, "{first}");
    assert_eq!(get(&id, &[]).await.is(200).header("content-md5"), None);
    assert_ne!(first, tag(&other).await);
    assert_eq!(first, tag(&id).await);
    assert_eq!(get(&id, &[("if-none-match", &first)]).await.is(304).header("etag"), Some(&*first));
    let range = ("range", "bytes=7-");
    assert_eq!(get(&id, &[range, ("if-range", &first)]).await.is(206).text(), "789");
    assert_eq!(get(&other, &[range, ("if-range", &first)]).await.is(200).text(), "0123456789");
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges() {
    let api = Api::start().await;
    let id = api.active(b"0123456789").await;
    let get = async |id: &str, headers: &[(&str, &str)]| {
        let headers: Vec<(&str, &str)> = headers.iter().copied().chain([JSON]).collect();
        api.send("GET", &format!("/v2/images/{id}/file"), &headers, Body::empty()).await
    };
    let whole = get(&id, &[]).await.is(200);
    assert_eq!(whole.text(), "0123456789");
    assert_eq!(whole.header("content-type"), Some("application/octet-stream"));
    assert_eq!(whole.header("content-length"), Some("10"));
    assert_eq!(whole.header("content-md5"), Some("781e5e245d69b566979b86e28d23f2c7"));
    assert_eq!(whole.header("content-range"), None);
    let outside = "The Range requested is not available.\n";
    let start = format!(
        "{outside}Invalid start position in Range header. Start position MUST be in the inclusive range [0, 9]."
    );
    let malformed = format!("{outside}Invalid Range header.");
    for (range, body, content_range) in [
        ("bytes=0-3", "0123", "bytes 0-3/10"),
        ("bytes=3-", "3456789", "bytes 3-9/10"),
        ("bytes=-4", "6789", "bytes 6-9/10"),
        ("bytes=-0", "0123456789", "bytes 0-9/10"),
        ("bytes=-40", "0123456789", "bytes 0-9/10"),
        ("bytes=0-100", "0123456789", "bytes 0-9/10"),
        ("bytes=9-9", "9", "bytes 9-9/10"),
    ] {
        let answer = get(&id, &[("range", range)]).await.is(206);
        assert_eq!(answer.text(), body, "{range}");
        assert_eq!(answer.header("content-range"), Some(content_range));
        assert_eq!(answer.header("content-length"), Some(&*body.len().to_string()));
        assert_eq!(answer.header("content-md5"), Some("781e5e245d69b566979b86e28d23f2c7"));
    }
    for (range, message) in [
        ("bytes=10-", &start),
        ("bytes=99999999999999999999999-", &start),
        ("bytes=5-3", &malformed),
        ("bytes=a-b", &malformed),
        ("items=0-3", &malformed),
        ("bytes=", &malformed),
    ] {
        get(&id, &[("range", range)]).await.fault(416, message);
    }
    get(&id, &[("range", "bytes=0-1,3-4")]).await.fault(
        400,
        "Requests with multiple ranges are not supported in Glance. You may make multiple single-range requests \
         instead.",
    );
    let legacy = get(&id, &[("content-range", "bytes 2-3/*")]).await.is(206);
    assert_eq!((legacy.text(), legacy.header("content-range")), ("23", Some("bytes 2-3/10")));
    get(&id, &[("content-range", "bytes 0-30/*")]).await.fault(
        416,
        &format!("{outside}Invalid stop position in Content-Range header. The stop position MUST be in the inclusive range [0, 9]."),
    );

    get("zz", &[]).await.fault(404, "No image found with ID zz");
    let queued = api.image(json!({})).await;
    assert!(get(&queued, &[]).await.is(204).body.is_empty());
    let empty = api.active(b"").await;
    assert_eq!(get(&empty, &[]).await.is(200).header("content-length"), Some("0"));
    get(&empty, &[("range", "bytes=0-")]).await.fault(
        416,
        &format!("{outside}Invalid start position in Range header. Start position MUST be in the inclusive range [0, -1]."),
    );
}

/// And it is not yet said where they are to be cloned from.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_can_be_read_before_their_snapshot_is_there() {
    let api = Api::with(&[("PUMICE_IMAGES__SHOW_IMAGE_DIRECT_URL", "true")]).await;
    // Nobody makes it.
    api.stop.cancel();
    let id = api.active(b"0123456789").await;
    let image = api.get(&format!("/v2/images/{id}")).await.is(200).json();
    assert_eq!((&image["status"], image.get("direct_url")), (&json!("active"), None));
    assert_eq!(api.get(&format!("/v2/images/{id}/file")).await.is(200).text(), "0123456789");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_image_is_gone() {
    let api = Api::start().await;
    let delete =
        async |id: &str| api.send("DELETE", &format!("/v2/images/{id}"), &[JSON], Body::empty()).await;
    for id in [api.active(b"bytes").await, api.image(json!({})).await] {
        let protect = |yes: bool| json!([{"op": "replace", "path": "/protected", "value": yes}]);
        api.patch(&id, V2_1, protect(true)).await.is(200);
        delete(&id).await.fault(403, &format!("Image {id} is protected and cannot be deleted."));
        api.patch(&id, V2_1, protect(false)).await.is(200);
        let started = std::time::Instant::now();
        assert!(delete(&id).await.is(204).body.is_empty());
        assert!(started.elapsed() < Duration::from_secs(10));
        delete(&id).await.fault(404, &format!("Failed to find image {id} to delete"));
        api.get(&format!("/v2/images/{id}")).await.fault(404, &format!("No image found with ID {id}"));
        api.get(&format!("/v2/images/{id}/file")).await.is(404);
        api.get(&format!("/v2/images?marker={id}")).await.is(400);
    }
    delete("zz").await.fault(404, "Failed to find image zz to delete");
    assert_eq!(api.names("").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_volumes_need_stays() {
    let api = Api::start().await;
    let id = api.sealed(b"0123456789").await;
    let store = api.app.stores.images.clone();
    let parent =
        SnapshotPath { pool: store.pool().to_owned(), image: id.clone(), snapshot: "snap".to_owned() };
    store.clone_snapshot(&parent, "clone", None).await.unwrap();
    let delete = async || api.send("DELETE", &format!("/v2/images/{id}"), &[JSON], Body::empty()).await;
    delete().await.fault(
        409,
        &format!(
            "Image {id} could not be deleted because it is in use: The image cannot be deleted because it is in \
             use through the backend store outside of Glance."
        ),
    );
    assert_eq!(api.get(&format!("/v2/images/{id}")).await.json()["status"], "active");
    assert_eq!(api.get(&format!("/v2/images/{id}/file")).await.text(), "0123456789");
    store.remove("clone", &Progress::new()).await.unwrap();
    delete().await.is(204);
    assert_eq!(store.list().await.unwrap(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_breaks_off_the_upload() {
    let api = Api::start().await;
    let id = api.image(json!({"disk_format": "raw", "container_format": "bare"})).await;
    let path = format!("/image/v2/images/{id}/file");
    let (frames, body) = futures::channel::mpsc::unbounded::<Result<Vec<u8>, std::io::Error>>();
    let routes = api.routes.clone();
    let upload =
        tokio::spawn(
            async move { ask(&routes, "PUT", &path, &[JSON, BYTES], Body::from_stream(body)).await },
        );
    frames.unbounded_send(Ok(vec![1; 1 << 20])).unwrap();
    while api.get(&format!("/v2/images/{id}")).await.json()["status"] != "saving" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let second = api.send("PUT", &format!("/v2/images/{id}/file"), &[JSON, BYTES], "x").await;
    second.fault(409, "Image status transition from saving to saving is not allowed");
    assert!(api.get(&format!("/v2/images/{id}/file")).await.is(204).body.is_empty());
    let image = format!("/v2/images/{id}");
    let deleted = api.send("DELETE", &image, &[JSON], Body::empty());
    let uploaded = async {
        // The body is dropped when the upload is given up.
        while frames.unbounded_send(Ok(vec![1; 1 << 18])).is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        upload.await.unwrap()
    };
    let (deleted, uploaded) = tokio::join!(deleted, uploaded);
    deleted.is(204);
    uploaded.is(410);
    api.get(&format!("/v2/images/{id}")).await.is(404);
    assert_eq!(api.app.stores.images.list().await.unwrap(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_leaves_nothing() {
    let api = Api::start().await;
    let id = api.image(json!({"disk_format": "raw", "container_format": "bare"})).await;
    let frames = [Ok(vec![1; 1 << 20]), Err(std::io::Error::other("gone"))];
    let body = Body::from_stream(futures::stream::iter(frames));
    api.send("PUT", &format!("/v2/images/{id}/file"), &[JSON, BYTES], body).await.is(400);
    assert_eq!(api.get(&format!("/v2/images/{id}")).await.json()["status"], "queued");
    assert_eq!(api.app.stores.images.list().await.unwrap(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_come_back_as_they_went() {
    let api = Api::start().await;
    let id = api.image(json!({"disk_format": "raw", "container_format": "bare"})).await;
    // Not a multiple of an object, mostly holes.
    let mut bytes = vec![0_u8; (20 << 20) + 777];
    for (at, byte) in bytes.iter_mut().enumerate().skip(9 << 20).take(70_000) {
        *byte = (at % 251) as u8;
    }
    bytes.splice((20 << 20).., (0..777).map(|n| n as u8));
    let file = format!("/v2/images/{id}/file");
    api.send("PUT", &file, &[BYTES], bytes.clone()).await.is(204);
    assert!(api.get(&file).await.is(200).body == bytes);
    for (first, last) in [(0, 0), ((9 << 20) - 1, (9 << 20) + 70_000), (8 << 20, (20 << 20) + 776)] {
        let range = format!("bytes={first}-{last}");
        let part = api.send("GET", &file, &[("range", &range)], Body::empty()).await.is(206);
        assert!(part.body == bytes[first..=last], "{range}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas() {
    let api = Api::start().await;
    let image = api.get("/v2/schemas/image").await.is(200).json();
    assert_eq!(image["name"], "image");
    assert_eq!(image["additionalProperties"], json!({"type": "string"}));
    let shown = api.post(&json!({})).await.json();
    let properties = image["properties"].as_object().unwrap();
    for key in shown.as_object().unwrap().keys() {
        assert!(properties.contains_key(key), "{key}");
    }
    assert_eq!(properties["status"]["readOnly"], true);
    assert_eq!(properties["name"]["maxLength"], 255);
    let images = api.get("/v2/schemas/images").await.is(200).json();
    assert_eq!(images["properties"]["images"]["items"], image);
    assert_eq!(images["links"][1], json!({"rel": "next", "href": "{next}"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_and_odd_headers_do_no_harm() {
    let api = Api::start().await;
    let names: Vec<String> = (0..500).map(|n| format!("x-h{n}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v")).chain([JSON]).collect();
    api.send("GET", "/v2/images", &many, Body::empty()).await.is(200);
    let accept = "a/b;q=,;;,,/".repeat(1000);
    api.send("GET", "/v2/images/zz", &[("accept", &accept)], Body::empty()).await.is(404);
    for host in ["a@b", "", "a b", "[::1]:80", "\u{e9}"] {
        let answer = api.send("GET", "/versions", &[("host", host)], Body::empty()).await.is(200);
        assert!(answer.json()["versions"][0]["links"][0]["href"].as_str().unwrap().starts_with("http://"));
    }
}
