//! `GET /volume-transfers/{transfer_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, answer};
use super::super::request::Call;
use super::find;
use super::view::{One, View};
use crate::http::App;
use crate::identity::policy::volume as rules;

#[utoipa::path(
    get, path = "/v3/volume-transfers/{transfer_id}", tag = "transfers", operation_id = "show_transfer",
    params(("transfer_id" = String, Path)),
    responses(
        (status = 200, body = One),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such transfer"),
    ),
)]
pub async fn show(State(app): State<App>, call: Call, Path(id): Path<String>) -> Result<Response, Fault> {
    call.check_own(rules::GET_TRANSFER)?;
    let mut repository = app.database.read().await?;
    let transfer = find(&mut repository, &call, &id).await?;
    Ok(answer(StatusCode::OK, &One { transfer: View::new(&transfer, &call) }))
}
