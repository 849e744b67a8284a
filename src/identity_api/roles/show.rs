//! `GET /v3/roles/{role_id}`

use axum::Json;
use axum::extract::{Path, State};

use super::{RoleBody, RoleView, find};
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::fault::{FaultBody, Result};
use crate::identity_api::links::Base;

/// One role
#[utoipa::path(
    get, path = "/v3/roles/{role_id}", tag = "roles", operation_id = "show_role",
    params(("role_id" = String, Path)),
    responses(
        (status = 200, body = RoleBody),
        (status = 403, description = "Not an administrator", body = FaultBody),
        (status = 404, description = "There is no such role", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn show(
    State(api): State<Api>,
    asker: Asker,
    Path(id): Path<String>,
    base: Base,
) -> Result<Json<RoleBody>> {
    asker.may_see("identity:get_role")?;
    let role = find(&mut api.app.database.read().await?, &id).await?;
    Ok(Json(RoleBody { role: RoleView::new(role, &base) }))
}
