//! `DELETE /volumes/{volume_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, empty};
use super::super::microversion::Microversion;
use super::super::paging::flag;
use super::super::placement;
use super::super::request::Call;
use super::super::snapshots;
use super::{find_to_change, target};
use crate::db::{Page, Repository, SnapshotFilter, Volume, VolumeChange};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::jobs::{self, Task};
use crate::model::{SnapshotStatus, VolumeStatus};

#[utoipa::path(
    delete, path = "/v3/volumes/{volume_id}", tag = "volumes", operation_id = "delete_volume",
    description = "Also cancels the making of a volume that is not yet there.",
    params(
        ("volume_id" = String, Path),
        ("cascade" = Option<bool>, Query, description = "Its snapshots as well"),
        ("force" = Option<bool>, Query, description = "Since 3.23, for administrators"),
    ),
    responses(
        (status = 202, description = "It will be deleted"),
        (status = 400, description = "Its status forbids it, or it has snapshots"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such volume"),
    ),
)]
pub async fn delete(State(app): State<App>, call: Call, Path(id): Path<String>) -> Result<Response, Fault> {
    let cascade = flag(&call.query, "cascade")?;
    let force = call.version >= Microversion::FORCED_DELETE && flag(&call.query, "force")?;
    let mut repository = app.database.begin().await?;
    let volume = find_to_change(&mut repository, &call, &id).await?;
    if force {
        call.check(rules::FORCE_DELETE, &target(&volume))?;
    }
    call.check(rules::DELETE, &target(&volume))?;
    if force && volume.status == VolumeStatus::Deleting {
        return Ok(empty(StatusCode::ACCEPTED));
    }
    placement::check_not_frozen(&mut repository, &app, volume.host.as_deref()).await?;
    if volume.is_migrating() {
        return Err(refused());
    }
    if cascade {
        delete_snapshots(&mut repository, &app, &call, &volume).await?;
    } else if repository.count_snapshots(&of_volume(&volume)).await? > 0 {
        return Err(refused());
    }
    if !repository.attached_to(&[&volume.id]).await?.is_empty() {
        return Err(refused());
    }
    mark(&mut repository, &app, &call, volume, force).await?;
    repository.commit().await?;
    Ok(empty(StatusCode::ACCEPTED))
}

/// To `deleting`; a job under way is told to stop.
async fn mark(
    repository: &mut Repository,
    app: &App,
    call: &Call,
    volume: Volume,
    force: bool,
) -> Result<(), Fault> {
    use VolumeStatus::*;
    let now = app.world.now();
    let fits = match volume.status {
        Available | Error | ErrorExtending | ErrorDeleting | Creating | Downloading => true,
        Reserved | Attaching | Maintenance => force,
        InUse | Detaching | Extending | Retyping | Deleting => false,
    };
    if !fits
        || !repository
            .change_volume(&volume.id, volume.status, Deleting, &VolumeChange::default(), now)
            .await?
    {
        return Err(refused());
    }
    if !volume.status.is_settled() {
        repository.cancel_jobs(volume.id.as_str(), now).await?;
    }
    let task = Task::DeleteVolume { volume_id: volume.id };
    jobs::enqueue(repository, &app.world, task, &call.context.origin()).await?;
    Ok(())
}

/// The jobs of the snapshots come before the volume's own in the queue, which keeps their order.
async fn delete_snapshots(
    repository: &mut Repository,
    app: &App,
    call: &Call,
    volume: &Volume,
) -> Result<(), Fault> {
    for snapshot in repository.snapshots(&of_volume(volume), &Page::default()).await? {
        // Those that go already have their job.
        if snapshot.status != SnapshotStatus::Deleting
            && !snapshots::mark_deleting(repository, app, call, &snapshot).await?
        {
            return Err(Fault::InvalidVolume("Failed to update snapshot.".to_owned()));
        }
    }
    Ok(())
}

fn of_volume(volume: &Volume) -> SnapshotFilter {
    SnapshotFilter { volume_id: Some(volume.id.to_string()), ..SnapshotFilter::default() }
}

fn refused() -> Fault {
    Fault::InvalidVolume(
        "Volume status must be available or error or error_restoring or error_extending or error_managing and \
         must not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, or be \
         disassociated from snapshots after volume transfer."
            .to_owned(),
    )
}
