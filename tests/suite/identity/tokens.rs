//! What a token is good for, and until when.

use std::sync::Arc;

use bytes::Bytes;
use pumice::identity::standalone::{LogIn, Proof, Standalone, UserName, Wanted};
use pumice::model::{Clock, Timestamp, World};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{Cloud, by_password, on_both};
use crate::house::DatabaseKind;
use crate::process::PATIENCE;
use crate::support::Answer;

on_both! {
    without_a_good_token_nobody_comes_in
    what_needs_no_token_needs_none
    a_token_expires
    a_token_is_taken_back
    a_token_ends_with_what_it_stands_on
    a_token_is_shown_to_those_it_concerns
    an_upload_outlives_its_token
    a_stream_of_events_does_not
    another_process_believes_the_same_tokens
    a_service_speaks_for_a_user
    a_service_goes_on_with_a_token_that_expired
    one_of_several_roles_makes_a_service
    a_clock_that_is_behind_shuts_nobody_out
    a_project_in_the_path_is_that_of_the_token
    names_cannot_add_headers
}

fn assert_is_the_401_of_the_middleware(answer: &Answer) {
    assert_eq!(answer.status, 401, "{}", answer.text());
    assert_eq!(
        answer.header("www-authenticate"),
        Some("Keystone uri=\"http://cloud.example:8080/identity\"")
    );
    assert_eq!(answer.header("content-type"), Some("application/json"));
    // As keystonemiddleware 13.0.1 sends it.
    assert_eq!(
        answer.text(),
        "{\"error\": {\"code\": 401, \"title\": \"Unauthorized\", \"message\": \"The request you have made \
         requires authentication.\"}}"
    );
    assert!(answer.header("x-openstack-request-id").unwrap().starts_with("req-"));
    assert!(answer.header("openstack-api-version").is_none());
}

async fn without_a_good_token_nobody_comes_in(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let good = cloud.admin().await;
    let mut wrong = vec![
        String::new(),
        "x".to_owned(),
        "none".to_owned(),
        "gAAAAABrBkeMMryp1KlQTg9FYwPuA41hRBK43X6miV01Wk0w".to_owned(),
        format!("{good}x"),
        format!("x{good}"),
        format!("{good}.{good}"),
        good[..good.len() - 1].to_owned(),
        good.to_uppercase(),
        "a".repeat(60_000),
        "\u{e9}\u{e9}\u{e9}".to_owned(),
        "' OR 1=1 --".to_owned(),
    ];
    // The claims of somebody else under the same signature.
    let claims: Vec<&str> = good.split('.').collect();
    wrong.push(format!("{}.{}.{}", claims[0], "e30", claims[2]));
    wrong.push(format!("2.{}.{}", claims[1], claims[2]));
    for path in [
        "/image/v2/images",
        "/image/v2/no-such-thing",
        "/volume/v3/volumes",
        "/volume/v3/no/such",
        "/pumice/v1/jobs",
    ] {
        assert_is_the_401_of_the_middleware(&cloud.call("GET", path).version(60).send().await);
        for token in &wrong {
            let answer = cloud.call("GET", path).header("x-auth-token", token).send().await;
            assert_is_the_401_of_the_middleware(&answer);
        }
    }
    for token in &wrong {
        cloud.identity(token, "GET", "/users", None).await.expect(401);
        let subject = cloud.call("GET", "/identity/v3/auth/tokens").header("x-auth-token", &good);
        subject.header("x-subject-token", token).send().await.expect(404);
    }
    for path in ["/image/v2/images", "/volume/v3/volumes", "/pumice/v1/jobs"] {
        cloud.call("GET", path).header("x-auth-token", &good).send().await.expect(200);
    }
    // Nor may anything else be done.
    cloud.call("POST", "/image/v2/images").json(&json!({ "name": "x" })).send().await.expect(401);
    cloud.call("DELETE", "/volume/v3/volumes/x").send().await.expect(401);
}

