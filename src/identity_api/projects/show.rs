//! `GET /v3/projects/{project_id}`

use axum::Json;
use axum::extract::{Path, State};

use super::{ProjectBody, ProjectView, find};
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::fault::{FaultBody, Result};
use crate::identity_api::links::Base;

/// One project
#[utoipa::path(
    get, path = "/v3/projects/{project_id}", tag = "projects", operation_id = "show_project",
    params(("project_id" = String, Path)),
    responses(
        (status = 200, body = ProjectBody),
        (status = 403, description = "The token is neither of this project nor an administrator's",
            body = FaultBody),
        (status = 404, description = "There is no such project", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn show(
    State(api): State<Api>,
    asker: Asker,
    Path(id): Path<String>,
    base: Base,
) -> Result<Json<ProjectBody>> {
    let is_own = asker.0.caller.project_id.as_ref().is_some_and(|project| project.as_str() == id);
    if !is_own {
        asker.may_see("identity:get_project")?;
    }
    let project = find(&mut api.app.database.read().await?, &id).await?;
    Ok(Json(ProjectBody { project: ProjectView::new(project, &base) }))
}
