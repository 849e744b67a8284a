//! `POST /v3/roles`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::{DESCRIPTION, NAME, RoleBody, RoleView, stored};
use crate::identity::standalone::accounts::new_role;
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::body::Body;
use crate::identity_api::fault::{FaultBody, Result};
use crate::identity_api::links::Base;

/// A new role, for the rules of the policy to name
#[utoipa::path(
    post, path = "/v3/roles", tag = "roles", operation_id = "create_role",
    request_body(content = Object, description = "`role`: name, description"),
    responses(
        (status = 201, body = RoleBody),
        (status = 400, description = "The request is malformed", body = FaultBody),
        (status = 403, description = "Not an administrator", body = FaultBody),
        (status = 409, description = "There is a role of this name", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn create(
    State(api): State<Api>,
    asker: Asker,
    base: Base,
    body: Body,
) -> Result<(StatusCode, Json<RoleBody>)> {
    asker.may_change("identity:create_role")?;
    let fields = body.about("role")?;
    let name = fields.required_name(NAME)?;
    let role = new_role(&api.app.world, &name, fields.text("description", DESCRIPTION)?.as_deref());
    let mut repository = api.app.database.begin().await?;
    repository.add_role(&role).await.map_err(|error| stored(error, &role))?;
    repository.commit().await?;
    Ok((StatusCode::CREATED, Json(RoleBody { role: RoleView::new(role, &base) })))
}
