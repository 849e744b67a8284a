//! `os-reimage`

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::super::fault::{Fault, empty_json};
use super::super::microversion::Microversion;
use super::super::request::Call;
use super::super::schema::Object;
use super::create::image;
use super::{find_to_change, target};
use crate::db::{Image, Repository, VolumeChange};
use crate::http::{App, images};
use crate::identity::policy::{Access, Api, Guard, volume as rules};
use crate::jobs::{self, Task};
use crate::model::{ImageId, VolumeStatus};

pub async fn reimage(app: &App, call: &Call, id: &str, body: &Value) -> Result<Response, Fault> {
    call.since(Microversion::REIMAGE)?;
    let body = Object::body(body)?;
    let action = body.object("os-reimage")?.ok_or(Fault::MalformedBody)?;
    let image_id = action.plain_uuid("image_id")?;
    let reserved_too = action.boolean("reimage_reserved")?.unwrap_or(false);
    action.require("image_id")?;
    action.only(&["image_id", "reimage_reserved"])?;
    let image_id = image_id.ok_or(Fault::MalformedBody)?;

    // Cinder asks the image service on the caller's behalf: its rules decide.
    let guard = Guard::new(&app.policies, Api::Image, call.context.caller.clone());
    let signed_by = image::signed_by(app, call, image_id).await;
    let mut repository = app.database.begin().await?;
    let volume = find_to_change(&mut repository, call, id).await?;
    let image = find_image(&mut repository, &guard, call, image_id).await?;
    if image::snapshot_of_server(&image).is_some() {
        return Err(Fault::NotImplemented("A reimage from the snapshot of a server's volume".to_owned()));
    }
    let image = image::hold(&mut repository, image).await?;
    let is_reserved = volume.status == VolumeStatus::Reserved;
    call.check(if is_reserved { rules::REIMAGE_RESERVED } else { rules::REIMAGE }, &target(&volume))?;
    if repository.attachments_of(&volume.id).await?.len() > 1 {
        return Err(Fault::Conflict(
            "Cannot re-image a volume which is attached to more than one server.".to_owned(),
        ));
    }
    let (change, now) = (VolumeChange::default(), app.world.now());
    let may = matches!(volume.status, VolumeStatus::Available | VolumeStatus::Error)
        || (reserved_too && is_reserved);
    if !may
        || !repository
            .change_volume(&volume.id, volume.status, VolumeStatus::Downloading, &change, now)
            .await?
    {
        let statuses = if reserved_too { "available or error or reserved" } else { "available or error" };
        return Err(Fault::InvalidVolume(format!(
            "Volume {} status must be {statuses}, but current status is {}.",
            volume.id, volume.status
        )));
    }
    image::check(&image, volume.size)?;
    let is_readable = |name: &&String| guard.allows_property(Access::Read, name);
    let readable = Some(image.properties.0.keys().filter(is_readable).cloned().collect());
    let task = Task::Reimage { volume_id: volume.id, image_id: image.id, signed_by, readable };
    jobs::enqueue(&mut repository, &app.world, task, &call.context.origin()).await?;
    repository.commit().await?;
    Ok(empty_json(StatusCode::ACCEPTED))
}

async fn find_image(
    repository: &mut Repository,
    guard: &Guard,
    call: &Call,
    id: &str,
) -> Result<Image, Fault> {
    if let Some(id) = ImageId::parse(id)
        && let Some(image) = repository.image(&id).await?
        && images::may_get(repository, &image, guard, &call.context.project_id).await?
    {
        return Ok(image);
    }
    Err(Fault::Missing("Image", id.to_owned()))
}
