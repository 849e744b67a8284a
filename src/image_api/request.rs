//! What the handlers take from a request, with Glance's answers to what cannot be taken.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use hyper::body::Body as _;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::fault::{Fault, Result};
use crate::db::Image;
use crate::http::{App, BodyError, RequestContext, images, whole};
use crate::identity::policy::{Api, Guard, Rule, Target, image};
use crate::jobs::Origin;
use crate::model::{ProjectId, UserId};

/// Who asks, and what they may do.
pub(super) struct Call {
    context: RequestContext,
    pub guard: Guard,
}

impl Call {
    pub fn project_id(&self) -> &ProjectId {
        &self.context.project_id
    }

    /// `None`: nobody in particular.
    pub fn asked_by(&self) -> Option<UserId> {
        Some(self.context.user_id.clone()).filter(|user| !user.0.is_empty())
    }

    pub fn has_role(&self, role: &str) -> bool {
        self.context.caller.has_role(role)
    }

    /// Whether another service asks, or one asks on the user's behalf.
    pub fn is_service(&self) -> bool {
        let caller = &self.context.caller;
        caller.roles.iter().chain(&caller.service_roles).any(|role| role.eq_ignore_ascii_case("service"))
    }

    pub fn origin(&self) -> Origin {
        self.context.origin()
    }

    /// Refuses what the rule does not allow, of no image in particular.
    pub fn check(&self, rule: Rule, target: &Target) -> Result<()> {
        if self.guard.allows(rule, target) { Ok(()) } else { Err(forbidden(rule)) }
    }

    /// Likewise, of an image; who may not even look at it is not told that it is there.
    pub fn check_image(&self, rule: Rule, image: &Image) -> Result<()> {
        self.check_known(rule, image::GET_IMAGE, &images::target(image, self.project_id()))
    }

    /// Likewise, of anything that the second rule allows to look at.
    pub fn check_known(&self, rule: Rule, look: Rule, target: &Target) -> Result<()> {
        self.check(rule, target).map_err(|refusal| {
            let may_look = rule != look && self.guard.allows(look, target);
            if may_look { refusal } else { Fault::NoSuchResource }
        })
    }

    /// An image that is not there yet, as rules see it: whose it would be, and who would see it.
    pub fn planned(&self, owner: Option<&str>, visibility: &str) -> Target {
        Target::new()
            .with_option("project_id", owner)
            .with_option("owner", owner)
            .with("visibility", visibility)
    }
}

fn forbidden(rule: Rule) -> Fault {
    Fault::Forbidden(format!("You are not authorized to complete {} action.", rule.name()))
}

impl FromRequestParts<App> for Call {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let Ok(context) = RequestContext::from_request_parts(parts, app).await;
        let guard = Guard::new(&app.policies, Api::Image, context.caller.clone());
        Ok(Self { context, guard })
    }
}

/// Variables of the path.
pub(super) struct InPath<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for InPath<T> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let found: Result<Path<T>, PathRejection> = Path::from_request_parts(parts, app).await;
        found.map(|Path(variables)| InPath(variables)).map_err(|_| Fault::undecodable())
    }
}

/// Nothing: a body is an error.
pub(super) struct NoBody;

impl FromRequest<App> for NoBody {
    type Rejection = Fault;

    async fn from_request(request: Request, _: &App) -> Result<Self> {
        if request.body().is_end_stream() {
            Ok(NoBody)
        } else {
            Err(Fault::BadRequest("A body is not expected with this request.".to_owned()))
        }
    }
}

/// A list or an object. Whatever its content type says: Glance does not look.
pub(super) struct JsonBody(pub Value);

impl FromRequest<App> for JsonBody {
    type Rejection = Fault;

    async fn from_request(request: Request, app: &App) -> Result<Self> {
        let (parts, body) = request.into_parts();
        if body.is_end_stream() {
            return Err(Fault::BadRequest("Body expected in request.".to_owned()));
        }
        let limit = app.config.api.max_image_body_bytes;
        let bytes = whole(&parts.headers, body, limit).await.map_err(|error| match error {
            BodyError::TooLarge => Fault::TooLarge(format!("The request body is larger than {limit} bytes.")),
            BodyError::Broken => Fault::BadRequest("The request body ended too early.".to_owned()),
        })?;
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|_| Fault::BadRequest("Malformed JSON in request body.".to_owned()))?;
        if value.is_object() || value.is_array() {
            Ok(JsonBody(value))
        } else {
            Err(Fault::BadRequest("Unexpected body type. Expected list/dict.".to_owned()))
        }
    }
}
