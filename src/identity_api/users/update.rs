//! `PATCH /v3/users/{user_id}`

use axum::Json;
use axum::extract::{Path, State};

use super::{NAME, PASSWORD, UserBody, UserView, fill, find_to_change, stored};
use crate::identity::standalone::accounts::{end_tokens, set_password};
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::body::Body;
use crate::identity_api::fault::{FaultBody, Result};
use crate::identity_api::links::Base;

/// Changes a user. A new password, or being disabled, makes all tokens of the user bad; being disabled removes the user's
/// application credentials as well.
#[utoipa::path(
    patch, path = "/v3/users/{user_id}", tag = "users", operation_id = "update_user",
    params(("user_id" = String, Path)),
    request_body(content = Object, description = "`user`: what is to change"),
    responses(
        (status = 200, body = UserBody),
        (status = 400, description = "The request is malformed", body = FaultBody),
        (status = 403, description = "Not an administrator", body = FaultBody),
        (status = 404, description = "There is no such user", body = FaultBody),
        (status = 409, description = "The domain has another user of this name", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn update(
    State(api): State<Api>,
    asker: Asker,
    Path(id): Path<String>,
    base: Base,
    body: Body,
) -> Result<Json<UserBody>> {
    asker.may_change("identity:update_user")?;
    let fields = body.about("user")?;
    let password = match fields.text("password", PASSWORD)? {
        Some(password) => Some(api.standalone.passwords().hash(password).await?),
        None => None,
    };
    let mut repository = api.app.database.begin().await?;
    let mut user = find_to_change(&mut repository, &id).await?;
    if let Some(name) = fields.name(NAME)? {
        user.name = name;
    }
    fill(&mut user, &fields)?;
    if let Some(password) = password {
        set_password(&api.app.world, &mut user, password);
    }
    if !user.enabled {
        // Enabled again, the user logs in again; what programs logged in with is gone.
        end_tokens(&api.app.world, &mut user);
        repository.remove_application_credentials(&user.id).await?;
    }
    repository.update_user(&user).await.map_err(|error| stored(error, &user))?;
    repository.commit().await?;
    api.standalone.changed();
    Ok(Json(UserBody { user: UserView::new(user, &base) }))
}
