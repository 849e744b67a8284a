//! What a handler takes from a request.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::fault::{Fault, body_too_large};
use super::front::ProjectInPath;
use super::links::Links;
use super::microversion::{Microversion, Requested};
use crate::http::{App, BodyError, Query, RequestContext, holds_nul, media_type, whole};
use crate::identity::policy::{Api, Guard, Rule, Target};
use crate::model::{ProjectId, Timestamp};

/// Who asks, in which version of the API, and where answers point.
pub struct Call {
    pub context: RequestContext,
    pub version: Microversion,
    pub links: Links,
    pub query: Query,
    pub guard: Guard,
    /// For those whom we ask on the caller's behalf.
    pub token: Option<HeaderValue>,
}

impl Call {
    /// Others' things are as good as not there.
    pub fn may_see(&self, project: &ProjectId) -> bool {
        self.guard.is_admin() || *project == self.context.project_id
    }

    /// Refuses what the rule does not allow.
    pub fn check(&self, rule: Rule, target: &Target) -> Result<(), Fault> {
        if self.guard.allows(rule, target) { Ok(()) } else { Err(Fault::Forbidden(rule)) }
    }

    /// Likewise, of nothing in particular but the caller's project.
    pub fn check_own(&self, rule: Rule) -> Result<(), Fault> {
        self.check(rule, &self.guard.own())
    }

    /// Whether the rule lets the caller's own project have it.
    pub fn has(&self, rule: Rule) -> bool {
        self.guard.allows(rule, &self.guard.own())
    }

    /// The project that what is made belongs to: `what` would belong to nobody without one.
    pub fn owner(&self, what: &str) -> Result<&ProjectId, Fault> {
        let project = &self.context.project_id;
        if project.as_str().is_empty() {
            let message = format!("{what} belongs to a project, and the token is not scoped to one.");
            return Err(Fault::Invalid(message));
        }
        Ok(project)
    }

    /// Refuses a route that came with a later version.
    pub fn since(&self, version: Microversion) -> Result<(), Fault> {
        if self.version >= version { Ok(()) } else { Err(Fault::NotFound) }
    }
}

impl FromRequestParts<App> for Call {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Fault> {
        let without_front = || Fault::internal("a request was routed without its front");
        let version = parts.extensions.get::<Requested>().cloned().ok_or_else(without_front)?.version()?;
        let links = parts.extensions.get::<Links>().cloned().ok_or_else(without_front)?;
        let Ok(context) = RequestContext::from_request_parts(parts, app).await;
        let Ok(query) = Query::from_request_parts(parts, app).await;
        let project = parts.extensions.get::<ProjectInPath>().and_then(|project| project.0.as_deref());
        if project.is_some_and(|project| project != context.project_id.as_str()) {
            return Err(Fault::MalformedUrl);
        }
        if query.holds_nul() {
            return Err(Fault::Malformed);
        }
        let guard = Guard::new(&app.policies, Api::Volume, context.caller.clone());
        let token = parts.headers.get("x-auth-token").cloned();
        Ok(Self { context, version, links, query, guard, token })
    }
}

/// The body, in JSON.
pub struct Body(pub Value);

impl FromRequest<App> for Body {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let limit = app.config.api.osapi_max_request_body_size;
        let bytes = whole(&parts.headers, body, limit).await.map_err(|error| match error {
            BodyError::TooLarge => body_too_large(limit),
            BodyError::Broken => Fault::MalformedBody.into_response(),
        })?;
        if bytes.is_empty() || !parts.headers.contains_key(CONTENT_TYPE) {
            // The real service fails with 500 here.
            return Err(Fault::Malformed.into_response());
        }
        let given = media_type(&parts.headers);
        let is_json = ["application/json", "application/vnd.openstack.volume+json"]
            .iter()
            .any(|known| given.eq_ignore_ascii_case(known));
        if !is_json {
            return Err(Fault::MediaType.into_response());
        }
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(value) if !holds_nul(&value) => Ok(Self(value)),
            _ => Err(Fault::MalformedBody.into_response()),
        }
    }
}

/// A moment as this API writes it.
#[derive(Clone, Copy)]
pub struct Moment(pub Timestamp);

impl serde::Serialize for Moment {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_microseconds())
    }
}
