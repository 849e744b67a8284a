//! `GET /snapshots/{snapshot_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, answer};
use super::super::request::Call;
use super::find;
use super::view::{Depth, One, View};
use crate::http::App;

#[utoipa::path(
    get, path = "/v3/snapshots/{snapshot_id}", tag = "snapshots", operation_id = "show_snapshot",
    params(("snapshot_id" = String, Path)),
    responses(
        (status = 200, body = One),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such snapshot"),
    ),
)]
pub async fn show(State(app): State<App>, call: Call, Path(id): Path<String>) -> Result<Response, Fault> {
    let mut repository = app.database.read().await?;
    let snapshot = find(&mut repository, &call, &id).await?;
    Ok(answer(StatusCode::OK, &One { snapshot: View::new(&snapshot, &call, Depth::read(&call)) }))
}
