//! `DELETE /v3/roles/{role_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::find_mutable;
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::fault::{FaultBody, Result};

/// Removes a role; nobody holds it any more, nor keeps application credentials where it was held
#[utoipa::path(
    delete, path = "/v3/roles/{role_id}", tag = "roles", operation_id = "delete_role",
    params(("role_id" = String, Path)),
    responses(
        (status = 204, description = "Gone"),
        (status = 403, description = "Not an administrator, or one of the roles that stay", body = FaultBody),
        (status = 404, description = "There is no such role", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn delete(
    State(api): State<Api>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<StatusCode> {
    asker.may_change("identity:delete_role")?;
    let mut repository = api.app.database.begin().await?;
    let role = find_mutable(&mut repository, &id).await?;
    repository.remove_role(&role.id).await?;
    repository.commit().await?;
    api.standalone.changed();
    Ok(StatusCode::NO_CONTENT)
}
