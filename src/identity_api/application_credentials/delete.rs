//! `DELETE /v3/users/{user_id}/application_credentials/{credential_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::create::may_multiply;
use super::find;
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::fault::{FaultBody, Result};
use crate::model::UserId;

/// Removes one; tokens made with it are not good any more
#[utoipa::path(
    delete, path = "/v3/users/{user_id}/application_credentials/{credential_id}",
    tag = "application credentials", operation_id = "delete_application_credential",
    params(("user_id" = String, Path), ("credential_id" = String, Path)),
    responses(
        (status = 204, description = "Gone"),
        (status = 403, description = "Neither the user nor an administrator", body = FaultBody),
        (status = 404, description = "The user has none of this id", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn delete(
    State(api): State<Api>,
    asker: Asker,
    Path((user, id)): Path<(String, String)>,
) -> Result<StatusCode> {
    let may = asker.is(&UserId(user.clone())) || asker.is_admin();
    asker.must(may, "identity:delete_application_credential")?;
    may_multiply(&asker)?;
    let mut repository = api.app.database.begin().await?;
    let credential = find(&mut repository, &user, &id).await?;
    repository.remove_application_credential(&credential.id).await?;
    repository.commit().await?;
    api.standalone.changed();
    Ok(StatusCode::NO_CONTENT)
}
