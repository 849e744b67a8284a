//! A user of ours in a Keystone, as whom other services are asked: its token is renewed before it expires.

use std::sync::Arc;

use anyhow::{Context, bail};
use reqwest::header::HeaderValue;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::catalogue::Catalogue;
use super::client_of_the_cloud;
use crate::config::Credentials;
use crate::model::{Timestamp, World};

/// A token is renewed so long before it expires, in seconds.
const MARGIN: i64 = 60;

pub struct ServiceUser {
    http: Client,
    /// Of the version, without a slash at its end.
    root: String,
    section: &'static str,
    log_in: Value,
    world: World,
    own: Mutex<Option<OwnToken>>,
}

/// What such a user has logged in for.
#[derive(Clone)]
pub struct OwnToken {
    pub token: HeaderValue,
    expires_at: Timestamp,
    catalog: Arc<Catalogue>,
    roles: Arc<[Role]>,
}

#[derive(Deserialize)]
struct Body {
    token: Token,
}

#[derive(Deserialize)]
struct Token {
    expires_at: String,
    #[serde(default)]
    catalog: Catalogue,
    #[serde(default)]
    roles: Vec<Role>,
}

#[derive(Deserialize)]
struct Role {
    name: String,
}

impl ServiceUser {
    pub fn new(credentials: Credentials<'_>, world: World) -> anyhow::Result<Self> {
        let user_domain = json!({ "name": credentials.user_domain_name });
        let user = json!({
            "name": credentials.username, "domain": user_domain, "password": credentials.password.expose(),
        });
        let project_domain = json!({ "name": credentials.project_domain_name });
        let project = json!({ "name": credentials.project_name, "domain": project_domain });
        let identity = json!({ "methods": ["password"], "password": { "user": user } });
        Ok(Self {
            http: client_of_the_cloud(credentials.timeout, credentials.cafile)?,
            root: credentials.root(),
            section: credentials.section,
            log_in: json!({ "auth": { "identity": identity, "scope": { "project": project } } }),
            world,
            own: Mutex::new(None),
        })
    }

    pub fn http(&self) -> &Client {
        &self.http
    }

    /// Of Keystone's version 3.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The token there is, unless it is `refused` or about to expire. One log-in at a time.
    pub async fn token(&self, refused: Option<&OwnToken>) -> anyhow::Result<OwnToken> {
        let mut own = self.own.lock().await;
        let now = self.world.now();
        let good = own.as_ref().filter(|own| {
            now.plus_seconds(MARGIN) < own.expires_at
                && refused.is_none_or(|refused| refused.token != own.token)
        });
        if let Some(good) = good {
            return Ok(good.clone());
        }
        let answer = self.http.post(format!("{}/auth/tokens", self.root)).json(&self.log_in).send();
        let answer = answer.await.map_err(silent)?;
        if answer.status() != StatusCode::CREATED {
            bail!("Keystone answers {} to our own log-in ({})", answer.status(), self.section);
        }
        let mut token = answer.headers().get("x-subject-token").cloned().context(STRANGE)?;
        token.set_sensitive(true);
        let body: Body = answer.json().await.map_err(silent)?;
        let expires_at = Timestamp::parse(&body.token.expires_at).context(STRANGE)?;
        let (catalog, roles) = (body.token.catalog.into(), body.token.roles.into());
        Ok(own.insert(OwnToken { token, expires_at, catalog, roles }).clone())
    }
}

const STRANGE: &str = "Keystone answers what is no token";

impl OwnToken {
    /// Where a service is, without a slash at its end.
    pub fn endpoint(&self, kind: &str, interface: &str, region: Option<&str>) -> Option<&str> {
        self.catalog.endpoint(kind, interface, region)
    }

    pub fn has_role(&self, name: &str) -> bool {
        self.roles.iter().any(|role| role.name.eq_ignore_ascii_case(name))
    }
}

/// Without the address: it is in the configuration.
fn silent(error: reqwest::Error) -> anyhow::Error {
    anyhow::Error::new(error.without_url()).context("Keystone does not answer")
}
