//! `os-extend`

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::super::fault::{Fault, empty_json};
use super::super::microversion::Microversion;
use super::super::quotas::reserve;
use super::super::request::Call;
use super::super::schema::Object;
use super::super::types;
use super::{find_to_change, target};
use crate::db::{Volume, VolumeChange};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::jobs::{self, Task};
use crate::model::{Gib, VolumeStatus};

pub async fn extend(app: &App, call: &Call, id: &str, body: &Value) -> Result<Response, Fault> {
    let body = Object::body(body)?;
    let action = body.object("os-extend")?.ok_or(Fault::MalformedBody)?;
    let new_size = action.size("new_size", false)?;
    action.require("new_size")?;
    action.only(&["new_size"])?;
    let new_size = new_size.ok_or(Fault::Malformed)?;

    let mut repository = app.database.begin().await?;
    let volume = find_to_change(&mut repository, call, id).await?;
    let in_use = call.version >= Microversion::EXTEND_IN_USE && volume.status == VolumeStatus::InUse;
    call.check(if in_use { rules::EXTEND_ATTACHED } else { rules::EXTEND }, &target(&volume))?;
    check_growth(&volume, new_size)?;
    let volume_type = repository.volume_type(volume.volume_type_id.as_str()).await?;
    if let Some(volume_type) = &volume_type {
        types::check_size(volume_type, new_size)?;
    }
    let from = if in_use { VolumeStatus::InUse } else { VolumeStatus::Available };
    let change = VolumeChange { growing_to: Some(new_size), ..VolumeChange::default() };
    if volume.status == from {
        // After the status, as the real service has it, and before the volume counts as larger itself.
        reserve::extension(&mut repository, &app.config, &volume, new_size).await?;
    }
    if !repository.change_volume(&volume.id, from, VolumeStatus::Extending, &change, app.world.now()).await? {
        return Err(Fault::InvalidVolume(format!(
            "Volume {} status must be '{{'status': '{from}'}}' to extend, currently {}.",
            volume.id, volume.status
        )));
    }
    let task = Task::ExtendVolume { volume_id: volume.id, new_size };
    jobs::enqueue(&mut repository, &app.world, task, &call.context.origin()).await?;
    repository.commit().await?;
    Ok(empty_json(StatusCode::ACCEPTED))
}

fn check_growth(volume: &Volume, new_size: Gib) -> Result<(), Fault> {
    if new_size > volume.size {
        return Ok(());
    }
    Err(Fault::InvalidInput(format!(
        "New size for extend must be greater than current size. (current: {}, extended: {}).",
        volume.size.get(),
        new_size.get()
    )))
}
