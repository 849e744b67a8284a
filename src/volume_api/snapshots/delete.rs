//! `DELETE /snapshots/{snapshot_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, empty, empty_json};
use super::super::placement;
use super::super::request::Call;
use super::{find, find_to_change, target};
use crate::db::{Repository, Snapshot};
use crate::http::App;
use crate::identity::policy::Rule;
use crate::identity::policy::volume as rules;
use crate::jobs::{self, Task};
use crate::model::SnapshotStatus;

#[utoipa::path(
    delete, path = "/v3/snapshots/{snapshot_id}", tag = "snapshots", operation_id = "delete_snapshot",
    description = "Also cancels the making of a snapshot that is not yet there.",
    params(("snapshot_id" = String, Path)),
    responses(
        (status = 202, description = "It will be deleted"),
        (status = 400, description = "Its status forbids it, or its host is frozen"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such snapshot"),
        (status = 429, description = "Too many jobs of the project are under way"),
    ),
)]
pub async fn delete(State(app): State<App>, call: Call, Path(id): Path<String>) -> Result<Response, Fault> {
    let mut repository = app.database.begin().await?;
    let snapshot = held(&mut repository, &call, &id, rules::DELETE_SNAPSHOT).await?;
    check_not_frozen(&mut repository, &app, &snapshot).await?;
    if !mark_deleting(&mut repository, &app, &call, &snapshot, false).await? {
        return Err(refused());
    }
    repository.commit().await?;
    Ok(empty(StatusCode::ACCEPTED))
}

/// With its jobs, which come first, as with their workers: they are nobody's to hold who may not do it.
async fn held(repository: &mut Repository, call: &Call, id: &str, rule: Rule) -> Result<Snapshot, Fault> {
    let snapshot = find(repository, call, id).await?;
    call.check(rule, &target(&snapshot))?;
    repository.hold_jobs(snapshot.id.as_str()).await?;
    let snapshot = find_to_change(repository, call, id).await?;
    call.check(rule, &target(&snapshot))?;
    Ok(snapshot)
}

/// Nothing changes in a place that is frozen.
pub(super) async fn check_not_frozen(
    repository: &mut Repository,
    app: &App,
    snapshot: &Snapshot,
) -> Result<(), Fault> {
    let volume = repository.volume(&snapshot.volume_id).await?;
    let host = volume.and_then(|volume| volume.host);
    placement::check_not_frozen(repository, app, host.as_deref()).await
}

pub fn refused() -> Fault {
    Fault::InvalidSnapshot(
        "Snapshot status must be available or error and must not be part of a group.".to_owned(),
    )
}

/// `os-force_delete`: whatever its status.
pub async fn force_delete(app: &App, call: &Call, id: &str) -> Result<Response, Fault> {
    let mut repository = app.database.begin().await?;
    let snapshot = held(&mut repository, call, id, rules::SNAPSHOT_FORCE_DELETE).await?;
    call.check(rules::DELETE_SNAPSHOT, &target(&snapshot))?;
    let is_deleting = snapshot.status == SnapshotStatus::Deleting;
    if is_deleting && jobs::is_open(&mut repository, &task(&snapshot)).await? {
        return Ok(empty_json(StatusCode::ACCEPTED));
    }
    check_not_frozen(&mut repository, app, &snapshot).await?;
    if is_deleting {
        // Its status was set by hand.
        enqueue(&mut repository, app, call, &snapshot).await?;
    } else {
        mark_deleting(&mut repository, app, call, &snapshot, true).await?;
    }
    repository.commit().await?;
    Ok(empty_json(StatusCode::ACCEPTED))
}

fn task(snapshot: &Snapshot) -> Task {
    Task::DeleteSnapshot { snapshot_id: snapshot.id.clone(), volume_id: snapshot.volume_id.clone() }
}

async fn enqueue(
    repository: &mut Repository,
    app: &App,
    call: &Call,
    snapshot: &Snapshot,
) -> Result<(), Fault> {
    Ok(jobs::enqueue(repository, &app.world, task(snapshot), &call.context.origin()).await.map(drop)?)
}

/// To `deleting`, with the job that ends it. `false`: its status forbids that.
pub async fn mark_deleting(
    repository: &mut Repository,
    app: &App,
    call: &Call,
    snapshot: &Snapshot,
    force: bool,
) -> Result<bool, Fault> {
    use SnapshotStatus::*;
    let now = app.world.now();
    // A snapshot that is being made may be done by the time it is looked at again.
    let tries: &[SnapshotStatus] = match snapshot.status {
        Creating => &[Creating, Available, Error],
        Available => &[Available],
        Error => &[Error],
        ErrorDeleting => &[ErrorDeleting],
        Deleting => return Ok(false),
        other if force => &[other],
        Deleted | Updating | Unmanaging | BackingUp | Restoring => return Ok(false),
    };
    for &from in tries {
        if repository.change_snapshot(&snapshot.id, from, Deleting, now).await? {
            if from == Creating {
                repository.cancel_jobs(snapshot.id.as_str(), now).await?;
            }
            enqueue(repository, app, call, snapshot).await?;
            return Ok(true);
        }
    }
    Ok(false)
}
