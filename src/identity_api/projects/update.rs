//! `PATCH /v3/projects/{project_id}`

use axum::Json;
use axum::extract::{Path, State};

use super::{NAME, ProjectBody, ProjectView, fill, find_to_change, stored};
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::body::Body;
use crate::identity_api::fault::{FaultBody, Result};
use crate::identity_api::links::Base;

/// Changes a project. While it is disabled, no token is good for it.
#[utoipa::path(
    patch, path = "/v3/projects/{project_id}", tag = "projects", operation_id = "update_project",
    params(("project_id" = String, Path)),
    request_body(content = Object, description = "`project`: what is to change"),
    responses(
        (status = 200, body = ProjectBody),
        (status = 400, description = "The request is malformed", body = FaultBody),
        (status = 403, description = "Not an administrator", body = FaultBody),
        (status = 404, description = "There is no such project", body = FaultBody),
        (status = 409, description = "The domain has another project of this name", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn update(
    State(api): State<Api>,
    asker: Asker,
    Path(id): Path<String>,
    base: Base,
    body: Body,
) -> Result<Json<ProjectBody>> {
    asker.may_change("identity:update_project")?;
    let fields = body.about("project")?;
    let mut repository = api.app.database.begin().await?;
    let mut project = find_to_change(&mut repository, &id).await?;
    if let Some(name) = fields.name(NAME)? {
        project.name = name;
    }
    fill(&mut project, &fields)?;
    repository.update_project(&project).await.map_err(|error| stored(error, &project))?;
    repository.commit().await?;
    api.standalone.changed();
    Ok(Json(ProjectBody { project: ProjectView::new(project, &base) }))
}
