//! `POST /v3/projects`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::{NAME, ProjectBody, ProjectView, fill, stored};
use crate::identity::standalone::accounts::new_project;
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::body::Body;
use crate::identity_api::domains;
use crate::identity_api::fault::{FaultBody, Result};
use crate::identity_api::links::Base;

/// A new project
#[utoipa::path(
    post, path = "/v3/projects", tag = "projects", operation_id = "create_project",
    request_body(content = Object, description = "`project`: name, domain_id, description, enabled, and what \
        else is to be kept"),
    responses(
        (status = 201, body = ProjectBody),
        (status = 400, description = "The request is malformed", body = FaultBody),
        (status = 403, description = "Not an administrator", body = FaultBody),
        (status = 409, description = "The domain has a project of this name", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn create(
    State(api): State<Api>,
    asker: Asker,
    base: Base,
    body: Body,
) -> Result<(StatusCode, Json<ProjectBody>)> {
    asker.may_change("identity:create_project")?;
    let fields = body.about("project")?;
    let name = fields.required_name(NAME)?;
    let mut repository = api.app.database.begin().await?;
    let domain = domains::named_in(&mut repository, &fields, &asker).await?;
    let mut project = new_project(&api.app.world, domain, &name, "");
    fill(&mut project, &fields)?;
    repository.add_project(&project).await.map_err(|error| stored(error, &project))?;
    repository.commit().await?;
    Ok((StatusCode::CREATED, Json(ProjectBody { project: ProjectView::new(project, &base) })))
}
