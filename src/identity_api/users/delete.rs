//! `DELETE /v3/users/{user_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::find;
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::fault::{FaultBody, Result};

/// Removes a user, with roles and application credentials
#[utoipa::path(
    delete, path = "/v3/users/{user_id}", tag = "users", operation_id = "delete_user",
    params(("user_id" = String, Path)),
    responses(
        (status = 204, description = "Gone"),
        (status = 403, description = "Not an administrator", body = FaultBody),
        (status = 404, description = "There is no such user", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn delete(
    State(api): State<Api>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<StatusCode> {
    asker.may_change("identity:delete_user")?;
    let mut repository = api.app.database.begin().await?;
    let user = find(&mut repository, &id).await?;
    repository.remove_user(&user.id).await?;
    repository.commit().await?;
    api.standalone.changed();
    Ok(StatusCode::NO_CONTENT)
}
