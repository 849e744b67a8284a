//! `DELETE /v3/projects/{project_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::find;
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::fault::{FaultBody, Result};

/// Removes a project, with the roles on it. Its images and volumes stay.
#[utoipa::path(
    delete, path = "/v3/projects/{project_id}", tag = "projects", operation_id = "delete_project",
    params(("project_id" = String, Path)),
    responses(
        (status = 204, description = "Gone"),
        (status = 403, description = "Not an administrator", body = FaultBody),
        (status = 404, description = "There is no such project", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn delete(
    State(api): State<Api>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<StatusCode> {
    asker.may_change("identity:delete_project")?;
    let mut repository = api.app.database.begin().await?;
    let project = find(&mut repository, &id).await?;
    repository.remove_project(&project.id).await?;
    repository.commit().await?;
    api.standalone.changed();
    Ok(StatusCode::NO_CONTENT)
}
