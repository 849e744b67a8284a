//! Requests to Keystone, with a token of our own.

use anyhow::Context;
use reqwest::header::HeaderValue;
use reqwest::{Response, StatusCode};
use serde::Deserialize;

use crate::config;
use crate::identity::{Caller, Refusal};
use crate::model::{ProjectId, Timestamp, UserId, World};
use crate::telemetry::chain;
use crate::web::{AnswerError, OwnToken, ServiceUser, json_within};

/// No token is longer, without the catalogue.
const LONGEST: usize = 1 << 20;

pub(super) struct Client {
    user: ServiceUser,
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
    domain: Option<Domain>,
    system: Option<System>,
    #[serde(default)]
    roles: Vec<Role>,
    /// Left out where Keystone is not told which project is the administrators'.
    is_admin_project: Option<bool>,
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
        let credentials = options.credentials();
        let credentials = credentials.context("keystone_authtoken.auth_url or its password is not set")?;
        Ok(Self { user: ServiceUser::new(credentials, world)? })
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

    async fn ask(
        &self,
        own: &OwnToken,
        subject: &HeaderValue,
        may_be_expired: bool,
    ) -> Result<Response, Refusal> {
        let query = if may_be_expired { "?nocatalog&allow_expired=1" } else { "?nocatalog" };
        let request = self.user.http().get(format!("{}/auth/tokens{query}", self.user.root()));
        let request = request.header("x-auth-token", &own.token).header("x-subject-token", subject);
        request.send().await.map_err(silent)
    }

    async fn own(&self, refused: Option<&OwnToken>) -> Result<OwnToken, Refusal> {
        self.user.token(refused).await.map_err(|error| Refusal::Unavailable(format!("{error:#}")))
    }
}

async fn read(answer: Response) -> Result<Token, Refusal> {
    let body: Body = json_within(answer, LONGEST).await.map_err(|error| match error {
        AnswerError::BrokenOff(error) => silent(error),
        AnswerError::TooLong(_) | AnswerError::Strange(_) => strange(&chain(&error)),
    })?;
    Ok(body.token)
}

fn valid(token: Token) -> Result<Valid, Refusal> {
    let Token { expires_at, user, project, domain, system, roles, is_admin_project } = token;
    let expires_at = Timestamp::parse(&expires_at).ok_or_else(|| strange("its expiry is no time"))?;
    let mut caller = Caller {
        user_id: UserId(user.id),
        user_name: Some(user.name),
        user_domain_id: user.domain.id,
        domain_id: domain.and_then(|domain| domain.id),
        system_scope: system.filter(|system| system.all).map(|_| "all".to_owned()),
        roles: roles.into_iter().map(|role| role.name.to_lowercase()).collect(),
        is_admin_project: is_admin_project.unwrap_or(true),
        ..Caller::default()
    };
    // Keystone promises no order, and the same roles make the same caller.
    caller.roles.sort_unstable();
    if let Some(project) = project {
        caller.project_id = Some(ProjectId(project.id));
        caller.project_name = Some(project.name);
        caller.project_domain_id = project.domain.id;
    }
    Ok(Valid { caller, expires_at })
}

/// Without the address: it is in the configuration.
fn silent(error: reqwest::Error) -> Refusal {
    Refusal::Unavailable(format!("Keystone does not answer: {}", chain(&error.without_url())))
}

fn strange(why: &str) -> Refusal {
    Refusal::Unavailable(format!("Keystone answers what is no token: {why}"))
}
