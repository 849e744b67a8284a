//! `GET /qos-specs/{qos_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, answer};
use super::super::request::Call;
use super::find;
use super::view::One;
use crate::http::App;
use crate::identity::policy::volume as rules;

#[utoipa::path(
    get, path = "/v3/qos-specs/{qos_id}", tag = "qos-specs", operation_id = "show_qos_specs",
    params(("qos_id" = String, Path)),
    responses(
        (status = 200, body = One),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such QoS specs"),
    ),
)]
pub async fn show(State(app): State<App>, call: Call, Path(id): Path<String>) -> Result<Response, Fault> {
    call.check_own(rules::QOS_GET)?;
    let specs = find(&mut app.database.read().await?, &id).await?;
    Ok(answer(StatusCode::OK, &One::new(&specs, &call)))
}
