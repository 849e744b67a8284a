//! `PUT /attachments/{attachment_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::connection::{Cluster, Connector};
use super::super::fault::{Fault, answer};
use super::super::microversion::Microversion;
use super::super::request::{Body, Call};
use super::super::schema::only_object;
use super::view::{One, View};
use super::{connect, find, find_to_change, move_volume, target};
use crate::db::{Attachment, Repository, Volume};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::VolumeStatus;

#[utoipa::path(
    put, path = "/v3/attachments/{attachment_id}", tag = "attachments", operation_id = "update_attachment",
    description = "Since 3.27. Names the host, in `connector`, and says how it reaches the volume.",
    params(("attachment_id" = String, Path)),
    request_body = Object,
    responses(
        (status = 200, body = One),
        (status = 400, description = "The body is not usable"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such attachment"),
        (status = 409, description = "The volume's status forbids it, or another host has the volume"),
        (status = 501, description = "The volume lies in a store whose volumes cannot be attached"),
    ),
)]
pub async fn update(
    State(app): State<App>,
    call: Call,
    Path(id): Path<String>,
    Body(body): Body,
) -> Result<Response, Fault> {
    call.since(Microversion::ATTACHMENTS)?;
    let connector = only_object(&body, "attachment", |attachment| {
        let connector = attachment.object("connector")?;
        attachment.require("connector")?;
        attachment.only(&["connector"])?;
        match connector {
            Some(given) if given.fields().is_empty() => {
                Err(given.refuse("{} should be non-empty".to_owned()))
            }
            other => other.map(|given| Connector::new(given.fields())).ok_or(Fault::Malformed)?,
        }
    })?;
    let volume = {
        let mut repository = app.database.read().await?;
        let (attachment, volume) = find(&mut repository, &call, &id).await?;
        check(&mut repository, &call, &attachment, &volume).await?;
        volume
    };
    let cluster = Cluster::ask(&app, &volume, "Unable to update the attachment.").await?;

    let mut repository = app.database.begin().await?;
    let (mut attachment, volume) = find_to_change(&mut repository, &call, &id).await?;
    check(&mut repository, &call, &attachment, &volume).await?;
    let now = app.world.now();
    connect(&mut repository, &app, &cluster, &volume, &mut attachment, &connector, now).await?;
    repository.update_attachment(&attachment).await?;
    move_volume(&mut repository, &volume, VolumeStatus::Attaching, now).await?;
    repository.commit().await?;
    // As it is now: the real service shows what it was before.
    Ok(answer(StatusCode::OK, &One { attachment: View::new(&attachment) }))
}

/// Refuses what the caller, the volume's status, or another attachment forbids.
async fn check(
    repository: &mut Repository,
    call: &Call,
    attachment: &Attachment,
    volume: &Volume,
) -> Result<(), Fault> {
    call.check(rules::ATTACHMENT_UPDATE, &target(attachment, volume))?;
    if volume.status.is_error() || volume.status == VolumeStatus::Deleting {
        return Err(Fault::Conflict(format!(
            "Volume attachments can not be updated if the volume is in an error state. The Volume {} currently has a \
             status of: {} ",
            volume.id, volume.status
        )));
    }
    let attachments = repository.attachments_of(&volume.id).await?;
    let is_connected = attachments.iter().any(|attachment| attachment.access.is_some());
    if attachments.len() > 1 && !volume.multiattach && is_connected {
        return Err(Fault::Conflict(format!("duplicate connectors detected on volume {}", volume.id)));
    }
    Ok(())
}
