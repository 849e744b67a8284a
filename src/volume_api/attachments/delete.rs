//! `DELETE /attachments/{attachment_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, answer};
use super::super::microversion::Microversion;
use super::super::request::Call;
use super::view::{Summaries, Summary};
use super::{Forgotten, check_deletable, find, find_to_change, remove, target};
use crate::http::App;
use crate::identity::policy::volume as rules;

#[utoipa::path(
    delete, path = "/v3/attachments/{attachment_id}", tag = "attachments", operation_id = "delete_attachment",
    description = "Since 3.27. Answers what is left of the volume's attachments.",
    params(("attachment_id" = String, Path)),
    responses(
        (status = 200, body = Summaries),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such attachment"),
        (status = 409, description = "A server uses the volume, no service asks, and Nova does not say that it has \
            forgotten it"),
    ),
)]
pub async fn delete(State(app): State<App>, call: Call, Path(id): Path<String>) -> Result<Response, Fault> {
    call.since(Microversion::ATTACHMENTS)?;
    let forgotten = forgotten(&app, &call, &id).await?;
    let mut repository = app.database.begin().await?;
    let (attachment, volume) = find_to_change(&mut repository, &call, &id).await?;
    call.check(rules::ATTACHMENT_DELETE, &target(&attachment, &volume))?;
    check_deletable(&app, &call, Some(&attachment), &forgotten)?;
    remove(&mut repository, &volume, Some(&attachment), app.world.now()).await?;
    let left = repository.attachments_of(&volume.id).await?;
    repository.commit().await?;
    Ok(answer(StatusCode::OK, &Summaries { attachments: left.iter().map(Summary::new).collect() }))
}

async fn forgotten(app: &App, call: &Call, id: &str) -> Result<Forgotten, Fault> {
    if !Forgotten::matters(app, call) {
        return Ok(Forgotten::default());
    }
    let mut repository = app.database.read().await?;
    let (attachment, volume) = find(&mut repository, call, id).await?;
    drop(repository);
    call.check(rules::ATTACHMENT_DELETE, &target(&attachment, &volume))?;
    Ok(Forgotten::ask(app, &volume, Some(&attachment)).await)
}
