//! `os-unmanage`: the volume is forgotten, and its image stays on the pool.

use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, empty};
use super::super::placement;
use super::super::request::Call;
use super::delete::{has_snapshots, is_attached, refused};
use super::{find_to_change, target};
use crate::db::VolumeChange;
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::jobs::{self, Task};
use crate::model::VolumeStatus::*;

pub async fn unmanage(app: &App, call: &Call, id: &str) -> Result<Response, Fault> {
    let mut repository = app.database.begin().await?;
    let volume = find_to_change(&mut repository, call, id).await?;
    call.check(rules::UNMANAGE_VOLUME, &target(&volume))?;
    call.check(rules::DELETE, &target(&volume))?;
    placement::check_not_frozen(&mut repository, app, volume.host.as_deref()).await?;
    let to = match volume.status {
        Available | Error | ErrorRestoring | ErrorExtending => Unmanaging,
        ErrorManaging => ErrorManagingDeleting,
        _ => return Err(refused(false)),
    };
    if volume.is_migrating()
        || has_snapshots(&mut repository, &volume).await?
        || is_attached(&mut repository, &volume).await?
    {
        return Err(refused(false));
    }
    let change = VolumeChange::default();
    if !repository.change_volume(&volume.id, volume.status, to, &change, app.world.now()).await? {
        return Err(refused(false));
    }
    let task = Task::UnmanageVolume { volume_id: volume.id };
    jobs::enqueue(&mut repository, &app.world, task, &call.context.origin()).await?;
    repository.commit().await?;
    Ok(empty(StatusCode::ACCEPTED))
}
