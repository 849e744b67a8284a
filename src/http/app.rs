//! What every handler gets.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;
use tokio_util::sync::CancellationToken;

use super::{Gates, ImageSchema, host};
use crate::block::Stores;
use crate::config::{Config, IdentityMode};
use crate::db::{Database, DbError};
use crate::identity::Authority;
use crate::identity::policy::Policies;
use crate::jobs::Keeper;
use crate::model::{JobId, World};
use crate::scheduler::Place;
use crate::signature::Certificates;
use crate::telemetry::levels::Levels;
use crate::web::{Barbican, Nova, Regions, Web};

/// Each layer and each handler of a request takes one along: a clone is one counter.
#[derive(Clone)]
pub struct App(Arc<Shared>);

/// By all requests.
#[derive(Clone)]
pub struct Shared {
    pub config: Arc<Config>,
    pub database: Database,
    pub world: World,
    pub stores: Stores,
    /// Where volumes can be put.
    pub places: Arc<[Place]>,
    /// Says who asks.
    pub authority: Authority,
    pub policies: Arc<Policies>,
    /// What images may say of themselves.
    pub image_schema: Arc<ImageSchema>,
    /// Other people's web servers.
    pub web: Web,
    /// Image services of the cloud's other regions.
    pub regions: Option<Regions>,
    /// Of those who sign images.
    pub certificates: Certificates,
    /// Of the keys of encrypted images.
    pub barbican: Option<Barbican>,
    /// Knows what its servers have.
    pub nova: Option<Arc<Nova>>,
    /// Keeps the leases of jobs that requests carry out themselves.
    pub keeper: Arc<Keeper>,
    pub gates: Gates,
    /// How much is logged.
    pub levels: Levels,
    /// Answers without an end stop when the process does.
    pub stopping: CancellationToken,
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    pub fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// Where this client finds Identity.
    pub fn identity_address(&self, parts: &Parts) -> String {
        let Config { api, keystone_authtoken: keystone, identity, .. } = &*self.config;
        let configured = match identity.mode {
            IdentityMode::Keystone => keystone.www_authenticate_uri.as_ref().or(keystone.auth_url.as_ref()),
            IdentityMode::Standalone | IdentityMode::None => api.identity_public_endpoint.as_ref(),
        };
        match configured {
            Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
            None => format!("{}://{}/identity", self.config.scheme(), host(&self.config, parts)),
        }
    }

    /// Waits until a job is over and answers its row; `None` when it is still going after `patience`, or forgotten.
    pub async fn job_over(&self, id: &JobId, patience: Duration) -> Result<Option<crate::db::Job>, DbError> {
        let deadline = tokio::time::Instant::now() + patience;
        let mut pause = Duration::from_millis(5);
        loop {
            let job = self.database.read().await?.job(id).await?;
            match job {
                Some(job) if !job.state.is_over() => {}
                ended_or_gone => return Ok(ended_or_gone),
            }
            if tokio::time::Instant::now() + pause > deadline {
                return Ok(None);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }
}
