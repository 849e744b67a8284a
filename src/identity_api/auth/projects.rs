//! `GET /v3/auth/projects`

use axum::Json;
use axum::extract::State;

use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::fault::Result;
use crate::identity_api::links::{Base, ListLinks};
use crate::identity_api::projects::{ProjectView, Projects};

/// What the owner of the token can be scoped to
#[utoipa::path(
    get, path = "/v3/auth/projects", tag = "tokens", operation_id = "list_own_projects",
    responses((status = 200, body = Projects)),
)]
pub(in crate::identity_api) async fn projects(
    State(api): State<Api>,
    asker: Asker,
    base: Base,
) -> Result<Json<Projects>> {
    let mut found = api.app.database.read().await?.projects_of(&asker.0.user.id).await?;
    found.retain(|project| project.enabled);
    let projects = found.into_iter().map(|project| ProjectView::new(project, &base)).collect();
    Ok(Json(Projects { projects, links: ListLinks::new(&base, "auth/projects") }))
}
