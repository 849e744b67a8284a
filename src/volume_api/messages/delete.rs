//! `DELETE /messages/{message_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::super::fault::Fault;
use super::super::microversion::Microversion;
use super::super::request::Call;
use super::{find, target};
use crate::http::App;
use crate::identity::policy::volume as rules;

#[utoipa::path(
    delete, path = "/v3/messages/{message_id}", tag = "messages", operation_id = "delete_message",
    description = "Since 3.3.",
    params(("message_id" = String, Path)),
    responses(
        (status = 204, description = "It is gone"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such message"),
    ),
)]
pub async fn delete(State(app): State<App>, call: Call, Path(id): Path<String>) -> Result<Response, Fault> {
    call.since(Microversion::MESSAGES)?;
    let mut repository = app.database.begin().await?;
    let message = find(&mut repository, &call, &id).await?;
    call.check(rules::DELETE_MESSAGE, &target(&message))?;
    repository.remove_message(&message.id).await?;
    repository.commit().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