async fn what_needs_no_token_needs_none(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    for (path, status) in [
        ("/healthz", 200),
        ("/readyz", 200),
        ("/openapi/identity.json", 200),
        ("/image/", 300),
        ("/image/versions", 200),
        ("/volume/", 300),
        ("/volume/v3/", 200),
        ("/identity/", 300),
        ("/identity/v3", 200),
    ] {
        cloud.call("GET", path).send().await.expect(status);
    }
}

async fn a_token_expires(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let token = cloud.admin().await;
    cloud.site.pass(3500);
    assert!(cloud.is_good(&token).await);
    cloud.site.pass(100);
    assert!(!cloud.is_good(&token).await);
    cloud.identity(&token, "GET", "/users", None).await.expect(401);
}

async fn a_token_is_taken_back(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let person = cloud.person("alice", "member").await;
    let (admin, first) = (cloud.admin().await, cloud.token_of(&person).await);
    let second = cloud.token_of(&person).await;
    assert!(cloud.is_good(&first).await && cloud.is_good(&second).await);
    let revoke = async |asker: &str, token: &str| {
        let call = cloud.call("DELETE", "/identity/v3/auth/tokens").header("x-auth-token", asker);
        call.header("x-subject-token", token).send().await
    };
    revoke(&first, &admin).await.expect(403);
    revoke(&first, &first).await.expect(204);
    assert!(!cloud.is_good(&first).await);
    assert!(cloud.is_good(&second).await, "the other one is gone too");
    revoke(&admin, &first).await.expect(404);
    revoke(&admin, &second).await.expect(204);
    assert!(!cloud.is_good(&second).await);
    // What has expired by itself need not be remembered.
    cloud.site.pass(4000);
    let admin = cloud.admin().await;
    revoke(&admin, &admin).await.expect(204);
}

async fn a_token_ends_with_what_it_stands_on(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let person = cloud.person("alice", "member").await;
    let admin = cloud.admin().await;
    let user = format!("/users/{}", person.id);
    let project = format!("/projects/{}", person.project);
    let change = async |path: &str, body: Value| {
        let answer = cloud.identity(&admin, "PATCH", path, Some(body)).await.expect(200);
        answer.json()
    };

    let token = cloud.token_of(&person).await;
    assert!(cloud.is_good(&token).await);
    change(&user, json!({ "user": { "enabled": false } })).await;
    assert!(!cloud.is_good(&token).await);
    cloud.log_in(&person.auth()).await.expect(401);
    change(&user, json!({ "user": { "enabled": true } })).await;
    assert!(!cloud.is_good(&token).await, "a token came back");

    let token = cloud.token_of(&person).await;
    change(&project, json!({ "project": { "enabled": false } })).await;
    assert!(!cloud.is_good(&token).await);
    change(&project, json!({ "project": { "enabled": true } })).await;

    // A role that is taken, and one that is given.
    let token = cloud.token_of(&person).await;
    assert!(cloud.is_good(&token).await);
    let (member, reader) = (cloud.role(&admin, "member").await, cloud.role(&admin, "reader").await);
    let grant = |role: &str| format!("{project}/users/{}/roles/{role}", person.id);
    cloud.identity(&admin, "DELETE", &grant(&member), None).await.expect(204);
    assert!(!cloud.is_good(&token).await);
    cloud.identity(&admin, "PUT", &grant(&reader), None).await.expect(204);
    let validated = validate(&cloud, &token, &token).await.expect(200).json();
    assert_eq!(validated["token"]["roles"][0]["name"], "reader");

    // A password that its owner changes, and one that an administrator changes.
    let path = format!("{user}/password");
    let body = |old: &str| json!({ "user": { "original_password": old, "password": "another one" } });
    let send =
        async |old: &str| cloud.call("POST", &format!("/identity/v3{path}")).json(&body(old)).send().await;
    send("wrong").await.expect(401);
    assert!(cloud.is_good(&token).await);
    send(person.password).await.expect(204);
    assert!(!cloud.is_good(&token).await);
    cloud.log_in(&person.auth()).await.expect(401);
    let scope = json!({ "project": { "id": person.project } });
    let token = cloud.token(&by_password("alice", "another one", scope.clone())).await;
    change(&user, json!({ "user": { "password": "a third one" } })).await;
    assert!(!cloud.is_good(&token).await);
    let token = cloud.token(&by_password("alice", "a third one", scope)).await;
    cloud.identity(&admin, "DELETE", &user, None).await.expect(204);
    assert!(!cloud.is_good(&token).await);
    assert!(cloud.is_good(&admin).await);
}

