//! Who says who asks.

use std::sync::Arc;

use super::Caller;
use super::keystone::Keystone;
use super::standalone::Standalone;

/// The tokens that came with a request.
#[derive(Clone, Copy, Default)]
pub struct Tokens<'a> {
    /// Of the one who asks: `X-Auth-Token`.
    pub subject: Option<&'a str>,
    /// Of the service that asks on that one's behalf: `X-Service-Token`.
    pub service: Option<&'a str>,
}

/// Why nobody knows who asks.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    #[error("no token, or one that is not good")]
    Unauthorized,
    /// It may be known when asked again. For the log.
    #[error("{0}")]
    Unavailable(String),
}

/// Shared by all requests; cheap to clone.
#[derive(Clone)]
pub enum Authority {
    /// No token is asked for: everybody is the same.
    Nobody(Arc<Caller>),
    Standalone(Standalone),
    Keystone(Keystone),
}

impl Authority {
    pub async fn caller(&self, tokens: Tokens<'_>) -> Result<Arc<Caller>, Refusal> {
        match self {
            Authority::Nobody(everybody) => Ok(everybody.clone()),
            Authority::Keystone(keystone) => keystone.caller(tokens).await,
            Authority::Standalone(standalone) => standalone.caller(tokens).await,
        }
    }
}
