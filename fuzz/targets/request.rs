//! A request, as it stands on the wire, to a whole service whose workers do not run: every parser of bodies, queries,
//! paths and headers behind the routes that it belongs to.

use std::cell::RefCell;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use pumice::config::{Config, DatabaseUrl, Seconds};
use pumice::service::Service;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tower::ServiceExt;

/// So many changes a service sees before a new one takes its place: what one request leaves behind must not decide for
/// long what becomes of others, and lists stay short.
const CHANGES: usize = 300;

/// No answer that ends is longer.
const LONGEST: usize = 64 << 20;

thread_local! {
    static STAGE: RefCell<Option<Stage>> = const { RefCell::new(None) };
}

pub fn request(bytes: &[u8]) {
    answer(bytes);
}

/// Whatever is asked, the service itself does not fail, and what it says is JSON is. `None`: no server would let it in.
pub fn answer(bytes: &[u8]) -> Option<StatusCode> {
    let text = std::str::from_utf8(bytes).ok()?;
    STAGE.with_borrow_mut(|stage| {
        let stage = match stage {
            Some(stage) if stage.changes < CHANGES => stage,
            _ => stage.insert(Stage::new()),
        };
        let asked = stage.read(text)?;
        Some(stage.ask(asked))
    })
}

struct Stage {
    runtime: Runtime,
    routes: Router,
    token: String,
    /// What a request may name: `{volume}`, and the others likewise.
    things: Vec<(&'static str, String)>,
    changes: usize,
    _folder: TempDir,
}

/// A request, and whether it names something of ours.
struct Asked {
    request: Request<Body>,
    may_spoil: bool,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mut config = Config::default();
        config.database.url = DatabaseUrl::file(at("pumice.db").to_str().unwrap());
        config.images.directory = at("images");
        config.images.show_multiple_locations = true;
        config.volumes.directory = at("volumes");
        config.identity.clouds_file = at("clouds.yaml");
        // No name is looked up.
        config.import_filtering_opts.allowed_hosts = vec!["127.0.0.1".to_owned()];
        // No job ends, so nobody waits long for one, and nobody is refused for others that are open.
        config.api.request_timeout = Seconds(1);
        config.jobs.max_open = 1_000_000;
        config.jobs.max_open_per_project = 1_000_000;
        config.quotas.quota_volumes = -1;
        config.quotas.quota_snapshots = -1;
        config.quotas.quota_gigabytes = -1;
        let clouds = config.identity.clouds_file.clone();

        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let routes = runtime.block_on(async { Service::open(config).await.unwrap().routes(None) });
        let clouds = std::fs::read_to_string(clouds).unwrap();
        let password = clouds.lines().find_map(|line| line.trim().strip_prefix("password: ")).unwrap();
        let (token, things) = (String::new(), Vec::new());
        let mut stage = Self { runtime, routes, token, things, changes: 0, _folder: folder };
        let user = json!({"name": "admin", "domain": {"id": "default"},
            "password": serde_json::from_str::<Value>(password).unwrap()});
        let scope = json!({"project": {"name": "admin", "domain": {"id": "default"}}});
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        let log_in = json!({"auth": {"identity": identity, "scope": scope}});
        let (_, headers, _) = stage.post("/identity/v3/auth/tokens", &log_in);
        stage.token = headers["x-subject-token"].to_str().unwrap().to_owned();
        stage.make_things();
        stage
    }

    fn make_things(&mut self) {
        let (_, _, made) = self.post("/volume/v3/volumes", &json!({"volume": {"size": 1}}));
        let volume = made["volume"]["id"].as_str().unwrap().to_owned();
        let is_there = json!({"os-reset_status": {"status": "available"}});
        self.post(&format!("/volume/v3/volumes/{volume}/action"), &is_there);
        let image = json!({"disk_format": "raw", "container_format": "bare"});
        let (_, _, made) = self.post("/image/v2/images", &image);
        let image = made["id"].as_str().unwrap().to_owned();
        self.things = vec![("{volume}", volume), ("{image}", image)];
    }

    fn post(&self, path: &str, body: &Value) -> (StatusCode, HeaderMap, Value) {
        loop {
            let request = Request::post(path)
                .header(header::CONTENT_TYPE, "application/json")
                .header("openstack-api-version", "volume latest")
                .header("x-auth-token", &self.token);
            let answer = self.send(request.body(Body::from(body.to_string())).unwrap());
            if answer.0.is_success() {
                return answer;
            }
            // The machine has much to do: a request has a second.
            assert_eq!(answer.0, StatusCode::SERVICE_UNAVAILABLE, "{path} {body}: {answer:?}");
        }
    }

    /// A line, headers, an empty line, and the body, each line ending in `\n`. Without a token it is the administrator
    /// who asks.
    fn read(&self, text: &str) -> Option<Asked> {
        let mut text = text.to_owned();
        let may_spoil = self.things.iter().any(|(mark, _)| text.contains(mark));
        for (mark, id) in &self.things {
            text = text.replace(mark, id);
        }
        let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let (method, target) = lines.next()?.split_once(' ')?;
        let mut request = Request::builder().method(method).uri(target);
        for line in lines {
            let (name, value) = line.split_once(':')?;
            request = request.header(name, value.trim());
        }
        if !request.headers_ref()?.contains_key("x-auth-token") {
            request = request.header("x-auth-token", &self.token);
        }
        let request = request.body(Body::from(body.to_owned())).ok()?;
        Some(Asked { request, may_spoil })
    }

    fn ask(&mut self, asked: Asked) -> StatusCode {
        let line = format!("{} {}", asked.request.method(), asked.request.uri());
        let changes = asked.request.method() != "GET";
        let (status, _, body) = self.send(asked.request);
        assert!(status != StatusCode::INTERNAL_SERVER_ERROR, "{line}: {body}");
        if status.is_success() && changes {
            self.changes += 1;
            if asked.may_spoil {
                self.make_things();
            }
        }
        status
    }

    fn send(&self, request: Request<Body>) -> (StatusCode, HeaderMap, Value) {
        let routes = self.routes.clone();
        self.runtime.block_on(async {
            let (head, body) = routes.oneshot(request).await.unwrap().into_parts();
            let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
            let body = match kind {
                // It has no end.
                Some("text/event-stream") => Value::Null,
                Some(kind) if kind.starts_with("application/json") => {
                    let bytes = to_bytes(body, LONGEST).await.unwrap();
                    if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() }
                }
                _ => String::from_utf8_lossy(&to_bytes(body, LONGEST).await.unwrap()).into(),
            };
            (head.status, head.headers, body)
        })
    }
}
