//! `DELETE /types/{type_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, empty};
use super::super::request::Call;
use super::find_to_change;
use crate::db::DbError;
use crate::http::App;
use crate::identity::policy::volume as rules;

#[utoipa::path(
    delete, path = "/v3/types/{type_id}", tag = "types", operation_id = "delete_type",
    params(("type_id" = String, Path)),
    responses(
        (status = 202, description = "It is gone"),
        (status = 400, description = "A volume is of it, or it is a default"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such type"),
    ),
)]
pub async fn delete(State(app): State<App>, call: Call, Path(id): Path<String>) -> Result<Response, Fault> {
    call.check_own(rules::TYPE_DELETE)?;
    let mut repository = app.database.begin().await?;
    let volume_type = find_to_change(&mut repository, &call, &id).await?;
    let is_default = volume_type.name == app.config.volumes.default_volume_type
        || repository.volume_type_is_a_default(&volume_type.id).await?;
    if is_default {
        return Err(Fault::Invalid(format!(
            "The volume type {} is a default volume type and cannot be deleted.",
            volume_type.id
        )));
    }
    repository.remove_volume_type(&volume_type.id).await.map_err(|error| match error {
        DbError::Reference => Fault::Invalid("Target volume type is still in use.".to_owned()),
        other => other.into(),
    })?;
    repository.commit().await?;
    Ok(empty(StatusCode::ACCEPTED))
}
