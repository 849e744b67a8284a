//! Tokens of a Keystone: it is asked once for each, and believed for a while.

mod client;

use std::sync::Arc;

use openssl::sha::Sha256;

use super::{Caller, Refusal, Tokens};
use crate::config;
use crate::model::{Timestamp, World};
use client::{Client, Valid};

/// Answers that are remembered.
const ANSWERS: u64 = 10_000;
/// How long a refusal is believed at most, in seconds: who floods us with bad tokens does not flood Keystone, and a token
/// that it learns of a moment later comes in.
const REFUSED: i64 = 5;
/// No Keystone gives out longer tokens: they are not even asked about.
const LONGEST: usize = 8192;

/// Shared by all requests; cheap to clone.
#[derive(Clone)]
pub struct Keystone(Arc<Inner>);

struct Inner {
    client: Client,
    world: World,
    /// In seconds.
    believed: i64,
    /// Whoever has one of them is a service.
    service_roles: Vec<String>,
    /// By a hash of the token: whoever reads our memory finds no token in it.
    answers: moka::future::Cache<[u8; 32], Answer>,
}

/// What Keystone said of a token.
#[derive(Clone)]
struct Answer {
    /// `None`: that it is not good.
    caller: Option<Arc<Caller>>,
    /// Believed until then.
    until: Timestamp,
}

impl Keystone {
    pub fn new(options: &config::Keystone, world: World) -> anyhow::Result<Self> {
        Ok(Self(Arc::new(Inner {
            client: Client::new(options, world.clone())?,
            world,
            believed: i64::try_from(options.token_cache_time.0)?,
            service_roles: options.service_token_roles.clone(),
            answers: moka::future::Cache::new(ANSWERS),
        })))
    }

    /// Who asks, with the roles of a service that asks for them, if it says who it is. Such a service may go on with
    /// a token that expired after it had begun.
    pub async fn caller(&self, tokens: Tokens<'_>) -> Result<Arc<Caller>, Refusal> {
        let subject = tokens.subject.ok_or(Refusal::Unauthorized)?;
        let Some(service) = tokens.service else { return self.known(subject, false).await };
        let service = self.known(service, false).await?;
        let caller = self.known(subject, service.has_one_of(&self.0.service_roles)).await?;
        Ok(Arc::new(Caller { service_roles: service.roles.clone(), ..Caller::clone(&caller) }))
    }

    async fn known(&self, token: &str, may_be_expired: bool) -> Result<Arc<Caller>, Refusal> {
        if token.len() > LONGEST {
            return Err(Refusal::Unauthorized);
        }
        let Inner { answers, world, .. } = &*self.0;
        let key = key(token, may_be_expired);
        // Whatever is answered from now on is good for this request, also where no answer is to be remembered.
        let began = world.now();
        // Many requests with one token ask once.
        let ask = || answers.try_get_with(key, self.ask(token, may_be_expired));
        let mut answer = ask().await.map_err(|refusal| Refusal::clone(&refusal))?;
        if answer.until < began {
            answers.invalidate(&key).await;
            answer = ask().await.map_err(|refusal| Refusal::clone(&refusal))?;
        }
        answer.caller.ok_or(Refusal::Unauthorized)
    }

    async fn ask(&self, token: &str, may_be_expired: bool) -> Result<Answer, Refusal> {
        let Inner { client, world, believed, .. } = &*self.0;
        let validated = client.validate(token, may_be_expired).await?;
        let now = world.now();
        let until = now.plus_seconds(*believed);
        let good = validated.filter(|valid| may_be_expired || now < valid.expires_at);
        let Some(Valid { caller, expires_at }) = good else {
            return Ok(Answer { caller: None, until: until.min(now.plus_seconds(REFUSED)) });
        };
        let until = if may_be_expired { until } else { until.min(expires_at) };
        Ok(Answer { caller: Some(Arc::new(caller)), until })
    }
}

fn key(token: &str, may_be_expired: bool) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(&[u8::from(may_be_expired)]);
    hash.update(token.as_bytes());
    hash.finish()
}
