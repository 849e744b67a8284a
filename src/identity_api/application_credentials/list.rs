//! `GET /v3/users/{user_id}/application_credentials`

use axum::Json;
use axum::extract::{Path, State};

use super::{ApplicationCredentials, CredentialView};
use crate::http::Query;
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::fault::{FaultBody, Result};
use crate::identity_api::links::{Base, ListLinks};
use crate::model::UserId;

/// Those of one user, by name
#[utoipa::path(
    get, path = "/v3/users/{user_id}/application_credentials", tag = "application credentials",
    operation_id = "list_application_credentials",
    params(("user_id" = String, Path), ("name" = Option<String>, Query)),
    responses(
        (status = 200, body = ApplicationCredentials),
        (status = 403, description = "Neither the user nor an administrator", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn list(
    State(api): State<Api>,
    asker: Asker,
    Path(user): Path<String>,
    query: Query,
    base: Base,
) -> Result<Json<ApplicationCredentials>> {
    let user_id = UserId(user.clone());
    asker.may_see_of(&user_id, "identity:list_application_credentials")?;
    let mut repository = api.app.database.read().await?;
    let roles = repository.roles().await?;
    let found = match query.last("name") {
        Some(name) => repository.application_credential_named(&user_id, name).await?.into_iter().collect(),
        None => repository.application_credentials(&user_id).await?,
    };
    let views = found.into_iter().map(|credential| CredentialView::new(credential, &roles, &base)).collect();
    let links = ListLinks::new(&base, &format!("users/{user}/application_credentials"));
    Ok(Json(ApplicationCredentials { application_credentials: views, links }))
}
