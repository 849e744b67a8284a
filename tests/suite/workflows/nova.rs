//! What Nova is told of volumes: a Nova that the test plays, behind a Keystone that it plays too, or a real one.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{post, put};
use axum::{Json, Router};
use pumice::config::{self, Config, Interface};
use pumice::db::{Message, MessageFilter, Page, VolumeChange};
use pumice::jobs::{self, NoFaults, Origin, Task, VolumeSource};
use pumice::model::{AttachmentStatus, Gib, Ids, ProjectId, RandomIds, VolumeId, VolumeStatus};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{pattern, swaps};
use crate::house::{DatabaseKind, House, StoreKind};
use crate::identity::journey::Keystone;

pub const SERVER: &str = "5e7f3c1e-0000-4000-8000-000000000001";
const OTHER: &str = "5e7f3c1e-0000-4000-8000-000000000002";

/// What it was asked, and what it says to it.
#[derive(Default)]
pub struct Played {
    log_ins: AtomicUsize,
    heard: Mutex<Vec<(HeaderMap, Value)>>,
    /// The next answers; then it takes everything.
    answers: Mutex<VecDeque<StatusCode>>,
    address: Mutex<String>,
    /// How it moves volumes.
    pub swaps: Mutex<swaps::Played>,
    /// What it says of any attachment, and what it was asked about: headers, server and volume.
    pub knows: Mutex<Knows>,
    pub asked: Mutex<Vec<(HeaderMap, String, String)>>,
    /// The one who asks is nobody in particular.
    pub is_blind: AtomicBool,
}

/// What it knows of what a server has.
#[derive(Clone, Debug, Default)]
pub enum Knows {
    #[default]
    Nothing,
    /// By this attachment.
    It(String),
    /// It is another web server.
    AnotherPath,
    /// It is older than the question.
    OldWords,
    /// It speaks of something else.
    Nonsense,
    IsDown,
    Hangs,
}

