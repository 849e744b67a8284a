//! `tests/clients/journey.py`: a day's work with all four clients. With our own identity on both stores, and with a
//! real Keystone.

use std::env;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use pumice::model::{Ids, RandomIds};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::clients::{client, said};
use crate::house::{DatabaseKind, StoreKind};
use crate::process::{Place, Server};

async fn journey(place: &Place, server: &Server) {
    let mut command: Command = client(place, "python");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/journey.py")).arg(place.folder.path());
    said(command, server).await;
}

async fn with_our_own_identity(store: StoreKind) {
    let mut place = Place::new(store, DatabaseKind::Sqlite).await;
    place.options.push(("PUMICE_IDENTITY__MODE", "standalone".to_owned()));
    let server = place.start();
    journey(&place, &server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_directory() {
    with_our_own_identity(StoreKind::Directory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_ceph() {
    with_our_own_identity(StoreKind::RbdV2).await;
}

/// The one that `scripts/with-services --keystone` started, as its administrator.
pub struct Keystone {
    pub url: String,
    token: String,
    client: Client,
}

impl Keystone {
    pub async fn log_in() -> Self {
        let of = |name: &str| env::var(name).unwrap_or_else(|_| panic!("{name} is not set: use `make test`"));
        let (url, password) = (of("PUMICE_TEST_KEYSTONE"), of("PUMICE_TEST_KEYSTONE_PASSWORD"));
        let (client, domain) = (Client::new(), json!({ "id": "default" }));
        let user = json!({ "name": "admin", "domain": domain, "password": password });
        let identity = json!({ "methods": ["password"], "password": { "user": user } });
        let scope = json!({ "project": { "name": "admin", "domain": domain } });
        let body = json!({ "auth": { "identity": identity, "scope": scope } });
        let answer = client.post(format!("{url}/auth/tokens")).json(&body).send().await.unwrap();
        let token = answer.headers()["x-subject-token"].to_str().unwrap().to_owned();
        Self { url, token, client }
    }

    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let request = self.client.request(method, format!("{}{path}", self.url));
        let request = request.header("x-auth-token", &self.token);
        let request = if let Some(body) = body { request.json(&body) } else { request };
        let answer = request.send().await.unwrap().error_for_status().unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default()
    }

    /// What it says of a token.
    pub async fn validated(&self, token: &str) -> Value {
        let request = self.client.get(format!("{}/auth/tokens", self.url));
        let request = request.header("x-auth-token", &self.token).header("x-subject-token", token);
        request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }

    pub async fn add(&self, kind: &str, fields: Value) -> String {
        let made = self.call(Method::POST, &format!("/{kind}s"), Some(json!({ kind: fields }))).await;
        made[kind]["id"].as_str().unwrap().to_owned()
    }

    /// A user with a project of the same name, and this role on it.
    pub async fn person(&self, name: &str, password: &str, role: &str) {
        let project = self.add("project", json!({ "name": name, "domain_id": "default" })).await;
        let user = json!({ "name": name, "password": password, "domain_id": "default" });
        let user = self.add("user", user).await;
        let roles = self.call(Method::GET, &format!("/roles?name={role}"), None).await;
        let role = roles["roles"][0]["id"].as_str().unwrap();
        self.call(Method::PUT, &format!("/projects/{project}/users/{user}/roles/{role}"), None).await;
    }

    /// In a region of this test's own, since others share the catalogue.
    async fn announce(&self, region: &str, server: &Server) {
        self.add("region", json!({ "id": region })).await;
        for (kind, url) in [
            ("image", format!("{}/image", server.url)),
            ("block-storage", format!("{}/volume/v3/$(project_id)s", server.url)),
        ] {
            let service = self.add("service", json!({ "type": kind, "name": kind })).await;
            let endpoint =
                json!({ "service_id": service, "interface": "public", "region_id": region, "url": url });
            self.add("endpoint", endpoint).await;
        }
        let identity = self.call(Method::GET, "/services?type=identity", None).await;
        let service = &identity["services"][0]["id"];
        let endpoint =
            json!({ "service_id": service, "interface": "public", "region_id": region, "url": self.url });
        self.add("endpoint", endpoint).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_real_keystone() {
    let keystone = Keystone::log_in().await;
    let of_test = |what: &str| format!("{what}-{}", RandomIds.random().simple());
    let (service, user, password) = (of_test("pumice"), of_test("alice"), of_test("secret"));
    keystone.person(&service, &password, "service").await;
    keystone.person(&user, &password, "admin").await;

    let mut place = Place::new(StoreKind::Directory, DatabaseKind::Sqlite).await;
    place.options.extend([
        ("PUMICE_IDENTITY__MODE", "keystone".to_owned()),
        ("PUMICE_KEYSTONE_AUTHTOKEN__AUTH_URL", keystone.url.clone()),
        ("PUMICE_KEYSTONE_AUTHTOKEN__USERNAME", service.clone()),
        ("PUMICE_KEYSTONE_AUTHTOKEN__PROJECT_NAME", service),
        ("PUMICE_KEYSTONE_AUTHTOKEN__PASSWORD", password.clone()),
    ]);
    let server = place.start();
    let region = of_test("region");
    keystone.announce(&region, &server).await;
    let auth = json!({
        "auth_url": keystone.url, "username": user, "password": password, "project_name": user,
        "user_domain_name": "Default", "project_domain_name": "Default",
    });
    // JSON is YAML.
    let clouds = json!({ "clouds": { "pumice": { "auth": auth, "region_name": region } } });
    let file = place.folder.path().join("pumice-data/clouds.yaml");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, clouds.to_string()).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();

    journey(&place, &server).await;
    let log = server.whole_log();
    assert!(!log.contains(&password), "a password is in the log:\n{log}");
}
