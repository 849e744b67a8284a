//! Who asks, and in which request.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use std::convert::Infallible;

use super::{App, RequestId};
use crate::jobs::Origin;
use crate::model::{ProjectId, UserId};

/// What is known of the caller. With identity `none` everybody is the administrator of one project; the fields are
/// those that a token would fill.
#[derive(Clone, Debug)]
pub struct RequestContext {
    pub request_id: String,
    pub project_id: ProjectId,
    pub user_id: UserId,
    pub is_admin: bool,
}

impl RequestContext {
    pub fn origin(&self) -> Origin {
        Origin { project_id: Some(self.project_id.clone()), request_id: Some(self.request_id.clone()) }
    }
}

impl FromRequestParts<App> for RequestContext {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let request_id = parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
        Ok(Self {
            request_id,
            project_id: ProjectId(app.config.identity.project_id.clone()),
            user_id: UserId(app.config.identity.user_id.clone()),
            is_admin: true,
        })
    }
}
