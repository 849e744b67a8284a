//! `PUT /qos-specs/{qos_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, answer};
use super::super::request::{Body, Call};
use super::super::schema::{Object, SPECS};
use super::{consumer, find_to_change};
use crate::http::App;
use crate::identity::policy::volume as rules;

#[utoipa::path(
    put, path = "/v3/qos-specs/{qos_id}", tag = "qos-specs", operation_id = "update_qos_specs",
    description = "Adds specs, or changes those that are there; `consumer` is the consumer.",
    params(("qos_id" = String, Path)),
    request_body = Object,
    responses(
        (status = 200, body = ref("#/components/schemas/UpdateQosSpecsRequest"), description = "As the body says it"),
        (status = 400, description = "The body is not usable"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such QoS specs"),
    ),
)]
pub async fn update(
    State(app): State<App>,
    call: Call,
    Path(id): Path<String>,
    Body(body): Body,
) -> Result<Response, Fault> {
    let mut given = {
        let body = Object::body(&body)?;
        let specs = body.specs("qos_specs", &SPECS)?;
        body.require("qos_specs")?;
        body.only(&["qos_specs"])?;
        specs.unwrap_or_default()
    };
    call.check_own(rules::QOS_UPDATE)?;
    let mut repository = app.database.begin().await?;
    let mut row = find_to_change(&mut repository, &id).await?;
    if given.remove("consumer").is_some() {
        row.consumer = consumer(body["qos_specs"].get("consumer"))?.to_owned();
    }
    for (key, text) in given {
        // As in the real service: null takes the text of a spec, and makes none.
        if text.is_some() || row.specs.contains_key(&key) {
            row.specs.insert(key, text);
        }
    }
    row.updated_at = Some(app.world.now());
    repository.update_qos_specs(&row).await?;
    repository.commit().await?;
    Ok(answer(StatusCode::OK, &body))
}
