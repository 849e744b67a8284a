//! Who asks: tokens, users, projects and roles of our own, on both databases.

mod accounts;
mod clients;
mod credentials;
pub mod journey;
mod keystone;
mod log_in;
mod shell;
mod strangers;
mod tokens;

use std::sync::Mutex;

use pumice::config::{Config, DatabaseUrl, IdentityMode};
use pumice::identity::standalone::first_start;
use serde_json::{Value, json};

use crate::house::{DatabaseKind, database};
use crate::support::{Answer, Call, Site};

/// A service after its first start.
pub struct Cloud {
    pub site: Site,
    pub password: String,
    _database: database::Keep,
}

/// A user with a project of their own.
pub struct Person {
    pub id: String,
    pub project: String,
    pub name: &'static str,
    pub password: &'static str,
}

impl Cloud {
    pub async fn new(kind: DatabaseKind) -> Self {
        Self::with(kind, |_| {}).await
    }

    /// With other options than the defaults.
    pub async fn with(kind: DatabaseKind, change: impl FnOnce(&mut Config)) -> Self {
        let (url, keep) = kind.migrated_url().await;
        let site = Site::with(|config| {
            config.identity.mode = IdentityMode::Standalone;
            config.database.url = DatabaseUrl::parse(&url).unwrap();
            change(config);
        })
        .await;
        let password = Mutex::new(String::new());
        let announce = |admin: &pumice::identity::standalone::FirstAdmin| {
            *password.lock().unwrap() = admin.password.clone();
            Ok(())
        };
        first_start(&site.app().database, &site.app().world, announce).await.unwrap();
        let password = password.into_inner().unwrap();
        assert_eq!(password.len(), 24);
        Self { site, password, _database: keep }
    }

    pub fn call(&self, method: &str, path: &str) -> Call {
        self.site.request(method, path)
    }

    /// To Identity, with a token.
    pub async fn identity(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        let call = self.call(method, &format!("/identity/v3{path}")).header("x-auth-token", token);
        match body {
            Some(body) => call.json(&body).send().await,
            None => call.send().await,
        }
    }

    pub async fn log_in(&self, auth: &Value) -> Answer {
        self.call("POST", "/identity/v3/auth/tokens").json(&json!({ "auth": auth })).send().await
    }

    /// A token that must be given.
    pub async fn token(&self, auth: &Value) -> String {
        let answer = self.log_in(auth).await.expect(201);
        answer.header("x-subject-token").unwrap().to_owned()
    }

    pub fn admin_auth(&self) -> Value {
        by_password("admin", &self.password, project("admin"))
    }

    pub async fn admin(&self) -> String {
        self.token(&self.admin_auth()).await
    }

    pub async fn role(&self, token: &str, name: &str) -> String {
        let roles =
            self.identity(token, "GET", &format!("/roles?name={name}"), None).await.expect(200).json();
        roles["roles"][0]["id"].as_str().unwrap().to_owned()
    }

    /// Somebody with a role on a project of that name.
    pub async fn person(&self, name: &'static str, role: &str) -> Person {
        let admin = self.admin().await;
        let password = "correct horse battery staple";
        let user = json!({ "user": { "name": name, "password": password } });
        let user = self.identity(&admin, "POST", "/users", Some(user)).await.expect(201).json();
        let made = json!({ "project": { "name": format!("project-of-{name}") } });
        let made = self.identity(&admin, "POST", "/projects", Some(made)).await.expect(201).json();
        let id = user["user"]["id"].as_str().unwrap().to_owned();
        let project = made["project"]["id"].as_str().unwrap().to_owned();
        let role = self.role(&admin, role).await;
        let grant = format!("/projects/{project}/users/{id}/roles/{role}");
        self.identity(&admin, "PUT", &grant, None).await.expect(204);
        Person { id, project, name, password }
    }

    /// Asks for an application credential of that person.
    pub async fn make_credential(&self, person: &Person, token: &str, body: Value) -> Answer {
        let path = format!("/users/{}/application_credentials", person.id);
        self.identity(token, "POST", &path, Some(json!({ "application_credential": body }))).await
    }

    pub async fn token_of(&self, person: &Person) -> String {
        self.token(&person.auth()).await
    }

    /// Whether the other APIs let it in.
    pub async fn is_good(&self, token: &str) -> bool {
        let answer = self.call("GET", "/image/v2/images").header("x-auth-token", token).send().await;
        assert!([200, 401].contains(&answer.status.as_u16()), "{}", answer.text());
        answer.status == 200
    }
}

impl Person {
    pub fn auth(&self) -> Value {
        by_password(self.name, self.password, json!({ "project": { "id": self.project } }))
    }
}

pub fn by_password(name: &str, password: &str, scope: Value) -> Value {
    let user = json!({ "name": name, "domain": { "id": "default" }, "password": password });
    let identity = json!({ "methods": ["password"], "password": { "user": user } });
    if scope.is_null() {
        json!({ "identity": identity })
    } else {
        json!({ "identity": identity, "scope": scope })
    }
}

/// `made`: the answer to the creation of an application credential.
pub fn by_credential(made: &Value) -> Value {
    let made = &made["application_credential"];
    let credential = json!({ "id": made["id"], "secret": made["secret"] });
    let methods = ["application_credential"];
    json!({ "identity": { "methods": methods, "application_credential": credential } })
}

pub fn by_token(token: &str, scope: Value) -> Value {
    let identity = json!({ "methods": ["token"], "token": { "id": token } });
    if scope.is_null() {
        json!({ "identity": identity })
    } else {
        json!({ "identity": identity, "scope": scope })
    }
}

pub fn project(name: &str) -> Value {
    json!({ "project": { "name": name, "domain": { "name": "Default" } } })
}

/// The same test on both databases.
macro_rules! on_both {
    ($($name:ident)+) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() { super::$name($crate::house::DatabaseKind::Sqlite).await; })+
        }
        mod postgresql {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() { super::$name($crate::house::DatabaseKind::Postgres).await; })+
        }
    };
}
pub(crate) use on_both;
