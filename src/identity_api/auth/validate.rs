//! `GET /v3/auth/tokens`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::HeaderName;

use super::view::{SUBJECT, TokenBody, TokenView};
use crate::http::Query;
use crate::identity::Refusal;
use crate::identity::standalone::{Session, Target};
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::catalogue::Catalogue;
use crate::identity_api::fault::{Fault, FaultBody, Result};

/// What a token says, for its owner and for services
#[utoipa::path(
    get, path = "/v3/auth/tokens", tag = "tokens", operation_id = "validate_token",
    params(
        ("X-Subject-Token" = String, Header, description = "The token"),
        ("nocatalog" = Option<String>, Query, description = "Leaves the catalogue out"),
    ),
    responses(
        (status = 200, body = TokenBody),
        (status = 403, description = "It is the token of somebody else", body = FaultBody),
        (status = 404, description = "The token is not good", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn validate(
    State(api): State<Api>,
    asker: Asker,
    catalogue: Catalogue,
    query: Query,
    headers: HeaderMap,
) -> Result<([(HeaderName, String); 1], Json<TokenBody>)> {
    let (token, session) = subject(&api, &headers).await?;
    let is_service = asker.0.has_role("service");
    let is_observer = matches!(asker.0.target, Target::System) && asker.0.has_role("reader");
    let may = asker.is(&session.user.id) || asker.is_admin() || is_service || is_observer;
    asker.must(may, "identity:validate_token")?;
    let catalogue = query.last("nocatalog").is_none().then_some(catalogue);
    Ok(([(SUBJECT, token)], Json(TokenBody { token: TokenView::new(&session, catalogue) })))
}

/// The token a request is about.
pub(super) async fn subject(api: &Api, headers: &HeaderMap) -> Result<(String, Arc<Session>)> {
    let token = headers.get(SUBJECT).and_then(|token| token.to_str().ok()).ok_or(Fault::NoSubject)?;
    match api.standalone.session(token).await {
        Ok(session) => Ok((token.to_owned(), session)),
        Err(Refusal::Unauthorized) => Err(Fault::UnknownToken),
        Err(other) => Err(other.into()),
    }
}