async fn show(
    State(played): State<Arc<Played>>,
    Path((server, volume)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let version = [("openstack-api-version", "compute 2.89")];
    let missing = json!({"itemNotFound": {"code": 404, "message": "It could not be found."}});
    let other = json!({"volumeAttachment": {"volumeId": volume, "serverId": server}});
    played.asked.lock().unwrap().push((headers, server, volume));
    let knows = played.knows.lock().unwrap().clone();
    match knows {
        Knows::Nothing => (StatusCode::NOT_FOUND, version, Json(missing)).into_response(),
        Knows::It(id) => {
            let mut known = other;
            known["volumeAttachment"]["attachment_id"] = json!(id);
            (version, Json(known)).into_response()
        }
        Knows::AnotherPath => (StatusCode::NOT_FOUND, Json(missing)).into_response(),
        Knows::OldWords => (StatusCode::NOT_ACCEPTABLE, version).into_response(),
        Knows::Nonsense => (version, Json(other)).into_response(),
        Knows::IsDown => (StatusCode::SERVICE_UNAVAILABLE, version).into_response(),
        Knows::Hangs => std::future::pending().await,
    }
}

async fn log_in(State(played): State<Arc<Played>>, Json(body): Json<Value>) -> Response {
    let user = &body["auth"]["identity"]["password"]["user"];
    if user["name"] != "teller" || user["password"] != "s3cret" {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let address = played.address.lock().unwrap().clone();
    let endpoint = |interface: &str, region: &str, path: &str| json!({"interface": interface, "region": region, "region_id": region, "url": format!("{address}{path}")});
    let endpoints = [
        endpoint("public", "there", "/elsewhere"),
        endpoint("internal", "here", "/elsewhere"),
        endpoint("public", "here", "/compute/v2.1/"),
    ];
    let body = json!({"token": {
        "expires_at": "2999-01-01T00:00:00.000000Z",
        "catalog": [
            {"type": "image", "endpoints": [endpoint("public", "here", "/elsewhere")]},
            {"type": "compute", "endpoints": endpoints},
        ],
    }});
    let mut body = body;
    if !played.is_blind.load(Ordering::SeqCst) {
        body["token"]["roles"] = json!([{"id": "r", "name": "admin"}]);
    }
    let token = format!("token-{}", played.log_ins.fetch_add(1, Ordering::SeqCst));
    (StatusCode::CREATED, [("x-subject-token", token)], Json(body)).into_response()
}

async fn hear(State(played): State<Arc<Played>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    played.heard.lock().unwrap().push((headers, body.clone()));
    let status = played.answers.lock().unwrap().pop_front().unwrap_or(StatusCode::OK);
    let mut events = body["events"].clone();
    for event in events.as_array_mut().unwrap() {
        event["code"] = json!(200);
        event["status"] = json!("completed");
    }
    (status, Json(json!({ "events": events }))).into_response()
}

pub async fn play(answers: &[StatusCode]) -> Arc<Played> {
    let played = Arc::new(Played::default());
    played.answers.lock().unwrap().extend(answers);
    let routes = Router::new()
        .route("/identity/v3/auth/tokens", post(log_in))
        .route("/compute/v2.1/os-server-external-events", post(hear))
        .route("/compute/v2.1/servers/{server}/os-volume_attachments/{volume}", put(swaps::swap).get(show));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    *played.address.lock().unwrap() = format!("http://{}", listener.local_addr().unwrap());
    let routes = routes.with_state(played.clone());
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    played
}

impl Played {
    pub fn options(&self) -> config::Nova {
        config::Nova {
            auth_url: Some(format!("{}/identity", self.address.lock().unwrap())),
            username: "teller".into(),
            password: Some(serde_json::from_value(json!("s3cret")).unwrap()),
            interface: Interface::Public,
            region_name: Some("here".into()),
            ..config::Nova::default()
        }
    }

    fn heard(&self) -> Vec<(HeaderMap, Value)> {
        self.heard.lock().unwrap().clone()
    }
}

async fn house(nova: config::Nova) -> House {
    let mut config = Config { nova, ..Config::default() };
    config.jobs.max_attempts = 2;
    House::with(StoreKind::Directory, DatabaseKind::Sqlite, config, Arc::new(NoFaults)).await
}

impl House {
    /// A volume that these servers have.
    pub async fn attached(&self, servers: &[&str], status: AttachmentStatus) -> VolumeId {
        let volume = self.volume(VolumeSource::Empty, 1).await;
        let mut repository = self.database.begin().await.unwrap();
        for server in servers {
            let attachment = pumice::db::Attachment { status, ..self.reservation(&volume, server) };
            repository.add_attachment(&attachment).await.unwrap();
        }
        repository.follow_attachments(&volume, self.world.now()).await.unwrap();
        repository.commit().await.unwrap();
        volume
    }

    /// As the API asks for it.
    async fn ask_of(&self, volume: &VolumeId, meanwhile: VolumeStatus, task: Task) {
        let mut repository = self.database.begin().await.unwrap();
        let row = repository.volume(volume).await.unwrap().unwrap();
        let (change, now) = (VolumeChange::default(), self.world.now());
        assert!(repository.change_volume(volume, row.status, meanwhile, &change, now).await.unwrap());
        let origin = Origin { project_id: Some(ProjectId("p".into())), request_id: Some("req-1".into()) };
        jobs::enqueue(&mut repository, &self.world, task, &origin).await.unwrap();
        repository.commit().await.unwrap();
        self.settle().await;
    }

    async fn extend_attached(&self, volume: &VolumeId) {
        let task = Task::ExtendVolume { volume_id: volume.clone(), new_size: Gib::new(2).unwrap() };
        self.ask_of(volume, VolumeStatus::Extending, task).await;
        let row = self.database.read().await.unwrap().volume(volume).await.unwrap().unwrap();
        assert_eq!((row.status, row.size.get()), (VolumeStatus::InUse, 2));
    }

    async fn messages(&self) -> Vec<Message> {
        let mut repository = self.database.read().await.unwrap();
        repository.messages(&MessageFilter::default(), &Page::default()).await.unwrap()
    }

    async fn job_that_told(&self, volume: &VolumeId) -> Option<pumice::db::Job> {
        self.last_job(&format!("news-of-{volume}")).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_hear_that_their_volume_has_grown() {
    let played = play(&[]).await;
    let mut house = house(played.options()).await;
    let volume = house.attached(&[SERVER, OTHER], AttachmentStatus::Attached).await;
    house.extend_attached(&volume).await;
    let heard = played.heard();
    let [(headers, body)] = heard.as_slice() else { panic!("{heard:?}") };
    let event = |server: &str| json!({"name": "volume-extended", "server_uuid": server, "tag": volume});
    assert_eq!(*body, json!({"events": [event(SERVER), event(OTHER)]}));
    assert_eq!(headers["x-auth-token"], "token-0");
    assert_eq!(headers["openstack-api-version"], "compute 2.51");
    assert_eq!(house.messages().await.len(), 0);
    // Nobody has this one.
    let free = house.volume(VolumeSource::Empty, 1).await;
    house.extend_volume(&free, 2).await;
    house.settle().await;
    assert_eq!((played.heard().len(), house.job_that_told(&free).await.is_none()), (1, true));
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reserved_volume_with_other_bytes_is_told_of_and_no_other() {
    let played = play(&[]).await;
    let mut house = house(played.options()).await;
    let image = house.upload(pattern(100_000, 9)).await;
    house.settle().await;
    let reserved = house.attached(&[SERVER], AttachmentStatus::Reserved).await;
    let available = house.volume(VolumeSource::Empty, 1).await;
    for volume in [&reserved, &available] {
        let (volume_id, image_id) = (volume.clone(), image.clone());
        let task = Task::Reimage { volume_id, image_id, signed_by: None, readable: None };
        house.ask_of(volume, VolumeStatus::Downloading, task).await;
    }
    let heard = played.heard();
    let [(headers, body)] = heard.as_slice() else { panic!("{heard:?}") };
    let event = json!({"name": "volume-reimaged", "server_uuid": SERVER, "tag": reserved});
    assert_eq!(*body, json!({ "events": [event] }));
    assert_eq!(headers["openstack-api-version"], "compute 2.93");
    assert_eq!(house.volume_status(&reserved).await, Some(VolumeStatus::Reserved));
    house.stop().await;
}

/// The volume has grown all the same, and its user hears that the instance does not know.
#[tokio::test(flavor = "multi_thread")]
async fn a_nova_that_fails_fails_nothing_else() {
    let all_servers_unknown = [StatusCode::NOT_FOUND];
    let down = [StatusCode::BAD_GATEWAY; 10];
    for (answers, asked, error) in [
        (&all_servers_unknown[..], 1, "Nova refused to hear of it."),
        (&down[..], 2, "Nova does not answer."),
    ] {
        let played = play(answers).await;
        let mut house = house(played.options()).await;
        let volume = house.attached(&[SERVER], AttachmentStatus::Attached).await;
        house.extend_attached(&volume).await;
        assert_eq!(played.heard().len(), asked);
        let job = house.job_that_told(&volume).await.unwrap();
        assert_eq!((job.kind.as_str(), job.error.as_deref()), ("tell_nova", Some(error)));
        let messages = house.messages().await;
        let [message] = messages.as_slice() else { panic!("{messages:?}") };
        assert_eq!(message.event_id, "VOLUME_VOLUME_007_009");
        assert_eq!(message.resource_uuid.as_deref(), Some(volume.as_str()));
        assert_eq!(message.request_id.as_deref(), Some("req-1"));
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nova_that_was_down_hears_of_it_later_and_a_token_is_renewed() {
    let played = play(&[StatusCode::SERVICE_UNAVAILABLE, StatusCode::UNAUTHORIZED]).await;
    let mut house = house(played.options()).await;
    let volume = house.attached(&[SERVER], AttachmentStatus::Attached).await;
    house.extend_attached(&volume).await;
    let heard = played.heard();
    let tokens: Vec<_> = heard.iter().map(|(headers, _)| headers["x-auth-token"].to_str().unwrap()).collect();
    assert_eq!(tokens, ["token-0", "token-0", "token-1"]);
    assert_eq!(house.job_that_told(&volume).await.unwrap().error, None);
    assert_eq!(house.messages().await.len(), 0);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalogue_without_nova_and_a_wrong_password_are_said() {
    let played = play(&[]).await;
    let nowhere = config::Nova { region_name: Some("nowhere".into()), ..played.options() };
    let wrong =
        config::Nova { password: Some(serde_json::from_value(json!("wr0ng")).unwrap()), ..played.options() };
    let refused = "Keystone answers 401 Unauthorized to our own log-in (nova)";
    for (options, detail) in [(nowhere, "the catalogue names no Nova"), (wrong, refused)] {
        let mut house = house(options).await;
        let volume = house.attached(&[SERVER], AttachmentStatus::Attached).await;
        house.extend_attached(&volume).await;
        let job = house.job_that_told(&volume).await.unwrap();
        let said = format!("{job:?}");
        assert!(said.contains(detail) && !said.contains("wr0ng"), "{said}");
        house.stop().await;
    }
    assert_eq!(played.heard().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_nova_nobody_is_told() {
    let mut house = house(config::Nova::default()).await;
    let volume = house.attached(&[SERVER], AttachmentStatus::Attached).await;
    house.extend_attached(&volume).await;
    assert!(house.job_that_told(&volume).await.is_none());
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_token_of_a_real_keystone() {
    let keystone = Keystone::log_in().await;
    let of_test = |what: &str| format!("{what}-{}", RandomIds.random().simple());
    let (teller, password, region) = (of_test("teller"), of_test("secret"), of_test("region"));
    keystone.person(&teller, &password, "service").await;
    let played = play(&[]).await;
    keystone.add("region", json!({ "id": region })).await;
    let service = keystone.add("service", json!({ "type": "compute", "name": "nova" })).await;
    let url = format!("{}/compute/v2.1", played.address.lock().unwrap());
    let endpoint = json!({ "service_id": service, "interface": "internal", "region_id": region, "url": url });
    keystone.add("endpoint", endpoint).await;
    let mut house = house(config::Nova {
        auth_url: Some(keystone.url.clone()),
        username: teller.clone(),
        project_name: teller.clone(),
        password: Some(serde_json::from_value(json!(password)).unwrap()),
        interface: Interface::Internal,
        region_name: Some(region),
        ..config::Nova::default()
    })
    .await;
    let volume = house.attached(&[SERVER], AttachmentStatus::Attached).await;
    house.extend_attached(&volume).await;
    let heard = played.heard();
    let [(headers, _)] = heard.as_slice() else {
        panic!("{heard:?}: {:?}", house.job_that_told(&volume).await)
    };
    let token = headers["x-auth-token"].to_str().unwrap();
    let said = keystone.validated(token).await;
    assert_eq!(said["token"]["user"]["name"], teller);
    keystone.call(Method::DELETE, &format!("/services/{service}"), None).await;
    house.stop().await;
}
