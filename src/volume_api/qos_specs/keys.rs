//! `PUT /qos-specs/{qos_id}/delete_keys`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, empty};
use super::super::request::{Body, Call};
use super::super::schema::Object;
use super::find_to_change;
use crate::http::App;
use crate::identity::policy::volume as rules;

#[utoipa::path(
    put, path = "/v3/qos-specs/{qos_id}/delete_keys", tag = "qos-specs", operation_id = "delete_qos_specs_keys",
    description = "All of them, or none when one is not there.",
    params(("qos_id" = String, Path)),
    request_body = Object,
    responses(
        (status = 202, description = "The keys are gone"),
        (status = 400, description = "The body is not usable"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such QoS specs, or no such key"),
    ),
)]
pub async fn delete(
    State(app): State<App>,
    call: Call,
    Path(id): Path<String>,
    Body(body): Body,
) -> Result<Response, Fault> {
    let body = Object::body(&body)?;
    let keys = body.texts("keys")?;
    body.require("keys")?;
    body.only(&["keys"])?;
    call.check_own(rules::QOS_DELETE)?;
    let mut repository = app.database.begin().await?;
    let mut row = find_to_change(&mut repository, &id).await?;
    for key in keys.unwrap_or_default() {
        if row.specs.remove(key).is_none() {
            return Err(Fault::NoSuch(format!("QoS spec {id} has no spec with key {key}.")));
        }
    }
    row.updated_at = Some(app.world.now());
    repository.update_qos_specs(&row).await?;
    repository.commit().await?;
    Ok(empty(StatusCode::ACCEPTED))
}
