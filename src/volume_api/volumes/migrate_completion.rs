//! `os-migrate_volume_completion`: what Nova says after it has moved an attached volume, or could not.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::super::fault::{Fault, answer};
use super::super::request::Call;
use super::super::schema::Object;
use super::action::Done;
use super::view::migration_status;
use super::{find, find_to_change, migrate, target};
use crate::db::{Repository, Volume, VolumeChange, VolumeMove};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::{MigrationStatus, Timestamp, VolumeId, VolumeStatus};

pub async fn complete(app: &App, call: &Call, id: &str, body: &Value) -> Result<Response, Fault> {
    let body = Object::body(body)?;
    let action = body.object("os-migrate_volume_completion")?.ok_or(Fault::MalformedBody)?;
    let new_volume = action.plain_uuid("new_volume")?;
    let error = action.says("error")?;
    action.require("new_volume")?;
    action.only(&["new_volume", "error"])?;
    let now = app.world.now();
    let mut repository = app.database.begin().await?;
    if let Some(id) = VolumeId::parse(id) {
        // The job that waits for this; before the rows, as its worker has it.
        repository.wake_jobs(id.as_str(), now).await?;
    }
    let volume = find_to_change(&mut repository, call, id).await?;
    call.check(rules::MIGRATE_COMPLETION, &target(&volume))?;
    let new_volume = new_volume.unwrap_or_default();
    let found = find(&mut repository, call, new_volume).await?;
    if volume.migration_status.is_none() && found.migration_status.is_none() {
        // Nova has put another volume in its place.
        return Ok(saved(&found));
    }
    let next = find_to_change(&mut repository, call, new_volume).await?;
    check(&volume, &next)?;
    if error {
        give_up(&mut repository, &next, now).await?;
    } else {
        change_over(&mut repository, &volume, &next, now).await?;
    }
    repository.commit().await?;
    Ok(saved(&volume))
}

#[derive(Serialize, ToSchema)]
#[schema(as = MigratedVolume)]
pub struct Saved<'a> {
    /// The volume that the server has from now on.
    save_volume_id: &'a str,
}

fn saved(volume: &Volume) -> Response {
    answer(StatusCode::OK, &Done::Completion(Saved { save_volume_id: volume.id.as_str() }))
}

fn check(volume: &Volume, next: &Volume) -> Result<(), Fault> {
    let why = match (volume.migration_status, migration_status(next)) {
        (None, _) => "Source volume not mid-migration.".to_owned(),
        (_, None) => "Destination volume not mid-migration.".to_owned(),
        _ if next.migration_status == Some(MigrationStatus::Target)
            && next.name_id.as_ref() == Some(&volume.id) =>
        {
            return Ok(());
        }
        (_, Some(status)) => {
            format!("Destination has migration_status {status}, expected target:{}.", volume.id)
        }
    };
    Err(Fault::InvalidVolume(why))
}

/// The job takes the copy away. Until then nobody attaches it.
async fn give_up(repository: &mut Repository, next: &Volume, now: Timestamp) -> Result<(), Fault> {
    if next.status.may_become(VolumeStatus::Deleting) {
        let (to, change) = (VolumeStatus::Deleting, VolumeChange::default());
        repository.change_volume(&next.id, next.status, to, &change, now).await?;
    }
    Ok(())
}

/// The copy is the volume from now on, and its attachments are the volume's. What the volume was, the job takes away.
async fn change_over(
    repository: &mut Repository,
    volume: &Volume,
    next: &Volume,
    now: Timestamp,
) -> Result<(), Fault> {
    // Bytes that nobody copied would be lost, and snapshots left behind.
    let is_attached = matches!(next.status, VolumeStatus::Attaching | VolumeStatus::InUse);
    if !is_attached || migrate::has_snapshots(repository, volume).await? {
        return Err(Fault::InvalidVolume(format!(
            "Volume {} must be attached, and volume {} must not have snapshots.",
            next.id, volume.id
        )));
    }
    let seen = repository.volume_used_at(&volume.id).await?;
    let change = VolumeMove {
        status: volume.status,
        seen: seen.unwrap_or(volume.created_at),
        host: next.host.clone().unwrap_or_default(),
        availability_zone: next.availability_zone.clone(),
        volume_type_id: Some(next.volume_type_id.clone()),
        multiattach: Some(next.multiattach),
    };
    if !repository.move_volume(&volume.id, &change, now).await? {
        return Err(Fault::internal("a volume changed under whoever held it"));
    }
    if !repository.attachments_of(&next.id).await?.is_empty() {
        let mut kept = volume.admin_metadata.0.clone();
        kept.remove("attached_mode");
        kept.extend(next.admin_metadata.0.clone());
        repository.set_admin_metadata(&volume.id, &kept, now).await?;
        repository.hand_attachments(&next.id, &volume.id).await?;
    }
    repository.set_replication_status(&volume.id, next.replication_status).await?;
    repository.set_migration_status(&volume.id, Some(MigrationStatus::Completing)).await?;
    repository.remove_volume(&next.id).await?;
    repository.follow_attachments(&volume.id, now).await?;
    Ok(())
}
