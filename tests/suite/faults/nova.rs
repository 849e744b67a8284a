//! A Nova that is played, and its Keystone: it moves what an instance has as the real one does, by what it may ask of the
//! replicas. What it began it ends, however often they die meanwhile.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use pumice::block::{BlockError, OpenMode, Stores};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::sleep;

use super::chaos::Addresses;
use super::load::http;
use super::model::{Kind, LENGTH, MARK_AT};
use super::store_of;

#[derive(Clone)]
pub struct Nova(Arc<Played>);

struct Played {
    address: String,
    http: reqwest::Client,
    /// Known once the replicas are there, which want to know of it first.
    cloud: OnceLock<(Addresses, Stores)>,
}

impl Nova {
    pub async fn play() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let nova = Self(Arc::new(Played { address, http: http(), cloud: OnceLock::new() }));
        let routes = Router::new()
            .route("/identity/v3/auth/tokens", post(log_in))
            .route("/compute/os-server-external-events", post(hear))
            .route("/compute/servers/{server}/os-volume_attachments/{volume}", get(show).put(swap))
            .with_state(nova.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        nova
    }

    pub fn auth_url(&self) -> String {
        format!("{}/identity", self.0.address)
    }

    pub fn knows(&self, addresses: Addresses, stores: Stores) {
        let _ = self.0.cloud.set((addresses, stores));
    }
}

async fn log_in(State(nova): State<Nova>) -> Response {
    let url = format!("{}/compute", nova.0.address);
    let endpoint = json!({"interface": "public", "region": "here", "region_id": "here", "url": url});
    let body = json!({"token": {
        "expires_at": "2999-01-01T00:00:00.000000Z",
        "roles": [{"id": "r", "name": "admin"}],
        "catalog": [{"type": "compute", "endpoints": [endpoint]}],
    }});
    (StatusCode::CREATED, [("x-subject-token", "token")], Json(body)).into_response()
}

async fn hear(Json(mut body): Json<Value>) -> Json<Value> {
    for event in body["events"].as_array_mut().unwrap() {
        event["code"] = json!(200);
        event["status"] = json!("completed");
    }
    Json(body)
}

/// Its instances are gone when somebody asks.
async fn show() -> Response {
    let missing = json!({"itemNotFound": {"code": 404, "message": "It could not be found."}});
    (StatusCode::NOT_FOUND, [("openstack-api-version", "compute 2.89")], Json(missing)).into_response()
}

/// Answers as soon as the volume's next copy is reserved. Whoever asked may be dead by then: it goes on all the same.
async fn swap(
    State(nova): State<Nova>,
    Path((server, old)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> StatusCode {
    let new = body["volumeAttachment"]["volumeId"].as_str().unwrap().to_owned();
    let swap = Swap { nova, server, old, new };
    let begun = tokio::spawn(async move {
        let attachment = swap.begin().await?;
        tokio::spawn(async move { swap.work(&attachment).await });
        Some(())
    });
    match begun.await.unwrap() {
        Some(()) => StatusCode::ACCEPTED,
        None => StatusCode::CONFLICT,
    }
}

struct Swap {
    nova: Nova,
    server: String,
    old: String,
    new: String,
}

impl Swap {
    /// Until somebody says something that is not about himself.
    async fn call(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let mut random = StdRng::from_os_rng();
        let (addresses, _) = self.nova.0.cloud.get().unwrap();
        loop {
            if let Some(address) = addresses.choose(&mut random) {
                let request = self.nova.0.http.request(method.clone(), format!("{address}/volume/v3{path}"));
                let request = request.header("OpenStack-API-Version", "volume 3.71");
                let request = if body.is_null() { request } else { request.json(&body) };
                if let Ok(answer) = request.send().await
                    && !answer.status().is_server_error()
                    && let (status, Ok(text)) = (answer.status(), answer.text().await)
                {
                    return (status, serde_json::from_str(&text).unwrap_or(Value::Null));
                }
            }
            sleep(Duration::from_millis(300)).await;
        }
    }

    async fn volume(&self, id: &str) -> Value {
        self.call(Method::GET, &format!("/volumes/{id}"), Value::Null).await.1["volume"].clone()
    }

    async fn act(&self, action: Value) -> bool {
        let path = format!("/volumes/{}/action", self.old);
        self.call(Method::POST, &path, action).await.0.is_success()
    }

    /// The attachment of the next copy.
    async fn begin(&self) -> Option<String> {
        let new = self.volume(&self.new).await;
        if new["migration_status"] != format!("target:{}", self.old) || new["status"] != "available" {
            return None;
        }
        // The one who heard it may have died before it said so.
        if !self.act(json!({"os-begin_detaching": null})).await
            && self.volume(&self.old).await["status"] != "detaching"
        {
            return None;
        }
        let body = json!({"attachment": {"volume_uuid": self.new, "instance_uuid": self.server}});
        let (_, said) = self.call(Method::POST, "/attachments", body).await;
        let mut made = said["attachment"]["id"].as_str().map(str::to_owned);
        if made.is_none() {
            let new = self.volume(&self.new).await;
            made = new["attachments"][0]["attachment_id"].as_str().map(str::to_owned);
        }
        if made.is_none() {
            self.act(json!({"os-roll_detaching": null})).await;
        }
        made
    }

    async fn work(&self, attachment: &str) {
        let attachment = format!("/attachments/{attachment}");
        let connector = json!({"attachment": {"connector": {"host": "compute-1", "mountpoint": "/dev/vdc"}}});
        let (connected, _) = self.call(Method::PUT, &attachment, connector).await;
        let is_copied = connected.is_success() && self.copy().await.is_ok();
        if is_copied {
            let complete = json!({"os-complete": null});
            self.call(Method::POST, &format!("{attachment}/action"), complete).await;
            let old = self.volume(&self.old).await;
            for one in old["attachments"].as_array().into_iter().flatten() {
                let path = format!("/attachments/{}", one["attachment_id"].as_str().unwrap());
                self.call(Method::DELETE, &path, Value::Null).await;
            }
        } else {
            self.act(json!({"os-roll_detaching": null})).await;
            self.call(Method::DELETE, &attachment, Value::Null).await;
        }
        self.act(json!({"os-migrate_volume_completion": {"new_volume": self.new, "error": !is_copied}}))
            .await;
    }

    /// What the hypervisor does, which knows no more than the names.
    async fn copy(&self) -> Result<(), BlockError> {
        let (_, stores) = self.nova.0.cloud.get().unwrap();
        let name = Kind::Volume.name(&self.old);
        let (from, to) = (self.volume(&self.old).await, self.volume(&self.new).await);
        let from = store_of(stores, &from).open(&name, OpenMode::ReadOnly).await?;
        let to = store_of(stores, &to).open(&name, OpenMode::ReadWrite).await?;
        let copied = async {
            for (at, length) in [(0, LENGTH as u64), (MARK_AT, 8)] {
                let bytes: Bytes = from.read(at, length).await?;
                to.write(at, bytes).await?;
            }
            to.flush().await
        };
        let copied = copied.await;
        to.close().await?;
        from.close().await?;
        copied
    }
}
