//! `POST /v3/users`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::{NAME, PASSWORD, UserBody, UserView, fill, stored};
use crate::identity::standalone::accounts::new_user;
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::body::Body;
use crate::identity_api::domains;
use crate::identity_api::fault::{FaultBody, Result};
use crate::identity_api::links::Base;

/// A new user
#[utoipa::path(
    post, path = "/v3/users", tag = "users", operation_id = "create_user",
    request_body(content = Object, description = "`user`: name, password, domain_id, enabled, \
        default_project_id, and what else is to be kept"),
    responses(
        (status = 201, body = UserBody),
        (status = 400, description = "The request is malformed", body = FaultBody),
        (status = 403, description = "Not an administrator", body = FaultBody),
        (status = 409, description = "The domain has a user of this name", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn create(
    State(api): State<Api>,
    asker: Asker,
    base: Base,
    body: Body,
) -> Result<(StatusCode, Json<UserBody>)> {
    asker.may_change("identity:create_user")?;
    let fields = body.about("user")?;
    let name = fields.required_name(NAME)?;
    let password = match fields.text("password", PASSWORD)? {
        Some(password) => Some(api.standalone.passwords().hash(password).await?),
        None => None,
    };
    let mut repository = api.app.database.begin().await?;
    let domain = domains::named_in(&mut repository, &fields, &asker).await?;
    let mut user = new_user(&api.app.world, domain, &name, password);
    fill(&mut user, &fields)?;
    repository.add_user(&user).await.map_err(|error| stored(error, &user))?;
    repository.commit().await?;
    Ok((StatusCode::CREATED, Json(UserBody { user: UserView::new(user, &base) })))
}
