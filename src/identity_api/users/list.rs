//! `GET /v3/users`

use axum::Json;
use axum::extract::State;

use super::{UserView, Users};
use crate::db::UserFilter;
use crate::http::Query;
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::fault::{FaultBody, Result};
use crate::identity_api::links::{Base, ListLinks};
use crate::identity_api::projects::truth;

/// Users, by name
#[utoipa::path(
    get, path = "/v3/users", tag = "users", operation_id = "list_users",
    params(
        ("name" = Option<String>, Query), ("domain_id" = Option<String>, Query),
        ("enabled" = Option<String>, Query),
    ),
    responses(
        (status = 200, body = Users),
        (status = 403, description = "Not an administrator", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn list(
    State(api): State<Api>,
    asker: Asker,
    query: Query,
    base: Base,
) -> Result<Json<Users>> {
    asker.may_see("identity:list_users")?;
    let filter = UserFilter {
        domain_id: query.last("domain_id").map(str::to_owned),
        name: query.last("name").map(str::to_owned),
        enabled: truth(&query, "enabled"),
    };
    let users = api.app.database.read().await?.users(&filter).await?;
    let users = users.into_iter().map(|user| UserView::new(user, &base)).collect();
    Ok(Json(Users { users, links: ListLinks::new(&base, "users") }))
}
