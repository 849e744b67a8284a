//! `GET /v3/users/{user_id}/projects`

use axum::Json;
use axum::extract::{Path, State};

use super::find;
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::fault::{FaultBody, Result};
use crate::identity_api::links::{Base, ListLinks};
use crate::identity_api::projects::{ProjectView, Projects};
use crate::model::UserId;

/// The projects a user holds a role on
#[utoipa::path(
    get, path = "/v3/users/{user_id}/projects", tag = "users", operation_id = "list_projects_of_user",
    params(("user_id" = String, Path)),
    responses(
        (status = 200, body = Projects),
        (status = 403, description = "Neither the user nor an administrator", body = FaultBody),
        (status = 404, description = "There is no such user", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn list(
    State(api): State<Api>,
    asker: Asker,
    Path(id): Path<String>,
    base: Base,
) -> Result<Json<Projects>> {
    asker.may_see_of(&UserId(id.clone()), "identity:list_user_projects")?;
    let mut repository = api.app.database.read().await?;
    let user = find(&mut repository, &id).await?;
    let found = repository.projects_of(&user.id).await?;
    let projects = found.into_iter().map(|project| ProjectView::new(project, &base)).collect();
    Ok(Json(Projects { projects, links: ListLinks::new(&base, &format!("users/{id}/projects")) }))
}
