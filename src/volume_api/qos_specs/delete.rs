//! `DELETE /qos-specs/{qos_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, empty};
use super::super::paging::flag;
use super::super::request::Call;
use super::find_to_change;
use crate::db::DbError;
use crate::http::App;
use crate::identity::policy::volume as rules;

#[utoipa::path(
    delete, path = "/v3/qos-specs/{qos_id}", tag = "qos-specs", operation_id = "delete_qos_specs",
    params(
        ("qos_id" = String, Path),
        ("force" = Option<bool>, Query, description = "Take them from the types they belong to first"),
    ),
    responses(
        (status = 202, description = "They are gone"),
        (status = 400, description = "They belong to a type"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such QoS specs"),
    ),
)]
pub async fn delete(State(app): State<App>, call: Call, Path(id): Path<String>) -> Result<Response, Fault> {
    call.check_own(rules::QOS_DELETE)?;
    let force = flag(&call.query, "force")?;
    let mut repository = app.database.begin().await?;
    let specs = find_to_change(&mut repository, &id).await?;
    if force {
        repository.disassociate_qos_specs(&specs.id, None, app.world.now()).await?;
    }
    repository.remove_qos_specs(&specs.id).await.map_err(|error| match error {
        DbError::Reference => Fault::Invalid("Qos specs still in use.".to_owned()),
        other => other.into(),
    })?;
    repository.commit().await?;
    Ok(empty(StatusCode::ACCEPTED))
}
