//! `DELETE /v3/auth/tokens`

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};

use super::validate::{subject, unknown};
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::fault::{FaultBody, Result};

/// Takes a token back, by its owner or an administrator
#[utoipa::path(
    delete, path = "/v3/auth/tokens", tag = "tokens", operation_id = "revoke_token",
    params(("X-Subject-Token" = String, Header, description = "The token")),
    responses(
        (status = 204, description = "It is good for nothing any more"),
        (status = 403, description = "It is the token of somebody else", body = FaultBody),
        (status = 404, description = "The token is not good", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn revoke(
    State(api): State<Api>,
    asker: Asker,
    headers: HeaderMap,
) -> Result<StatusCode> {
    let session = api.standalone.session(subject(&headers)?).await.map_err(unknown)?;
    asker.must(asker.is(&session.user.id) || asker.is_admin(), "identity:revoke_token")?;
    api.standalone.revoke(&session).await?;
    Ok(StatusCode::NO_CONTENT)
}
