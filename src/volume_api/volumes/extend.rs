//! `os-extend`

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::super::fault::Fault;
use super::super::microversion::Microversion;
use super::super::request::Call;
use super::super::schema::Object;
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
    let limit = app.config.limits.max_volume_size;
    if new_size.get().unsigned_abs() > limit {
        return Err(Fault::TooLarge { size: new_size.get(), limit });
    }
    let from = if in_use { VolumeStatus::InUse } else { VolumeStatus::Available };
    let change = VolumeChange::default();
    if !repository.change_volume(&volume.id, from, VolumeStatus::Extending, &change, app.world.now()).await? {
        return Err(Fault::InvalidVolume(format!(
            "Volume {} status must be '{{'status': '{from}'}}' to extend, currently {}.",
            volume.id, volume.status
        )));
    }
    let task = Task::ExtendVolume { volume_id: volume.id, new_size };
    jobs::enqueue(&mut repository, &app.world, task, &call.context.origin()).await?;
    repository.commit().await?;
    // The real service calls nothing at all JSON here.
    Ok((StatusCode::ACCEPTED, [(CONTENT_TYPE, "application/json")]).into_response())
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
