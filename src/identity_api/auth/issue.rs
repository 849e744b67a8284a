//! `POST /v3/auth/tokens`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::HeaderName;

use super::proof;
use super::view::{SUBJECT, TokenBody, TokenView};
use crate::http::Query;
use crate::identity_api::Api;
use crate::identity_api::body::Body;
use crate::identity_api::catalogue::Catalogue;
use crate::identity_api::fault::{FaultBody, Result};

/// A token for whoever proves who they are
#[utoipa::path(
    post, path = "/v3/auth/tokens", tag = "tokens", operation_id = "issue_token",
    params(("nocatalog" = Option<String>, Query, description = "Leaves the catalogue out")),
    request_body(content = Object, description = "`auth`: identity (methods password, token, \
        application_credential) and scope (project, system, domain, `unscoped`)"),
    responses(
        (status = 201, body = TokenBody, headers(("X-Subject-Token" = String, description = "The token"))),
        (status = 400, description = "The request is malformed", body = FaultBody),
        (status = 401, description = "A proof is not good, or the scope is not open to this user",
            body = FaultBody),
        (status = 403, description = "A token for the whole system was shown, and the scope is a project or a domain",
            body = FaultBody),
        (status = 404, description = "A token was shown as a proof that is not good", body = FaultBody),
        (status = 429, description = "Too many failures; wait as long as Retry-After says", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn issue(
    State(api): State<Api>,
    catalogue: Catalogue,
    query: Query,
    body: Body,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<TokenBody>)> {
    let (token, session) = api.standalone.log_in(proof::read(&body)?).await?;
    let catalogue = query.last("nocatalog").is_none().then_some(catalogue);
    let token_view = TokenView::new(&session, catalogue);
    Ok((StatusCode::CREATED, [(SUBJECT, token)], Json(TokenBody { token: token_view })))
}
