//! Who asks, and what they may do here: rules as Keystone's, by name.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::Api;
use super::fault::{Fault, Result};
use crate::identity::standalone::{Session, Target};
use crate::model::UserId;

/// Has a good token.
pub(super) struct Asker(pub Arc<Session>);

impl FromRequestParts<Api> for Asker {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self> {
        let token = parts.headers.get("x-auth-token").and_then(|token| token.to_str().ok());
        Ok(Self(api.standalone.session(token.ok_or(Fault::Unauthorized)?).await?))
    }
}

impl Asker {
    /// May change everything.
    pub(super) fn is_admin(&self) -> bool {
        self.0.has_role("admin")
    }

    /// May look at everything.
    fn is_observer(&self) -> bool {
        self.is_admin() || matches!(self.0.target, Target::System) && self.0.has_role("reader")
    }

    pub(super) fn is(&self, user: &UserId) -> bool {
        self.0.user.id == *user
    }

    pub(super) fn may_change(&self, rule: &'static str) -> Result<()> {
        self.must(self.is_admin(), rule)
    }

    pub(super) fn may_see(&self, rule: &'static str) -> Result<()> {
        self.must(self.is_observer(), rule)
    }

    /// Everybody may see what is their own.
    pub(super) fn may_see_of(&self, user: &UserId, rule: &'static str) -> Result<()> {
        self.must(self.is(user) || self.is_observer(), rule)
    }

    pub(super) fn must(&self, holds: bool, rule: &'static str) -> Result<()> {
        if holds { Ok(()) } else { Err(Fault::Forbidden(rule)) }
    }
}
