//! Addresses in answers.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Serialize;
use utoipa::ToSchema;

/// Where this client finds Identity, without a slash at its end.
#[derive(Clone, Debug, Default)]
pub(super) struct Base(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Base {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Base>().cloned().unwrap_or_default())
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct SelfLink {
    #[serde(rename = "self")]
    this: String,
}

impl SelfLink {
    pub(super) fn new(base: &Base, path: &str) -> Self {
        Self { this: format!("{}/v3/{path}", base.0) }
    }
}

/// Of a list. There is one page.
#[derive(Serialize, ToSchema)]
pub(super) struct ListLinks {
    next: Option<String>,
    #[serde(rename = "self")]
    this: String,
    previous: Option<String>,
}

impl ListLinks {
    pub(super) fn new(base: &Base, path: &str) -> Self {
        Self { next: None, this: format!("{}/v3/{path}", base.0), previous: None }
    }
}
