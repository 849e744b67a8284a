//! `/v3/projects/{project_id}/users/{user_id}/roles`

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::{give, is_held, of_user, take};
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::fault::{FaultBody, Result};
use crate::identity_api::links::Base;
use crate::identity_api::roles::Roles;
use crate::model::{ProjectId, Scope};

/// The roles a user was given on a project
#[utoipa::path(
    get, path = "/v3/projects/{project_id}/users/{user_id}/roles", tag = "role assignments",
    operation_id = "list_roles_on_project",
    params(("project_id" = String, Path), ("user_id" = String, Path)),
    responses(
        (status = 200, body = Roles),
        (status = 403, description = "Not an administrator", body = FaultBody),
        (status = 404, description = "One of them is not there", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn list(
    State(api): State<Api>,
    asker: Asker,
    Path((project, user)): Path<(String, String)>,
    base: Base,
) -> Result<Json<Roles>> {
    of_user(&api, &asker, &base, &Scope::Project(ProjectId(project)), &user).await
}

/// Whether a user was given a role on a project
#[utoipa::path(
    get, path = "/v3/projects/{project_id}/users/{user_id}/roles/{role_id}", tag = "role assignments",
    operation_id = "check_role_on_project",
    params(("project_id" = String, Path), ("user_id" = String, Path), ("role_id" = String, Path)),
    responses(
        (status = 204, description = "So it is"),
        (status = 403, description = "Not an administrator", body = FaultBody),
        (status = 404, description = "Not so, or one of them is not there", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn check(
    State(api): State<Api>,
    asker: Asker,
    Path((project, user, role)): Path<(String, String, String)>,
) -> Result<StatusCode> {
    is_held(&api, &asker, &Scope::Project(ProjectId(project)), &user, &role).await
}

/// Gives a user a role on a project
#[utoipa::path(
    put, path = "/v3/projects/{project_id}/users/{user_id}/roles/{role_id}", tag = "role assignments",
    operation_id = "assign_role_on_project",
    params(("project_id" = String, Path), ("user_id" = String, Path), ("role_id" = String, Path)),
    responses(
        (status = 204, description = "Given, now or before"),
        (status = 403, description = "Not an administrator", body = FaultBody),
        (status = 404, description = "One of them is not there", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn assign(
    State(api): State<Api>,
    asker: Asker,
    Path((project, user, role)): Path<(String, String, String)>,
) -> Result<StatusCode> {
    give(&api, &asker, &Scope::Project(ProjectId(project)), &user, &role).await
}

/// Takes a role on a project from a user, with all application credentials that the user has there
#[utoipa::path(
    delete, path = "/v3/projects/{project_id}/users/{user_id}/roles/{role_id}", tag = "role assignments",
    operation_id = "unassign_role_on_project",
    params(("project_id" = String, Path), ("user_id" = String, Path), ("role_id" = String, Path)),
    responses(
        (status = 204, description = "Taken"),
        (status = 403, description = "Not an administrator", body = FaultBody),
        (status = 404, description = "The user did not have it, or one of them is not there", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn unassign(
    State(api): State<Api>,
    asker: Asker,
    Path((project, user, role)): Path<(String, String, String)>,
) -> Result<StatusCode> {
    take(&api, &asker, &Scope::Project(ProjectId(project)), &user, &role).await
}
