//! `GET /attachments/{attachment_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, answer};
use super::super::microversion::Microversion;
use super::super::request::Call;
use super::find;
use super::view::{One, View};
use crate::http::App;

#[utoipa::path(
    get, path = "/v3/attachments/{attachment_id}", tag = "attachments", operation_id = "show_attachment",
    description = "Since 3.27.",
    params(("attachment_id" = String, Path)),
    responses((status = 200, body = One), (status = 404, description = "No such attachment")),
)]
pub async fn show(State(app): State<App>, call: Call, Path(id): Path<String>) -> Result<Response, Fault> {
    call.since(Microversion::ATTACHMENTS)?;
    let (attachment, _) = find(&mut app.database.read().await?, &call, &id).await?;
    Ok(answer(StatusCode::OK, &One { attachment: View::new(&attachment) }))
}
