//! `os-unmanage`: the snapshot is forgotten, and stays on the pool.

use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, empty};
use super::super::request::Call;
use super::delete::{check_not_frozen, refused};
use super::{find_to_change, target};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::jobs::{self, Task};
use crate::model::SnapshotStatus;

pub async fn unmanage(app: &App, call: &Call, id: &str) -> Result<Response, Fault> {
    let mut repository = app.database.begin().await?;
    let snapshot = find_to_change(&mut repository, call, id).await?;
    call.check(rules::UNMANAGE_SNAPSHOT, &target(&snapshot))?;
    call.check(rules::DELETE_SNAPSHOT, &target(&snapshot))?;
    check_not_frozen(&mut repository, app, &snapshot).await?;
    let (from, to) = (snapshot.status, SnapshotStatus::Unmanaging);
    if !matches!(from, SnapshotStatus::Available | SnapshotStatus::Error)
        || !repository.change_snapshot(&snapshot.id, from, to, app.world.now()).await?
    {
        return Err(refused());
    }
    let task = Task::UnmanageSnapshot { snapshot_id: snapshot.id, volume_id: snapshot.volume_id };
    jobs::enqueue(&mut repository, &app.world, task, &call.context.origin()).await?;
    repository.commit().await?;
    Ok(empty(StatusCode::ACCEPTED))
}
