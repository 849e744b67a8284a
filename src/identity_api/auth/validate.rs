//! `GET /v3/auth/tokens`

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::HeaderName;

use super::view::{SUBJECT, TokenBody, TokenView};
use crate::http::{Query, truth};
use crate::identity::Refusal;
use crate::identity::standalone::Target;
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
        ("allow_expired" = Option<String>, Query,
            description = "Also of a token that has expired, not longer than two days ago"),
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
    let token = subject(&headers)?;
    let session = match query.last("allow_expired").and_then(truth) == Some(true) {
        true => api.standalone.late_session(token).await,
        false => api.standalone.session(token).await,
    };
    let session = session.map_err(unknown)?;
    let is_service = asker.0.has_role("service");
    let is_observer = matches!(asker.0.target, Target::System) && asker.0.has_role("reader");
    let may = asker.is(&session.user.id) || asker.is_admin() || is_service || is_observer;
    asker.must(may, "identity:validate_token")?;
    let catalogue = query.last("nocatalog").is_none().then_some(catalogue);
    Ok(([(SUBJECT, token.to_owned())], Json(TokenBody { token: TokenView::new(&session, catalogue) })))
}

/// The token a request is about.
pub(super) fn subject(headers: &HeaderMap) -> Result<&str> {
    headers.get(SUBJECT).and_then(|token| token.to_str().ok()).ok_or(Fault::NoSubject)
}

pub(super) fn unknown(refusal: Refusal) -> Fault {
    match refusal {
        Refusal::Unauthorized => Fault::UnknownToken,
        other => other.into(),
    }
}