async fn validate(cloud: &Cloud, asker: &str, subject: &str) -> Answer {
    let call = cloud.call("GET", "/identity/v3/auth/tokens").header("x-auth-token", asker);
    call.header("x-subject-token", subject).send().await
}

async fn a_token_is_shown_to_those_it_concerns(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let alice = cloud.person("alice", "member").await;
    let bob = cloud.person("bob", "member").await;
    let nova = cloud.person("nova", "service").await;
    let (admin, token) = (cloud.admin().await, cloud.token_of(&alice).await);
    for asker in [&admin, &token, &cloud.token_of(&nova).await] {
        let answer = validate(&cloud, asker, &token).await.expect(200);
        assert_eq!(answer.header("x-subject-token"), Some(token.as_str()));
        assert_eq!(answer.json()["token"]["user"]["id"], alice.id);
        assert!(!answer.text().contains("password_hash"), "{}", answer.text());
    }
    validate(&cloud, &cloud.token_of(&bob).await, &token).await.expect(403);
    cloud.call("GET", "/identity/v3/auth/tokens").header("x-auth-token", &admin).send().await.expect(404);
    let head = cloud.call("HEAD", "/identity/v3/auth/tokens").header("x-auth-token", &admin);
    let head = head.header("x-subject-token", &token).send().await.expect(200);
    assert!(head.text().is_empty());
}

/// Its bytes come in pieces; between two of them the token expires and is taken back.
async fn an_upload_outlives_its_token(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let token = cloud.admin().await;
    let image = json!({ "name": "x", "disk_format": "raw", "container_format": "bare" });
    let image =
        cloud.call("POST", "/image/v2/images").header("x-auth-token", &token).json(&image).send().await;
    let id = image.expect(201).json()["id"].as_str().unwrap().to_owned();
    let (sender, pieces) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let pieces = tokio_stream::wrappers::ReceiverStream::new(pieces);
    let upload = cloud.call("PUT", &format!("/image/v2/images/{id}/file")).header("x-auth-token", &token);
    let upload = upload.header("content-type", "application/octet-stream").stream(pieces);
    let upload = tokio::spawn(upload.send());
    sender.send(Ok(Bytes::from(vec![1; 100_000]))).await.unwrap();
    sender.send(Ok(Bytes::from(vec![2; 100_000]))).await.unwrap();
    let revoke = cloud.call("DELETE", "/identity/v3/auth/tokens").header("x-auth-token", &token);
    revoke.header("x-subject-token", &token).send().await.expect(204);
    cloud.site.pass(100_000);
    assert!(!cloud.is_good(&token).await);
    sender.send(Ok(Bytes::from(vec![3; 100_000]))).await.unwrap();
    drop(sender);
    upload.await.unwrap().expect(204);
    let again = cloud.admin().await;
    let path = format!("/image/v2/images/{id}");
    let shown = cloud.call("GET", &path).header("x-auth-token", &again).send().await.expect(200).json();
    assert_eq!((&shown["status"], &shown["size"]), (&json!("active"), &json!(300_000)));
}

/// Nor does it outlive the roles that it was opened with.
async fn a_stream_of_events_does_not(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let person = cloud.person("alice", "member").await;
    let follow = async || {
        let token = cloud.token_of(&person).await;
        let call = cloud.call("GET", "/pumice/v1/jobs/events").header("x-auth-token", &token);
        let stream = call.open().await;
        assert_eq!(stream.status(), 200);
        (token, tokio::spawn(Answer::to("GET", stream)))
    };
    let ends = async |stream: JoinHandle<Answer>| {
        tokio::time::timeout(PATIENCE, stream).await.expect("the stream goes on").unwrap();
    };

    let (token, stream) = follow().await;
    let (other, unconcerned) = follow().await;
    let admin = cloud.admin().await;
    let taken_back = cloud.call("DELETE", "/identity/v3/auth/tokens").header("x-auth-token", &admin);
    taken_back.header("x-subject-token", &token).send().await.expect(204);
    ends(stream).await;
    assert!(!unconcerned.is_finished() && cloud.is_good(&other).await);

    let manager = cloud.role(&admin, "manager").await;
    let grant = format!("/projects/{}/users/{}/roles/{manager}", person.project, person.id);
    cloud.identity(&admin, "PUT", &grant, None).await.expect(204);
    ends(unconcerned).await;

    let (_, stream) = follow().await;
    cloud.site.pass(3600);
    ends(stream).await;
}

