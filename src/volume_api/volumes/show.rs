//! `GET /volumes/{volume_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, answer};
use super::super::request::Call;
use super::attached::Attached;
use super::find;
use super::view::{One, Place, View};
use crate::http::App;

#[utoipa::path(
    get, path = "/v3/volumes/{volume_id}", tag = "volumes", operation_id = "show_volume",
    params(("volume_id" = String, Path)),
    responses((status = 200, body = One), (status = 404, description = "No such volume")),
)]
pub async fn show(State(app): State<App>, call: Call, Path(id): Path<String>) -> Result<Response, Fault> {
    let mut repository = app.database.read().await?;
    let volume = find(&mut repository, &call, &id).await?;
    let attached = Attached::to(&mut repository, std::slice::from_ref(&volume)).await?;
    let volume = View::new(&volume, &attached, &call, Place::read(&call));
    Ok(answer(StatusCode::OK, &One { volume }))
}
