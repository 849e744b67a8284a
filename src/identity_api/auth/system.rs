//! `GET /v3/auth/system`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::fault::Result;
use crate::identity_api::links::{Base, SelfLink};
use crate::model::Scope;

#[derive(Serialize, ToSchema)]
pub(in crate::identity_api) struct Systems {
    system: Vec<Whole>,
    links: SelfLink,
}

#[derive(Serialize, ToSchema)]
struct Whole {
    all: bool,
}

/// Whether the owner of the token can be scoped to the whole system
#[utoipa::path(
    get, path = "/v3/auth/system", tag = "tokens", operation_id = "list_own_systems",
    responses((status = 200, body = Systems)),
)]
pub(in crate::identity_api) async fn system(
    State(api): State<Api>,
    asker: Asker,
    base: Base,
) -> Result<Json<Systems>> {
    let roles = api.app.database.read().await?.assigned_roles(&asker.0.user.id, &Scope::System).await?;
    let system = if roles.is_empty() { Vec::new() } else { vec![Whole { all: true }] };
    Ok(Json(Systems { system, links: SelfLink::new(&base, "auth/system") }))
}
