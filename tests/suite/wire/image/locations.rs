//! Locations: bytes that stay on a web server, and where bytes are, for services.

use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Answer, Api, BYTES, JSON};

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
    for url in ["rbd://fsid/volumes/volume-1/snap", "file:///etc/passwd", "gopher://info.cern.ch"] {
        api.add_location(&id, &json!({"url": url})).await.fault(403, only);
    }
    assert_eq!(api.get(&format!("/v2/images/{id}")).await.json()["status"], "queued");
    let without = Api::start().await;
    let id = without.image(json!({})).await;
    without.add_location(&id, &json!({"url": "http://8.8.8.8/"})).await.fault(403, only);
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
