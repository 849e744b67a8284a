//! A user of ours in a Keystone, as whom other services are asked: its token is renewed before it expires.

use std::sync::Arc;

use anyhow::{Context, bail};
use reqwest::header::HeaderValue;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::answer::{AnswerError, json_within};
use super::catalogue::Catalogue;
use super::client_of_the_cloud;
use crate::config::Credentials;
use crate::model::{Timestamp, World};

/// A token is renewed so long before it expires, in seconds.
const MARGIN: i64 = 60;

/// No token is longer, with the whole catalogue.
const LONGEST: usize = 4 << 20;

pub struct ServiceUser {
    http: Client,
    /// Of the version, without a slash at its end.
    root: String,
    section: &'static str,
    log_in: Value,
    world: World,
    last: Mutex<LastLogIn>,
}

/// What our log-ins came to.
#[derive(Default)]
struct LastLogIn {
    own: Option<OwnToken>,
    failure: Option<Failure>,
}

/// Of the last one.
struct Failure {
    at: Instant,
    why: String,
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
            last: Mutex::default(),
        })
    }

    pub fn http(&self) -> &Client {
        &self.http
    }

    /// Of Keystone's version 3.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The token there is, unless it is `refused` or about to expire. One log-in at a time: one that fails has failed
    /// for all who waited for it, or they would wait for a silent Keystone one after another.
    pub async fn token(&self, refused: Option<&OwnToken>) -> anyhow::Result<OwnToken> {
        let since = Instant::now();
        let mut last = self.last.lock().await;
        let now = self.world.now();
        let good = last.own.as_ref().filter(|own| {
            now.plus_seconds(MARGIN) < own.expires_at
                && refused.is_none_or(|refused| refused.token != own.token)
        });
        if let Some(good) = good {
            return Ok(good.clone());
        }
        if let Some(failure) = last.failure.as_ref().filter(|failure| failure.at > since) {
            bail!("{}", failure.why);
        }
        match self.new_token().await {
            Ok(own) => {
                *last = LastLogIn { own: Some(own.clone()), failure: None };
                Ok(own)
            }
            Err(error) => {
                last.failure = Some(Failure { at: Instant::now(), why: format!("{error:#}") });
                Err(error)
            }
        }
    }

    async fn new_token(&self) -> anyhow::Result<OwnToken> {
        let answer = self.http.post(format!("{}/auth/tokens", self.root)).json(&self.log_in).send();
        let answer = answer.await.map_err(silent)?;
        if answer.status() != StatusCode::CREATED {
            bail!("Keystone answers {} to our own log-in ({})", answer.status(), self.section);
        }
        let mut token = answer.headers().get("x-subject-token").cloned().context(STRANGE)?;
        token.set_sensitive(true);
        let body: Body = json_within(answer, LONGEST).await.map_err(|error| match error {
            AnswerError::BrokenOff(error) => silent(error),
            AnswerError::TooLong(_) | AnswerError::Strange(_) => anyhow::Error::new(error).context(STRANGE),
        })?;
        let expires_at = Timestamp::parse(&body.token.expires_at).context(STRANGE)?;
        let (catalog, roles) = (body.token.catalog.into(), body.token.roles.into());
        Ok(OwnToken { token, expires_at, catalog, roles })
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::net::TcpListener;

    use super::*;
    use crate::config::Secret;

    #[tokio::test]
    async fn who_waited_for_a_log_in_that_failed_has_failed_too() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        tokio::spawn(async move {
            let mut silent = Vec::new();
            while let Ok(connection) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                silent.push(connection);
            }
        });
        let password: Secret = serde_json::from_value(json!("s3cret")).unwrap();
        let credentials = Credentials {
            section: "nova",
            auth_url: &address,
            username: "pumice",
            password: &password,
            user_domain_name: "Default",
            project_name: "service",
            project_domain_name: "Default",
            cafile: None,
            timeout: Duration::from_millis(300),
        };
        let user = ServiceUser::new(credentials, World::real()).unwrap();
        let all = futures::future::join_all((0..5).map(|_| user.token(None))).await;
        assert!(all.iter().all(Result::is_err));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        // Who comes later asks anew.
        assert!(user.token(None).await.is_err());
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }
}
