//! Who asks, and in which request.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::{App, RequestId};
use crate::identity::Caller;
use crate::jobs::Origin;
use crate::model::{ProjectId, UserId};

#[derive(Clone, Debug)]
pub struct RequestContext {
    pub request_id: String,
    /// Empty when the token is not scoped to a project.
    pub project_id: ProjectId,
    pub user_id: UserId,
    pub caller: Arc<Caller>,
}

impl RequestContext {
    pub fn origin(&self) -> Origin {
        Origin { project_id: Some(self.project_id.clone()), request_id: Some(self.request_id.clone()) }
    }
}

impl FromRequestParts<App> for RequestContext {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        let request_id = parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
        let caller = parts.extensions.get::<Arc<Caller>>().cloned().unwrap_or_default();
        let project_id = caller.project_id.clone().unwrap_or_default();
        Ok(Self { request_id, project_id, user_id: caller.user_id.clone(), caller })
    }
}
