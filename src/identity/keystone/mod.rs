//! Tokens of a Keystone: it is asked once for each, and believed for a while.

mod client;

use std::sync::Arc;

use openssl::sha::Sha256;

use super::{Caller, Refusal, Tokens};
use crate::config;
use crate::model::{Timestamp, World};
use client::Client;

/// Answers that are remembered.
const ANSWERS: u64 = 10_000;
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
    service_role: String,
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
            service_role: options.service_token_roles.to_lowercase(),
            answers: moka::future::Cache::new(ANSWERS),
        })))
    }

    /// Who asks, with the roles of a service that asks for them, if it says who it is. Such a service may go on with
    /// a token that expired after it had begun.
    pub async fn caller(&self, tokens: Tokens<'_>) -> Result<Arc<Caller>, Refusal> {
        let subject = tokens.subject.ok_or(Refusal::Unauthorized)?;
        let Some(service) = tokens.service else { return self.known(subject, false).await };
        let service = self.known(service, false).await?;
        let caller = self.known(subject, service.has_role(&self.0.service_role)).await?;
        Ok(Arc::new(Caller { service_roles: service.roles.clone(), ..Caller::clone(&caller) }))
    }

    async fn known(&self, token: &str, may_be_expired: bool) -> Result<Arc<Caller>, Refusal> {
        if token.len() > LONGEST {
            return Err(Refusal::Unauthorized);
        }
        let answers = &self.0.answers;
        let key = key(token, may_be_expired);
        // Many requests with one token ask once.
        let ask = || answers.try_get_with(key, self.ask(token, may_be_expired));
        let mut answer = ask().await.map_err(|refusal| Refusal::clone(&refusal))?;
        if answer.until <= self.0.world.now() {
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
        Ok(match validated {
            None => Answer { caller: None, until },
            Some(valid) if may_be_expired => Answer { caller: Some(Arc::new(valid.caller)), until },
            Some(valid) if valid.expires_at <= now => Answer { caller: None, until },
            Some(valid) => {
                Answer { caller: Some(Arc::new(valid.caller)), until: until.min(valid.expires_at) }
            }
        })
    }
}

fn key(token: &str, may_be_expired: bool) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(&[u8::from(may_be_expired)]);
    hash.update(token.as_bytes());
    hash.finish()
}