async fn another_process_believes_the_same_tokens(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let token = cloud.admin().await;
    let app = cloud.site.app();
    let other = Standalone::open(app.database.clone(), app.world.clone(), &app.config).await.unwrap();
    let session = other.session(&token).await.unwrap();
    assert_eq!(session.user.name, "admin");
    // What this one takes back, that one believes for a few seconds at most.
    let revoke = cloud.call("DELETE", "/identity/v3/auth/tokens").header("x-auth-token", &token);
    revoke.header("x-subject-token", &token).send().await.expect(204);
    cloud.site.pass(6);
    assert!(other.session(&token).await.is_err());
}

async fn a_service_speaks_for_a_user(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let alice = cloud.person("alice", "member").await;
    let nova = cloud.person("nova", "service").await;
    let (token, service) = (cloud.token_of(&alice).await, cloud.token_of(&nova).await);
    let tokens = pumice::identity::Tokens { subject: Some(&token), service: Some(&service) };
    let caller = cloud.site.app().authority.caller(tokens).await.unwrap();
    assert_eq!(caller.user_id.as_str(), alice.id);
    assert_eq!(caller.service_roles, ["service"]);
    assert!(!caller.has_role("service"));
    let with = |service: &str| {
        let call = cloud.call("GET", "/image/v2/images").header("x-auth-token", &token);
        call.header("x-service-token", service).send()
    };
    with(&service).await.expect(200);
    with("not-a-token").await.expect(401);
}

async fn a_service_goes_on_with_a_token_that_expired(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let (alice, bob) = (cloud.person("alice", "member").await, cloud.person("bob", "member").await);
    let nova = cloud.person("nova", "service").await;
    let (token, taken_back) = (cloud.token_of(&alice).await, cloud.token_of(&alice).await);
    let take_back = cloud.call("DELETE", "/identity/v3/auth/tokens").header("x-auth-token", &taken_back);
    take_back.header("x-subject-token", &taken_back).send().await.expect(204);
    cloud.site.pass(3700);
    let (service, other) = (cloud.token_of(&nova).await, cloud.token_of(&bob).await);
    let with = async |token: &str, service: &str| {
        let call = cloud.call("GET", "/image/v2/images").header("x-auth-token", token);
        call.header("x-service-token", service).send().await.status.as_u16()
    };
    let validate = async |token: &str, query: &str| {
        let call = cloud.call("GET", &format!("/identity/v3/auth/tokens{query}"));
        let call = call.header("x-auth-token", &service).header("x-subject-token", token);
        call.send().await.status.as_u16()
    };
    assert!(!cloud.is_good(&token).await);
    assert_eq!(with(&token, &service).await, 200);
    assert_eq!(with(&token, &other).await, 401);
    assert_eq!(with(&taken_back, &service).await, 401);
    assert_eq!(validate(&token, "").await, 404);
    assert_eq!(validate(&token, "?allow_expired=1").await, 200);
    assert_eq!(validate(&token, "?allow_expired=0").await, 404);
    assert_eq!(validate(&taken_back, "?allow_expired=1").await, 404);
    // Another token that is taken back lets none of those come back that are gone for good.
    let admin = cloud.admin().await;
    let take_back = cloud.call("DELETE", "/identity/v3/auth/tokens").header("x-auth-token", &admin);
    take_back.header("x-subject-token", &other).send().await.expect(204);
    assert_eq!(with(&taken_back, &service).await, 401);
    // Nor does it last for ever.
    cloud.site.pass(172_800);
    let service = cloud.token_of(&nova).await;
    assert_eq!(with(&token, &service).await, 401);
}

