//! `GET /messages/{message_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, answer};
use super::super::microversion::Microversion;
use super::super::request::Call;
use super::view::{One, View};
use super::{find, target};
use crate::http::App;
use crate::identity::policy::volume as rules;

#[utoipa::path(
    get, path = "/v3/messages/{message_id}", tag = "messages", operation_id = "show_message",
    description = "Since 3.3.",
    params(("message_id" = String, Path)),
    responses(
        (status = 200, body = One),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such message"),
    ),
)]
pub async fn show(State(app): State<App>, call: Call, Path(id): Path<String>) -> Result<Response, Fault> {
    call.since(Microversion::MESSAGES)?;
    let mut repository = app.database.read().await?;
    let message = find(&mut repository, &call, &id).await?;
    call.check(rules::GET_MESSAGE, &target(&message))?;
    Ok(answer(StatusCode::OK, &One { message: View::new(&message, &call, &app.config) }))
}
