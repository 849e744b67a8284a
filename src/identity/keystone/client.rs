//! Requests to Keystone, with a token of our own.

use std::time::Duration;

use anyhow::Context;
use reqwest::header::HeaderValue;
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::config;
use crate::identity::{Caller, Refusal};
use crate::model::{ProjectId, Timestamp, UserId, World};
use crate::web::client_of_the_cloud;

/// Our own token is renewed so long before it expires, in seconds.
const MARGIN: i64 = 60;

pub(super) struct Client {
    http: reqwest::Client,
    /// Of the version, without a slash at its end.
    root: String,
    log_in: Value,
    world: World,
    own: Mutex<Option<Own>>,
}

/// Our own token.
#[derive(Clone)]
struct Own {
    token: HeaderValue,
    expires_at: Timestamp,
}

/// What a good token stands for.
pub(super) struct Valid {
    pub(super) caller: Caller,
    pub(super) expires_at: Timestamp,
}

#[derive(Deserialize)]
struct Body {
    token: Token,
}

#[derive(Deserialize)]
struct Token {
    expires_at: String,
    user: InDomain,
    project: Option<InDomain>,
    system: Option<System>,
    #[serde(default)]
    roles: Vec<Role>,
}

#[derive(Deserialize)]
struct InDomain {
    id: String,
    name: String,
    domain: Domain,
}

#[derive(Deserialize)]
struct Domain {
    id: Option<String>,
}

#[derive(Deserialize)]
struct System {
    all: bool,
}

#[derive(Deserialize)]
struct Role {
    name: String,
}

impl Client {
    pub(super) fn new(options: &config::Keystone, world: World) -> anyhow::Result<Self> {
        let timeout: Duration = options.http_connect_timeout.into();
        let http = client_of_the_cloud(timeout, options.cafile.as_deref())?;
        let root = options.auth_url.as_deref().context("keystone_authtoken.auth_url is not set")?;
        let root = root.trim_end_matches('/').trim_end_matches("/v3");
        let password = options.password.as_ref().context("keystone_authtoken.password is not set")?;
        let user_domain = json!({ "name": options.user_domain_name });
        let user = json!({ "name": options.username, "domain": user_domain, "password": password.expose() });
        let project_domain = json!({ "name": options.project_domain_name });
        let project = json!({ "name": options.project_name, "domain": project_domain });
        let identity = json!({ "methods": ["password"], "password": { "user": user } });
        Ok(Self {
            http,
            root: format!("{root}/v3"),
            log_in: json!({ "auth": { "identity": identity, "scope": { "project": project } } }),
            world,
            own: Mutex::new(None),
        })
    }

    /// `None`: the token is not good.
    pub(super) async fn validate(&self, token: &str, may_be_expired: bool) -> Result<Option<Valid>, Refusal> {
        let Ok(mut subject) = HeaderValue::from_str(token) else { return Ok(None) };
        subject.set_sensitive(true);
        let own = self.own(None).await?;
        let mut answer = self.ask(&own, &subject, may_be_expired).await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            // It is our own that is not good any more, whatever it said of its expiry.
            let own = self.own(Some(&own)).await?;
            answer = self.ask(&own, &subject, may_be_expired).await?;
        }
        match answer.status() {
            StatusCode::OK => Ok(Some(valid(read(answer).await?)?)),
            StatusCode::NOT_FOUND => Ok(None),
            other => {
                Err(Refusal::Unavailable(format!("Keystone answers {other} to the validation of a token")))
            }
        }
    }

    async fn ask(&self, own: &Own, subject: &HeaderValue, may_be_expired: bool) -> Result<Response, Refusal> {
        let query = if may_be_expired { "?nocatalog&allow_expired=1" } else { "?nocatalog" };
        let request = self.http.get(format!("{}/auth/tokens{query}", self.root));
        let request = request.header("x-auth-token", &own.token).header("x-subject-token", subject);
        request.send().await.map_err(silent)
    }

    /// Our own token: the one there is, unless it is `refused` or about to expire. One log-in at a time.
    async fn own(&self, refused: Option<&Own>) -> Result<Own, Refusal> {
        let mut own = self.own.lock().await;
        let now = self.world.now();
        let good = own.as_ref().filter(|own| {
            now.plus_seconds(MARGIN) < own.expires_at
                && refused.is_none_or(|refused| refused.token != own.token)
        });
        if let Some(good) = good {
            return Ok(good.clone());
        }
        let answer = self.http.post(format!("{}/auth/tokens?nocatalog", self.root)).json(&self.log_in).send();
        let answer = answer.await.map_err(silent)?;
        if answer.status() != StatusCode::CREATED {
            let why = format!("Keystone answers {} to our own log-in (keystone_authtoken)", answer.status());
            return Err(Refusal::Unavailable(why));
        }
        let mut token = answer.headers().get("x-subject-token").cloned().ok_or_else(strange)?;
        token.set_sensitive(true);
        let expires_at = Timestamp::parse(&read(answer).await?.expires_at).ok_or_else(strange)?;
        Ok(own.insert(Own { token, expires_at }).clone())
    }
}

async fn read(answer: Response) -> Result<Token, Refusal> {
    let body: Body = answer.json().await.map_err(silent)?;
    Ok(body.token)
}

fn valid(token: Token) -> Result<Valid, Refusal> {
    let Token { expires_at, user, project, system, roles } = token;
    let expires_at = Timestamp::parse(&expires_at).ok_or_else(strange)?;
    let mut caller = Caller {
        user_id: UserId(user.id),
        user_name: Some(user.name),
        user_domain_id: user.domain.id,
        system_scope: system.filter(|system| system.all).map(|_| "all".to_owned()),
        roles: roles.into_iter().map(|role| role.name.to_lowercase()).collect(),
        ..Caller::default()
    };
    if let Some(project) = project {
        caller.project_id = Some(ProjectId(project.id));
        caller.project_name = Some(project.name);
        caller.project_domain_id = project.domain.id;
    }
    Ok(Valid { caller, expires_at })
}

/// Without the address: it is in the configuration.
fn silent(error: reqwest::Error) -> Refusal {
    Refusal::Unavailable(format!("Keystone does not answer: {:#}", anyhow::Error::new(error.without_url())))
}

fn strange() -> Refusal {
    Refusal::Unavailable("Keystone answers what is no token".to_owned())
}
