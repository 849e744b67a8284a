//! `GET /v3/users/{user_id}`

use axum::Json;
use axum::extract::{Path, State};

use super::{UserBody, UserView, find};
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::fault::{FaultBody, Result};
use crate::identity_api::links::Base;
use crate::model::UserId;

/// One user
#[utoipa::path(
    get, path = "/v3/users/{user_id}", tag = "users", operation_id = "show_user",
    params(("user_id" = String, Path)),
    responses(
        (status = 200, body = UserBody),
        (status = 403, description = "Neither the user nor an administrator", body = FaultBody),
        (status = 404, description = "There is no such user", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn show(
    State(api): State<Api>,
    asker: Asker,
    Path(id): Path<String>,
    base: Base,
) -> Result<Json<UserBody>> {
    asker.may_see_of(&UserId(id.clone()), "identity:get_user")?;
    let user = find(&mut api.app.database.read().await?, &id).await?;
    Ok(Json(UserBody { user: UserView::new(user, &base) }))
}
