//! The first start of the real binary, what the shell can do beside it, and what stands in the log then.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use reqwest::Method;
use serde_json::{Value, json};

use super::{by_credential, by_password, project};
use crate::house::{DatabaseKind, StoreKind};
use crate::process::{Place, Server};

pub async fn place(database: DatabaseKind) -> Place {
    let mut place = Place::new(StoreKind::Directory, database).await;
    place.options.push(("PUMICE_IDENTITY__MODE", "standalone".to_owned()));
    place
}

/// The administrator's, from `clouds.yaml`.
pub fn password(place: &Place) -> String {
    let text = std::fs::read_to_string(place.folder.path().join("pumice-data/clouds.yaml")).unwrap();
    let (_, rest) = text.split_once("password: \"").unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}

pub async fn log_in(server: &Server, auth: &Value) -> Result<String, u16> {
    let client = reqwest::Client::new();
    let answer = client.post(format!("{}/identity/v3/auth/tokens", server.url));
    let answer = answer.json(&json!({ "auth": auth })).send().await.unwrap();
    match answer.headers().get("x-subject-token") {
        Some(token) => Ok(token.to_str().unwrap().to_owned()),
        None => Err(answer.status().as_u16()),
    }
}

/// What it prints; it must succeed.
fn shell(place: &Place, arguments: &[&str], input: &str) -> String {
    let mut command = place.command(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {words}");
    String::from_utf8(output.stdout).unwrap()
}

fn id(place: &Place, user: &str) -> String {
    let list = shell(place, &["user", "list"], "");
    let line = list.lines().find(|line| line.contains(&format!("  {user}  "))).unwrap();
    line.split_once(' ').unwrap().0.to_owned()
}

/// What logs in with a new application credential of that user.
async fn credential(server: &Server, token: &str, user: &str) -> Value {
    let url = format!("{}/identity/v3/users/{user}/application_credentials", server.url);
    let call = reqwest::Client::new().post(url).header("x-auth-token", token);
    let made = call.json(&json!({ "application_credential": { "name": "robot" } })).send().await.unwrap();
    by_credential(&made.json().await.unwrap())
}

async fn users_are_managed_beside_the_service(database: DatabaseKind) {
    let place = place(database).await;
    let output = place.command(&["user", "list"]).output().unwrap();
    assert!(!output.status.success(), "there is nobody to list before a first start");
    if let Some(file) = place.database_url().strip_prefix("sqlite:") {
        let file = file.split('?').next().unwrap();
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let server = place.start();
    let first = password(&place);
    shell(&place, &["project", "create", "demo"], "");
    shell(&place, &["user", "create", "alice", "--password-stdin"], "correct horse\n");
    let random = shell(&place, &["user", "create", "bob"], "");
    for user in ["alice", "bob"] {
        shell(&place, &["role", "add", "member", "--user", user, "--project", "demo"], "");
    }
    let scope = project("demo");
    let token = log_in(&server, &by_password("alice", "correct horse", scope.clone())).await.unwrap();
    let robot = credential(&server, &token, &id(&place, "alice")).await;
    log_in(&server, &robot).await.unwrap();
    log_in(&server, &by_password("bob", random.trim(), scope.clone())).await.unwrap();
    assert!(shell(&place, &["user", "list"], "").contains("  alice  default  enabled\n"));
    assert!(shell(&place, &["project", "list"], "").contains("  demo  default  enabled\n"));
    assert!(shell(&place, &["role", "list"], "").contains("alice  member  project/"));
    shell(&place, &["role", "remove", "member", "--user", "alice", "--project", "demo"], "");
    assert_eq!(log_in(&server, &by_password("alice", "correct horse", scope.clone())).await, Err(401));
    // Given back, the role lets in no program that was let in before.
    shell(&place, &["role", "add", "member", "--user", "alice", "--project", "demo"], "");
    assert_eq!(log_in(&server, &robot).await, Err(401));
    shell(&place, &["user", "delete", "bob"], "");
    assert_eq!(log_in(&server, &by_password("bob", random.trim(), scope)).await, Err(401));
    shell(&place, &["project", "delete", "demo"], "");

    // A token made from the database, without a log-in.
    assert_eq!(shell(&place, &["jobs", "--url", &server.url], ""), "");
    let second = shell(&place, &["user", "set-password", "admin"], "");
    assert_eq!(log_in(&server, &by_password("admin", &first, project("admin"))).await, Err(401));
    log_in(&server, &by_password("admin", second.trim(), project("admin"))).await.unwrap();
    // Nobody is left, or nobody is let in: there is a way back.
    for user in ["admin", "alice"] {
        shell(&place, &["user", "delete", user], "");
    }
    shell(&place, &["user", "create", "alice", "--password-stdin"], "correct horse\n");
    shell(&place, &["role", "add", "admin", "--user", "alice", "--project", "admin"], "");
    let auth = by_password("alice", "correct horse", project("admin"));
    let token = log_in(&server, &auth).await.unwrap();
    let client = reqwest::Client::new();
    let change = client.patch(format!("{}/identity/v3/domains/default", server.url));
    let change = change.header("x-auth-token", token).json(&json!({ "domain": { "enabled": false } }));
    assert_eq!(change.send().await.unwrap().status(), 200);
    assert_eq!(log_in(&server, &auth).await, Err(401));
    shell(&place, &["user", "enable", "alice"], "");
    log_in(&server, &auth).await.unwrap();
    for wrong in [
        &["user", "set-password", "nobody"][..],
        &["user", "create", "alice"],
        &["user", "delete", "nobody"],
        &["role", "add", "king", "--user", "alice", "--system"],
        &["role", "remove", "admin", "--user", "alice", "--system"],
        &["role", "add", "member", "--user", "alice"],
    ] {
        let output = place.command(wrong).output().unwrap();
        assert!(!output.status.success(), "{wrong:?}");
        // A password above all, which is nobody's.
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{wrong:?}");
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_managed_beside_the_service_on_sqlite() {
    users_are_managed_beside_the_service(DatabaseKind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_managed_beside_the_service_on_postgresql() {
    users_are_managed_beside_the_service(DatabaseKind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_the_log() {
    let mut place = place(DatabaseKind::Sqlite).await;
    place.options.push(("PUMICE_LOG__FILTER", "trace".to_owned()));
    let server = place.start();
    let password = password(&place);
    let file = place.folder.path().join("pumice-data/clouds.yaml");
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);

    let mut secrets = vec!["wr0ng-s3cret".to_owned(), "alices-s3cret".to_owned(), "f0rged-token".to_owned()];
    log_in(&server, &by_password("admin", "wr0ng-s3cret", project("admin"))).await.unwrap_err();
    let malformed = json!({ "identity": { "methods": ["password"], "password": "wr0ng-s3cret" } });
    log_in(&server, &malformed).await.unwrap_err();
    let mut server = server;
    let token = log_in(&server, &by_password("admin", &password, project("admin"))).await.unwrap();
    server.token = Some(token.clone());
    let user = json!({ "user": { "name": "alice", "password": "alices-s3cret" } });
    let (status, _) = server.send(Method::POST, "/identity/v3/users", Some(user)).await;
    assert_eq!(status, 201);
    let body = json!({ "application_credential": { "name": "robot" } });
    let (_, me) = server.send(Method::GET, "/identity/v3/users?name=admin", None).await;
    let path =
        format!("/identity/v3/users/{}/application_credentials", me["users"][0]["id"].as_str().unwrap());
    let (_, credential) = server.send(Method::POST, &path, Some(body)).await;
    secrets.push(credential["application_credential"]["secret"].as_str().unwrap().to_owned());
    server.get("/volume/v3/volumes").await;
    server.token = Some("f0rged-token".to_owned());
    assert_eq!(server.send(Method::GET, "/image/v2/images", None).await.0, 401);
    secrets.push(token.split('.').nth(1).unwrap().to_owned());
    secrets.push(token.rsplit('.').next().unwrap().to_owned());

    let log = server.whole_log();
    assert!(log.contains("/volume/v3/volumes"), "the log says nothing of requests:\n{log}");
    for secret in &secrets {
        assert!(!log.contains(secret.as_str()), "{secret} is in the log:\n{log}");
    }
    // That is for a terminal.
    assert!(!log.contains(&password), "the first password is in the log");
    assert!(log.contains("whose password is in pumice-data/clouds.yaml"), "{log}");
    server.stop();
}