async fn one_of_several_roles_makes_a_service(kind: DatabaseKind) {
    let several = ["robot", "Member"].map(str::to_owned);
    let cloud =
        Cloud::with(kind, |config| config.keystone_authtoken.service_token_roles = several.into()).await;
    let (alice, bob) = (cloud.person("alice", "reader").await, cloud.person("bob", "member").await);
    let nova = cloud.person("nova", "service").await;
    let token = cloud.token_of(&alice).await;
    cloud.site.pass(3700);
    for (service, status) in [(&bob, 200), (&nova, 401)] {
        let service = cloud.token_of(service).await;
        let call = cloud.call("GET", "/image/v2/images").header("x-auth-token", &token);
        call.header("x-service-token", &service).send().await.expect(status);
    }
}

/// A minute late.
struct Late(Arc<dyn Clock>);

impl Clock for Late {
    fn now(&self) -> Timestamp {
        self.0.now().plus_seconds(-60)
    }
}

async fn a_clock_that_is_behind_shuts_nobody_out(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let app = cloud.site.app();
    let world = World { clock: Arc::new(Late(app.world.clock.clone())), ids: app.world.ids.clone() };
    let other = Standalone::open(app.database.clone(), world, &app.config).await.unwrap();
    let alice = cloud.person("alice", "member").await;
    let log_in = async |password: &str| {
        let user = UserName::Id(alice.id.clone());
        let proofs = vec![Proof::Password { user, password: password.to_owned() }];
        other.log_in(LogIn { proofs, wanted: Wanted::Unscoped }).await.map(|(token, _)| token)
    };
    let first = log_in(alice.password).await.unwrap();
    assert!(other.session(&first).await.is_ok());
    let change = json!({ "user": { "password": "another one" } });
    let path = format!("/users/{}", alice.id);
    cloud.identity(&cloud.admin().await, "PATCH", &path, Some(change)).await.expect(200);
    let second = log_in("another one").await.unwrap();
    cloud.site.pass(6);
    assert!(other.session(&second).await.is_ok());
    assert!(other.session(&first).await.is_err(), "a token outlived its password");
}

async fn a_project_in_the_path_is_that_of_the_token(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let alice = cloud.person("alice", "member").await;
    let token = cloud.token_of(&alice).await;
    let list = |project: &str, token: &str| {
        cloud.call("GET", &format!("/volume/v3/{project}/volumes")).header("x-auth-token", token).send()
    };
    list(&alice.project, &token).await.expect(200);
    list("0123456789abcdef", &token).await.expect(400);
    let unscoped = cloud.token(&by_password("alice", alice.password, json!("unscoped"))).await;
    list(&alice.project, &unscoped).await.expect(400);
}

async fn names_cannot_add_headers(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let forged = "evil.example\" injected=\"yes";
    let answer = cloud.call("GET", "/image/v2/images").header("x-forwarded-host", forged).send().await;
    assert_eq!(
        answer.header("www-authenticate"),
        Some("Keystone uri=\"http://cloud.example:8080/identity\"")
    );
    let admin = cloud.admin().await;
    let name = "x\r\nx-injected: yes\r\n\r\n<html>";
    let user = json!({ "user": { "name": name, "password": "x", "email": name } });
    let made = cloud.identity(&admin, "POST", "/users", Some(user)).await.expect(201);
    assert_eq!(made.json()["user"]["name"], name);
    let token = cloud.log_in(&by_password(name, "x", json!("unscoped"))).await.expect(201);
    for answer in [made, token] {
        assert!(answer.header("x-injected").is_none(), "{:?}", answer.headers);
    }
    let image = json!({ "name": name, "disk_format": "raw", "container_format": "bare" });
    let image =
        cloud.call("POST", "/image/v2/images").header("x-auth-token", &admin).json(&image).send().await;
    assert!(image.header("x-injected").is_none(), "{:?}", image.headers);
}
