//! `POST /attachments/{attachment_id}/action`: `os-complete`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, empty_json};
use super::super::microversion::Microversion;
use super::super::request::{Body, Call};
use super::super::volumes::only_key;
use super::{find_to_change, move_volume, target};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::{AttachmentStatus, VolumeStatus};

#[utoipa::path(
    post, path = "/v3/attachments/{attachment_id}/action", tag = "attachments",
    operation_id = "act_on_attachment",
    description = "`os-complete`, since 3.44: the host has attached the volume.",
    params(("attachment_id" = String, Path)),
    request_body = Object,
    responses(
        (status = 204, description = "The volume is in use"),
        (status = 400, description = "No such action"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such attachment"),
    ),
)]
pub async fn action(
    State(app): State<App>,
    call: Call,
    Path(id): Path<String>,
    Body(body): Body,
) -> Result<Response, Fault> {
    match only_key(&body)? {
        "os-complete" => call.since(Microversion::ATTACHMENT_COMPLETION)?,
        unknown => return Err(Fault::NoSuchAction(unknown.to_owned())),
    }
    let mut repository = app.database.begin().await?;
    let (mut attachment, volume) = find_to_change(&mut repository, &call, &id).await?;
    call.check(rules::ATTACHMENT_COMPLETE, &target(&attachment, &volume))?;
    let now = app.world.now();
    attachment.status = AttachmentStatus::Attached;
    attachment.attached_at.get_or_insert(now);
    repository.update_attachment(&attachment).await?;
    move_volume(&mut repository, &volume, VolumeStatus::InUse, now).await?;
    repository.commit().await?;
    Ok(empty_json(StatusCode::NO_CONTENT))
}
