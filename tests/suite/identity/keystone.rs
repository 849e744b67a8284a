//! Tokens of a Keystone: of one that the test plays, so that it can be slow, strange or gone, and of our own service.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use pumice::config::{self, Config, IdentityMode, Seconds};
use pumice::identity::Tokens;
use pumice::model::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::Cloud;
use crate::house::DatabaseKind;
use crate::support::{Answer, Site};

/// The moment at which a [`Site`] begins.
const START: Timestamp = Timestamp(1_795_348_046_970_525);

#[derive(Default)]
struct Played {
    /// What is good, and until when.
    tokens: Mutex<HashMap<String, Timestamp>>,
    /// The token it gave us last.
    own: Mutex<String>,
    log_ins: AtomicUsize,
    validations: AtomicUsize,
    is_down: AtomicBool,
    /// A validation waits for the bell while this is set.
    is_slow: AtomicBool,
    bell: Notify,
}

async fn log_in(State(played): State<Arc<Played>>, Json(body): Json<Value>) -> Response {
    if played.is_down.load(Ordering::SeqCst) {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let user = &body["auth"]["identity"]["password"]["user"];
    if user["name"] != "pumice" || user["password"] != "s3cret" {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let token = format!("own-{}", played.log_ins.fetch_add(1, Ordering::SeqCst));
    *played.own.lock().unwrap() = token.clone();
    let body = shown(START.plus_seconds(1_000_000), &["service"]);
    (StatusCode::CREATED, [("x-subject-token", token)], Json(body)).into_response()
}

async fn validate(
    State(played): State<Arc<Played>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if played.is_down.load(Ordering::SeqCst) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if headers["x-auth-token"] != *played.own.lock().unwrap() {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    played.validations.fetch_add(1, Ordering::SeqCst);
    if played.is_slow.load(Ordering::SeqCst) {
        played.bell.notified().await;
    }
    let token = headers["x-subject-token"].to_str().unwrap();
    let expires = played.tokens.lock().unwrap().get(token).copied();
    let may_be_expired = query.unwrap_or_default().contains("allow_expired=1");
    match expires {
        Some(expires) if expires > START || may_be_expired => {
            let role = if token.starts_with("service") { "service" } else { "Member" };
            let mut shown = shown(expires, &[role, "reader"]);
            if token == "ordinary" {
                shown["token"]["is_admin_project"] = json!(false);
            }
            if token == "elsewhere" {
                shown["token"]["project"]["id"] = json!("other-id");
            }
            Json(shown).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn shown(expires: Timestamp, roles: &[&str]) -> Value {
    let named =
        |name: &str| json!({ "id": format!("{name}-id"), "name": name, "domain": { "id": "default" } });
    let roles: Vec<_> = roles.iter().map(|role| json!({ "id": role, "name": role })).collect();
    json!({ "token": {
        "methods": ["password"], "user": named("alice"), "project": named("demo"), "roles": roles,
        "expires_at": format!("{}Z", expires.to_microseconds()), "issued_at": "2026-11-22T11:00:00.000000Z",
    } })
}

async fn serve(routes: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    address
}

async fn play() -> (Arc<Played>, Site) {
    play_with(|_| {}).await
}

async fn play_with(change: impl FnOnce(&mut config::Keystone)) -> (Arc<Played>, Site) {
    let played = Arc::new(Played::default());
    let routes = Router::new().route("/identity/v3/auth/tokens", get(validate).post(log_in));
    let address = serve(routes.with_state(played.clone())).await;
    let site = Site::with(|config| {
        told(config, &format!("http://{address}/identity"), "s3cret");
        change(&mut config.keystone_authtoken);
    })
    .await;
    (played, site)
}

fn told(config: &mut Config, auth_url: &str, password: &str) {
    config.identity.mode = IdentityMode::Keystone;
    config.keystone_authtoken.auth_url = Some(auth_url.to_owned());
    config.keystone_authtoken.password = Some(serde_json::from_value(json!(password)).unwrap());
    config.keystone_authtoken.www_authenticate_uri = Some("https://keystone.example/v3".to_owned());
}

impl Played {
    fn give(&self, token: &str, seconds: i64) {
        self.tokens.lock().unwrap().insert(token.to_owned(), START.plus_seconds(seconds));
    }

    fn validations(&self) -> usize {
        self.validations.load(Ordering::SeqCst)
    }
}

async fn images(site: &Site, token: &str) -> Answer {
    site.request("GET", "/image/v2/images").header("x-auth-token", token).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for_once() {
    let (played, site) = play().await;
    played.give("good", 100_000);
    for _ in 0..5 {
        images(&site, "good").await.expect(200);
    }
    assert_eq!((played.validations(), played.log_ins.load(Ordering::SeqCst)), (1, 1));
    let tokens = Tokens { subject: Some("good"), service: None };
    let caller = site.app().authority.caller(tokens).await.unwrap();
    assert_eq!(caller.user_id.as_str(), "alice-id");
    assert_eq!(caller.project_id.as_ref().unwrap().as_str(), "demo-id");
    assert_eq!(caller.roles, ["member", "reader"]);
    // A token that is not good is not asked for again either.
    for _ in 0..2 {
        let answer = images(&site, "bad").await.expect(401);
        assert_eq!(answer.header("www-authenticate"), Some("Keystone uri=\"https://keystone.example/v3\""));
    }
    assert_eq!(played.validations(), 2);
    images(&site, &"x".repeat(10_000)).await.expect(401);
    site.request("GET", "/image/v2/images").send().await.expect(401);
    assert_eq!(played.validations(), 2);
    // There is no Identity of our own beside it.
    site.request("GET", "/identity/v3").send().await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_believed_for_a_time_and_never_past_expiry() {
    let (played, site) = play().await;
    played.give("long", 100_000);
    played.give("short", 100);
    images(&site, "long").await.expect(200);
    images(&site, "short").await.expect(200);
    site.pass(100);
    images(&site, "long").await.expect(200);
    assert_eq!(played.validations(), 2);
    images(&site, "short").await.expect(401);
    site.pass(300);
    let before = played.validations();
    played.tokens.lock().unwrap().remove("long");
    images(&site, "long").await.expect(401);
    assert_eq!(played.validations(), before + 1);
}

/// Keystone may not have known it yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_believed_for_a_moment() {
    let (played, site) = play().await;
    images(&site, "new").await.expect(401);
    played.give("new", 100_000);
    images(&site, "new").await.expect(401);
    assert_eq!(played.validations(), 1);
    site.pass(6);
    images(&site, "new").await.expect(200);
    assert_eq!(played.validations(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_time_to_believe_it_each_request_asks_once() {
    let (played, site) = play_with(|options| options.token_cache_time = Seconds(0)).await;
    played.give("good", 100_000);
    for token in ["good", "good", "bad", "bad"] {
        let before = played.validations();
        images(&site, token).await.expect(if token == "good" { 200 } else { 401 });
        assert_eq!(played.validations(), before + 1, "{token}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_ask_once() {
    let (played, site) = play().await;
    played.give("good", 100_000);
    played.is_slow.store(true, Ordering::SeqCst);
    let site = Arc::new(site);
    let requests: Vec<_> = (0..20)
        .map(|_| {
            let site = site.clone();
            tokio::spawn(async move { images(&site, "good").await })
        })
        .collect();
    while played.validations() == 0 {
        tokio::task::yield_now().await;
    }
    played.is_slow.store(false, Ordering::SeqCst);
    played.bell.notify_one();
    for request in requests {
        request.await.unwrap().expect(200);
    }
    assert_eq!(played.validations(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_token_is_renewed_when_it_is_refused() {
    let (played, site) = play().await;
    played.give("one", 100_000);
    played.give("two", 100_000);
    images(&site, "one").await.expect(200);
    *played.own.lock().unwrap() = "revoked meanwhile".to_owned();
    images(&site, "two").await.expect(200);
    assert_eq!(played.log_ins.load(Ordering::SeqCst), 2);
    // Before it expires by itself as well.
    site.pass(999_960);
    images(&site, "three").await.expect(401);
    assert_eq!(played.log_ins.load(Ordering::SeqCst), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keystone_those_who_are_known_go_on() {
    let (played, site) = play().await;
    played.give("known", 100_000);
    played.give("unknown", 100_000);
    images(&site, "known").await.expect(200);
    played.is_down.store(true, Ordering::SeqCst);
    images(&site, "known").await.expect(200);
    let answer = images(&site, "unknown").await.expect(503);
    // As keystonemiddleware 13.0.1 sends it.
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=UTF-8"));
    assert_eq!(
        answer.text(),
        "503 Service Unavailable\n\nThe server is currently unavailable. Please try again at a later time.\n\n \
         The Keystone service is temporarily unavailable.  "
    );
    // A failure is no answer: it is not remembered.
    played.is_down.store(false, Ordering::SeqCst);
    images(&site, "unknown").await.expect(200);

    let nobody_listens = |config: &mut Config| told(config, "http://127.0.0.1:9", "s3cret");
    images(&Site::with(nobody_listens).await, "known").await.expect(503);
}

/// Keystone tells so where it is told which project is the administrators'.
#[tokio::test(flavor = "multi_thread")]
async fn not_every_project_is_the_administrators() {
    let (played, site) = play().await;
    for (token, expected) in [("any", true), ("ordinary", false)] {
        played.give(token, 100_000);
        let tokens = Tokens { subject: Some(token), service: None };
        let caller = site.app().authority.caller(tokens).await.unwrap();
        assert_eq!(caller.is_admin_project, expected, "{token}");
    }
}

/// Of the 64 places for those who follow events.
#[tokio::test(flavor = "multi_thread")]
async fn one_project_leaves_places_to_others() {
    let (played, site) = play().await;
    played.give("good", 100_000);
    played.give("elsewhere", 100_000);
    let follow = async |token: &str| {
        site.request("GET", "/pumice/v1/jobs/events").header("x-auth-token", token).open().await
    };
    let mut streams = Vec::new();
    for _ in 0..48 {
        let stream = follow("good").await;
        assert_eq!(stream.status(), StatusCode::OK);
        streams.push(stream);
    }
    let refused = follow("good").await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "5");
    assert_eq!(follow("elsewhere").await.status(), StatusCode::OK);
    streams.pop();
    assert_eq!(follow("good").await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_may_go_on_with_an_expired_token() {
    let (played, site) = play().await;
    played.give("expired", -10);
    played.give("service", 100_000);
    played.give("other", 100_000);
    images(&site, "expired").await.expect(401);
    let with = |service: &str| {
        let call = site.request("GET", "/image/v2/images").header("x-auth-token", "expired");
        call.header("x-service-token", service).send()
    };
    with("service").await.expect(200);
    with("other").await.expect(401);
    with("bad").await.expect(401);
    let tokens = Tokens { subject: Some("expired"), service: Some("service") };
    let caller = site.app().authority.caller(tokens).await.unwrap();
    assert_eq!(caller.service_roles, ["reader", "service"]);
    assert_eq!(caller.roles, ["member", "reader"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_several_roles_makes_a_service() {
    let several = ["robot", "SERVICE"].map(str::to_owned);
    let (played, site) = play_with(|options| options.service_token_roles = several.into()).await;
    played.give("expired", -10);
    for (service, status) in [("service", 200), ("other", 401)] {
        played.give(service, 100_000);
        let call = site.request("GET", "/image/v2/images").header("x-auth-token", "expired");
        call.header("x-service-token", service).send().await.expect(status);
    }
}

/// One Pumice asks another one.
#[tokio::test(flavor = "multi_thread")]
async fn our_own_identity_is_keystone_enough() {
    let cloud = Cloud::new(DatabaseKind::Sqlite).await;
    let address = serve(cloud.site.routes.clone()).await;
    let pumice = cloud.person("pumice", "service").await;
    let alice = cloud.person("alice", "reader").await;
    let site = Site::with(|config| {
        told(config, &format!("http://{address}/identity/v3/"), pumice.password);
        config.keystone_authtoken.project_name = "project-of-pumice".to_owned();
    })
    .await;
    let token = cloud.token_of(&alice).await;
    images(&site, &token).await.expect(200);
    let tokens = Tokens { subject: Some(&token), service: None };
    let caller = site.app().authority.caller(tokens).await.unwrap();
    assert_eq!((caller.user_id.as_str(), caller.user_name.as_deref()), (alice.id.as_str(), Some("alice")));
    assert_eq!(caller.project_id.as_ref().unwrap().as_str(), alice.project);
    assert_eq!(caller.roles, ["reader"]);
    images(&site, "nonsense").await.expect(401);
}
