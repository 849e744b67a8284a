//! `DELETE /volumes/{volume_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, empty, empty_json};
use super::super::microversion::Microversion;
use super::super::paging::flag;
use super::super::placement;
use super::super::request::Call;
use super::super::snapshots;
use super::{find, find_to_change, target};
use crate::db::{Page, Repository, SnapshotFilter, Volume, VolumeChange};
use crate::http::App;
use crate::identity::policy::Rule;
use crate::identity::policy::volume as rules;
use crate::jobs::{self, Task};
use crate::model::{MigrationStatus, SnapshotStatus, VolumeStatus};

#[utoipa::path(
    delete, path = "/v3/volumes/{volume_id}", tag = "volumes", operation_id = "delete_volume",
    description = "Also cancels the making of a volume that is not yet there, unless somebody has reserved \
        it.",
    params(
        ("volume_id" = String, Path),
        ("cascade" = Option<bool>, Query, description = "Its snapshots as well"),
        ("force" = Option<bool>, Query, description = "Since 3.23, for administrators"),
    ),
    responses(
        (status = 202, description = "It will be deleted"),
        (status = 400, description = "Its status forbids it, it has snapshots, somebody has it or has \
            reserved it, or its host is frozen"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such volume"),
        (status = 429, description = "Too many jobs of the project are under way"),
    ),
)]
pub async fn delete(State(app): State<App>, call: Call, Path(id): Path<String>) -> Result<Response, Fault> {
    let cascade = flag(&call.query, "cascade")?;
    let force = call.version >= Microversion::FORCED_DELETE && flag(&call.query, "force")?;
    let mut repository = app.database.begin().await?;
    let rule = if force { rules::FORCE_DELETE } else { rules::DELETE };
    let volume = held(&mut repository, &call, &id, rule, cascade).await?;
    remove(repository, &app, &call, volume, How { cascade, force }).await?;
    Ok(empty(StatusCode::ACCEPTED))
}

/// `os-force_delete`: whatever its status, unless an instance has it.
pub async fn force_delete(app: &App, call: &Call, id: &str) -> Result<Response, Fault> {
    let mut repository = app.database.begin().await?;
    let volume = held(&mut repository, call, id, rules::ADMIN_FORCE_DELETE, false).await?;
    remove(repository, app, call, volume, How { cascade: false, force: true }).await?;
    Ok(empty_json(StatusCode::ACCEPTED))
}

/// With its jobs, which come first, as with their workers: they are nobody's to hold who may not do it.
async fn held(
    repository: &mut Repository,
    call: &Call,
    id: &str,
    rule: Rule,
    cascade: bool,
) -> Result<Volume, Fault> {
    let volume = find(repository, call, id).await?;
    call.check(rule, &target(&volume))?;
    if cascade {
        repository.hold_jobs_of_snapshots(volume.id.as_str()).await?;
    }
    repository.hold_jobs(volume.id.as_str()).await?;
    let volume = find_to_change(repository, call, id).await?;
    call.check(rule, &target(&volume))?;
    Ok(volume)
}

#[derive(Clone, Copy)]
struct How {
    /// Its snapshots as well.
    cascade: bool,
    /// Whatever its status.
    force: bool,
}

async fn remove(
    mut repository: Repository,
    app: &App,
    call: &Call,
    volume: Volume,
    how: How,
) -> Result<(), Fault> {
    call.check(rules::DELETE, &target(&volume))?;
    let task = Task::DeleteVolume { volume_id: volume.id.clone() };
    let is_deleting = how.force && volume.status == VolumeStatus::Deleting;
    if is_deleting && jobs::is_open(&mut repository, &task).await? {
        return Ok(());
    }
    placement::check_not_frozen(&mut repository, app, volume.host.as_deref()).await?;
    if how.cascade {
        delete_snapshots(&mut repository, app, call, &volume, how).await?;
    } else if has_snapshots(&mut repository, &volume).await? {
        return Err(refused(how.force));
    }
    if is_attached(&mut repository, &volume).await? {
        return Err(refused(how.force));
    }
    // Otherwise its status was set by hand.
    if !is_deleting {
        mark(&mut repository, app, &volume, how).await?;
    }
    jobs::enqueue(&mut repository, &app.world, task, &call.context.origin()).await?;
    repository.commit().await?;
    Ok(())
}

/// To `deleting`; a job under way is told to stop.
async fn mark(repository: &mut Repository, app: &App, volume: &Volume, how: How) -> Result<(), Fault> {
    use VolumeStatus::*;
    let now = app.world.now();
    let is_ready = match volume.status {
        Available | Error | ErrorRestoring | ErrorExtending | ErrorManaging => true,
        // The real service keeps these.
        ErrorDeleting => true,
        // Unless somebody has reserved it meanwhile, which its status does not say.
        Creating | Downloading => how.force || repository.attachments_of(&volume.id).await?.is_empty(),
        other => how.force && other.may_become(Deleting),
    };
    let to = if volume.status == ErrorManaging { ErrorManagingDeleting } else { Deleting };
    let change = VolumeChange::default();
    if !is_ready
        || volume.migration_status.is_some_and(MigrationStatus::is_under_way)
        || !repository.change_volume(&volume.id, volume.status, to, &change, now).await?
    {
        return Err(refused(how.force));
    }
    if !volume.status.is_settled() {
        repository.cancel_jobs(volume.id.as_str(), now).await?;
    }
    Ok(())
}

/// The jobs of the snapshots come before the volume's own in the queue, which keeps their order.
async fn delete_snapshots(
    repository: &mut Repository,
    app: &App,
    call: &Call,
    volume: &Volume,
    how: How,
) -> Result<(), Fault> {
    for snapshot in repository.snapshots(&of_volume(volume), &Page::default()).await? {
        // Left to the project that the volume came from.
        if !call.guard.is_admin() && snapshot.project_id != volume.project_id {
            return Err(refused(how.force));
        }
        // Those that go already have their job.
        if snapshot.status != SnapshotStatus::Deleting
            && !snapshots::mark_deleting(repository, app, call, &snapshot, how.force).await?
        {
            return Err(refused(how.force));
        }
    }
    Ok(())
}

pub async fn has_snapshots(repository: &mut Repository, volume: &Volume) -> Result<bool, Fault> {
    Ok(repository.count_snapshots(&of_volume(volume)).await? > 0)
}

pub async fn is_attached(repository: &mut Repository, volume: &Volume) -> Result<bool, Fault> {
    Ok(!repository.attached_to(&[&volume.id]).await?.is_empty())
}

fn of_volume(volume: &Volume) -> SnapshotFilter {
    SnapshotFilter { volume_id: Some(volume.id.to_string()), ..SnapshotFilter::default() }
}

pub fn refused(force: bool) -> Fault {
    let status =
        "status must be available or error or error_restoring or error_extending or error_managing and";
    Fault::InvalidVolume(format!(
        "Volume {} must not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, or be \
         disassociated from snapshots after volume transfer.",
        if force { "" } else { status }
    ))
}
