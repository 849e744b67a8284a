//! `revert`: back to what the latest snapshot holds.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::super::fault::{Fault, empty_json};
use super::super::microversion::Microversion;
use super::super::python;
use super::super::request::Call;
use super::super::schema::Object;
use super::{find_to_change, target};
use crate::db::{Page, Repository, Snapshot, SnapshotFilter, Volume, VolumeChange};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::jobs::{self, Task};
use crate::model::{SnapshotStatus, VolumeStatus};

pub async fn revert(app: &App, call: &Call, id: &str, body: &Value) -> Result<Response, Fault> {
    call.since(Microversion::REVERT)?;
    let body = Object::body(body)?;
    let wanted = body.object("revert")?.ok_or(Fault::MalformedBody)?.string("snapshot_id")?.value();

    let mut repository = app.database.begin().await?;
    let volume = find_to_change(&mut repository, call, id).await?;
    let Some(latest) = latest(&mut repository, call, &volume).await? else {
        return Err(Fault::Invalid(format!("Volume {} doesn't have any snapshots.", volume.id)));
    };
    check(&volume, &latest, wanted)?;
    call.check(rules::REVERT, &target(&volume))?;
    begin(&mut repository, app, &volume, &latest).await?;
    let task = Task::RevertVolume { volume_id: volume.id, snapshot_id: latest.id };
    jobs::enqueue(&mut repository, &app.world, task, &call.context.origin()).await?;
    repository.commit().await?;
    Ok(empty_json(StatusCode::ACCEPTED))
}

/// A volume that was transferred may have snapshots that are still the former owner's.
async fn latest(
    repository: &mut Repository,
    call: &Call,
    volume: &Volume,
) -> Result<Option<Snapshot>, Fault> {
    let of_volume = SnapshotFilter {
        volume_id: Some(volume.id.to_string()),
        project_id: (!call.guard.is_admin()).then(|| call.context.project_id.to_string()),
        ..SnapshotFilter::default()
    };
    let newest = Page { limit: Some(1), ..Page::default() };
    Ok(repository.snapshots(&of_volume, &newest).await?.pop())
}

fn check(volume: &Volume, latest: &Snapshot, wanted: Option<&str>) -> Result<(), Fault> {
    if wanted != Some(latest.id.as_str()) {
        return Err(Fault::Invalid(format!(
            "Specified snapshot {} is None or not the latest one of volume {}.",
            wanted.map_or_else(|| python::repr(&Value::Null), str::to_owned),
            volume.id
        )));
    }
    if volume.size != latest.size {
        return Err(Fault::Invalid(format!(
            "Can't revert volume {} to its latest snapshot {}. The volume size must be equal to the snapshot size.",
            volume.id, latest.id
        )));
    }
    Ok(())
}

async fn begin(
    repository: &mut Repository,
    app: &App,
    volume: &Volume,
    snapshot: &Snapshot,
) -> Result<(), Fault> {
    let refused = |kind: &str, what: &str| {
        Fault::Stands(format!(
            "Invalid {kind}: Can't revert volume {} to its latest snapshot {}. {what}'s status must be 'available'.",
            volume.id, snapshot.id
        ))
    };
    let now = app.world.now();
    let (from, to, change) = (VolumeStatus::Available, VolumeStatus::Reverting, VolumeChange::default());
    if !repository.change_volume(&volume.id, from, to, &change, now).await? {
        return Err(refused("volume", "Volume"));
    }
    let (from, to) = (SnapshotStatus::Available, SnapshotStatus::Restoring);
    if !repository.change_snapshot(&snapshot.id, from, to, now).await? {
        return Err(refused("snapshot", "Snapshot"));
    }
    Ok(())
}
