//! A cloud of several regions: a Keystone that the test plays, which knows one token and where the regions are, and a
//! region that it plays too, which breaks off in the middle of an image.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::stream;
use pumice::config::{Config, GLANCE_DOWNLOAD};
use pumice::jobs::{BeforeImport, ImportSource, RegionSource};
use pumice::model::{ImageId, Timestamp, World};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::house::House;

/// Of somebody who may do everything, in all regions.
pub const TOKEN: &str = "gAAAAAB-the-token-of-alice";
/// The image of the region that is played.
pub const IMAGE: &str = "7a5c1c5e-93f1-4d3a-8f4c-5a3c1b2d4e6f";
const PASSWORD: &str = "s3cret";

async fn serve(routes: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    format!("http://{address}")
}

/// Goes with the test.
pub struct Keystone {
    pub url: String,
    endpoints: Arc<Mutex<Vec<Value>>>,
}

impl Keystone {
    pub async fn play() -> Self {
        let endpoints = Arc::<Mutex<Vec<Value>>>::default();
        let routes = Router::new()
            .route("/v3/auth/tokens", get(validate).post(log_in))
            .route("/v3/auth/catalog", get(catalogue))
            .with_state(endpoints.clone());
        Self { url: serve(routes).await, endpoints }
    }

    pub fn knows(&self, region: &str, interface: &str, url: &str) {
        let endpoint = json!({ "region": region, "region_id": region, "interface": interface, "url": url });
        self.endpoints.lock().unwrap().push(endpoint);
    }

    /// Of a service whose users it knows, and who may import from other regions.
    pub fn options(&self) -> Vec<(&'static str, String)> {
        vec![
            ("PUMICE_IDENTITY__MODE", "keystone".to_owned()),
            ("PUMICE_KEYSTONE_AUTHTOKEN__AUTH_URL", self.url.clone()),
            ("PUMICE_KEYSTONE_AUTHTOKEN__PASSWORD", PASSWORD.to_owned()),
            ("PUMICE_IMAGES__ENABLED_IMPORT_METHODS", format!("[\"{GLANCE_DOWNLOAD}\"]")),
        ]
    }
}

fn shown(name: &str) -> Value {
    let named = |name: &str| json!({ "id": name, "name": name, "domain": { "id": "default" } });
    let roles = ["admin", "member", "reader"].map(|role| json!({ "id": role, "name": role }));
    let expires = Timestamp(4_000_000_000_000_000).to_microseconds();
    json!({ "token": { "user": named(name), "project": named("demo"), "roles": roles,
        "expires_at": format!("{expires}Z") } })
}

async fn log_in(Json(body): Json<Value>) -> Response {
    assert_eq!(body["auth"]["identity"]["password"]["user"]["password"], PASSWORD);
    (StatusCode::CREATED, [("x-subject-token", "our-own")], Json(shown("pumice"))).into_response()
}

async fn validate(headers: HeaderMap) -> Response {
    let is_good = headers["x-auth-token"] == "our-own" && headers["x-subject-token"] == TOKEN;
    if is_good { Json(shown("alice")).into_response() } else { StatusCode::NOT_FOUND.into_response() }
}

