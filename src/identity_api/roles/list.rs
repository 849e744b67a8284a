//! `GET /v3/roles`

use axum::Json;
use axum::extract::State;

use super::{RoleView, Roles};
use crate::http::Query;
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::fault::{FaultBody, Result};
use crate::identity_api::links::{Base, ListLinks};

/// Roles, by name
#[utoipa::path(
    get, path = "/v3/roles", tag = "roles", operation_id = "list_roles",
    params(("name" = Option<String>, Query)),
    responses(
        (status = 200, body = Roles),
        (status = 403, description = "Not an administrator", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn list(
    State(api): State<Api>,
    asker: Asker,
    query: Query,
    base: Base,
) -> Result<Json<Roles>> {
    asker.may_see("identity:list_roles")?;
    // There are few of them: they are sorted out here.
    let mut found = api.app.database.read().await?.roles().await?;
    found.retain(|role| query.last("name").is_none_or(|name| role.name == name));
    let roles = found.into_iter().map(|role| RoleView::new(role, &base)).collect();
    Ok(Json(Roles { roles, links: ListLinks::new(&base, "roles") }))
}
