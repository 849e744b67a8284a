//! `PATCH /v3/roles/{role_id}`

use axum::Json;
use axum::extract::{Path, State};

use super::{DESCRIPTION, NAME, RoleBody, RoleView, find_mutable, stored};
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::body::Body;
use crate::identity_api::fault::{FaultBody, Result};
use crate::identity_api::links::Base;

/// Changes a role
#[utoipa::path(
    patch, path = "/v3/roles/{role_id}", tag = "roles", operation_id = "update_role",
    params(("role_id" = String, Path)),
    request_body(content = Object, description = "`role`: what is to change"),
    responses(
        (status = 200, body = RoleBody),
        (status = 400, description = "The request is malformed", body = FaultBody),
        (status = 403, description = "Not an administrator, or one of the roles that stay", body = FaultBody),
        (status = 404, description = "There is no such role", body = FaultBody),
        (status = 409, description = "There is another role of this name", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn update(
    State(api): State<Api>,
    asker: Asker,
    Path(id): Path<String>,
    base: Base,
    body: Body,
) -> Result<Json<RoleBody>> {
    asker.may_change("identity:update_role")?;
    let fields = body.about("role")?;
    let mut repository = api.app.database.begin().await?;
    let mut role = find_mutable(&mut repository, &id).await?;
    if let Some(name) = fields.name(NAME)? {
        role.name = name;
    }
    if let Some(description) = fields.optional("description", DESCRIPTION)? {
        role.description = description;
    }
    repository.update_role(&role).await.map_err(|error| stored(error, &role))?;
    repository.commit().await?;
    api.standalone.changed();
    Ok(Json(RoleBody { role: RoleView::new(role, &base) }))
}