async fn catalogue(State(endpoints): State<Arc<Mutex<Vec<Value>>>>, headers: HeaderMap) -> Response {
    if headers["x-auth-token"] != TOKEN {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let images = json!({ "type": "image", "name": "glance", "endpoints": *endpoints.lock().unwrap() });
    let elsewhere = json!({ "region": "two", "interface": "public", "url": "http://127.0.0.1:9/" });
    let others = json!({ "type": "compute", "name": "nova", "endpoints": [elsewhere] });
    Json(json!({ "catalog": [others, images] })).into_response()
}

/// A region `two`, with one image.
pub struct Region {
    pub keystone: Keystone,
    played: Arc<Played>,
}

struct Played {
    /// What it says of the image.
    image: Mutex<Value>,
    bytes: Bytes,
    breaks_off: AtomicBool,
    /// Of the requests for the bytes.
    ranges: Mutex<Vec<Option<String>>>,
}

impl Region {
    pub async fn play(bytes: Vec<u8>) -> Self {
        let image = json!({
            "id": IMAGE, "status": "active", "size": bytes.len(), "name": "theirs", "visibility": "public",
            "disk_format": "raw", "container_format": "bare", "os_hidden": false, "tags": [],
            "os_distro": "debian", "hw_disk_bus": "scsi", "os_glance_failed_import": "", "hw_number": 7,
            "architecture": "arm",
        });
        let played = Arc::new(Played {
            image: Mutex::new(image),
            bytes: bytes.into(),
            breaks_off: AtomicBool::new(false),
            ranges: Mutex::default(),
        });
        let routes = Router::new()
            .route(&format!("/image/v2/images/{IMAGE}"), get(show))
            .route(&format!("/image/v2/images/{IMAGE}/file"), get(download))
            .with_state(played.clone());
        let keystone = Keystone::play().await;
        let url = serve(routes).await;
        // As operators write it down.
        keystone.knows("Two", "public", &format!("{url}/image/"));
        keystone.knows("moved", "public", &format!("{url}/nowhere"));
        Self { keystone, played }
    }

    pub fn says(&self, name: &str, value: Value) {
        self.played.image.lock().unwrap()[name] = value;
    }

    /// The next download ends in the middle.
    pub fn breaks_off(&self) {
        self.played.breaks_off.store(true, Ordering::SeqCst);
    }

    pub fn ranges(&self) -> Vec<Option<String>> {
        self.played.ranges.lock().unwrap().clone()
    }

    pub fn configure(&self, config: &mut Config) {
        config.keystone_authtoken.auth_url = Some(self.keystone.url.clone());
        config.keystone_authtoken.password = Some(serde_json::from_value(json!(PASSWORD)).unwrap());
        config.images.enabled_import_methods.push(GLANCE_DOWNLOAD.to_owned());
    }
}

/// The image of the region that is played, as the API asks for it.
pub async fn source(house: &House, id: &ImageId) -> ImportSource {
    source_in(house, id, "two", "public").await
}

pub async fn source_in(house: &House, id: &ImageId, region: &str, interface: &str) -> ImportSource {
    let regions = house.service().app.regions.clone().unwrap();
    let token = regions.seal(&TOKEN.parse().unwrap(), World::real().ids.secret(), id.as_str()).unwrap();
    let row = house.database.read().await.unwrap().image(id).await.unwrap().unwrap();
    let before = BeforeImport::of(&row, |_| true);
    let (region, interface) = (region.to_owned(), interface.to_owned());
    let from =
        RegionSource { region, image_id: IMAGE.to_owned(), interface, token, before, given: BTreeMap::new() };
    ImportSource::Region(Box::new(from))
}

async fn show(State(played): State<Arc<Played>>, headers: HeaderMap) -> Response {
    assert_eq!(headers["x-auth-token"], TOKEN);
    Json(played.image.lock().unwrap().clone()).into_response()
}

async fn download(State(played): State<Arc<Played>>, headers: HeaderMap) -> Response {
    assert_eq!(headers["x-auth-token"], TOKEN);
    let range = headers.get(header::RANGE).map(|range| range.to_str().unwrap().to_owned());
    played.ranges.lock().unwrap().push(range.clone());
    let bytes = played.bytes.clone();
    if let Some(range) = range {
        let start: usize = range["bytes=".len()..].trim_end_matches('-').parse().unwrap();
        let part = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
        let headers = [(header::CONTENT_RANGE, part)];
        return (StatusCode::PARTIAL_CONTENT, headers, bytes.slice(start..)).into_response();
    }
    if !played.breaks_off.swap(false, Ordering::SeqCst) {
        return bytes.into_response();
    }
    let length = [(header::CONTENT_LENGTH, bytes.len().to_string())];
    let half = bytes.slice(..bytes.len() / 2);
    let body = stream::iter([Ok(half), Err(std::io::Error::other("the cable was pulled"))]);
    (length, Body::from_stream(body)).into_response()
}
