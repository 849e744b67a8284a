//! `GET /v3/users/{user_id}/application_credentials/{credential_id}`

use axum::Json;
use axum::extract::{Path, State};

use super::{CredentialBody, CredentialView, find};
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::fault::{FaultBody, Result};
use crate::identity_api::links::Base;
use crate::model::UserId;

/// One of a user's
#[utoipa::path(
    get, path = "/v3/users/{user_id}/application_credentials/{credential_id}", tag = "application credentials",
    operation_id = "show_application_credential",
    params(("user_id" = String, Path), ("credential_id" = String, Path)),
    responses(
        (status = 200, body = CredentialBody),
        (status = 403, description = "Neither the user nor an administrator", body = FaultBody),
        (status = 404, description = "The user has none of this id", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn show(
    State(api): State<Api>,
    asker: Asker,
    Path((user, id)): Path<(String, String)>,
    base: Base,
) -> Result<Json<CredentialBody>> {
    asker.may_see_of(&UserId(user.clone()), "identity:get_application_credential")?;
    let mut repository = api.app.database.read().await?;
    let roles = repository.roles().await?;
    let found = find(&mut repository, &user, &id).await?;
    Ok(Json(CredentialBody { application_credential: CredentialView::new(found, &roles, &base) }))
}
