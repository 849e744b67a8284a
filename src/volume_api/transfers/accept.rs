//! `POST /volume-transfers/{transfer_id}/accept`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, answer};
use super::super::quotas::reserve;
use super::super::request::{Body, Call};
use super::super::schema::{Object, only_object};
use super::view::{OneSummary, Summary};
use super::{find_any, key};
use crate::db::{Repository, Snapshot, Transfer};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::{SnapshotStatus, VolumeStatus};

#[utoipa::path(
    post, path = "/v3/volume-transfers/{transfer_id}/accept", tag = "transfers",
    operation_id = "accept_transfer",
    description = "The volume belongs to the caller's project from now on: `auth_key` is the key. So do its \
        snapshots, unless the transfer is without them; those of a third project stay with that one.",
    params(("transfer_id" = String, Path)),
    request_body = Object,
    responses(
        (status = 202, body = OneSummary),
        (status = 400, description = "The key is wrong, or the status of the volume or a snapshot forbids it"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such transfer"),
        (status = 413, description = "The caller's project may not have that much"),
    ),
)]
pub async fn accept(
    State(app): State<App>,
    call: Call,
    Path(id): Path<String>,
    Body(body): Body,
) -> Result<Response, Fault> {
    let auth_key = only_object(&body, "accept", read)?;
    call.check_own(rules::ACCEPT_TRANSFER)?;
    let project = call.owner("A volume")?;
    let mut repository = app.database.begin().await?;
    let transfer = find_any(&mut repository, &id).await?;
    if !key::fits(&transfer, &auth_key)? {
        return Err(Fault::InvalidAuthKey(format!("Attempt to transfer {id} with invalid auth key.")));
    }
    let missing = || Fault::Missing("Volume", transfer.volume_id.to_string());
    let volume = repository.volume_to_change(&transfer.volume_id).await?.ok_or_else(missing)?;
    // It may have ended while the volume was waited for.
    find_any(&mut repository, &id).await?;
    // All locks before the quotas' turn.
    let snapshots = if transfer.no_snapshots {
        Vec::new()
    } else {
        repository.snapshots_to_change(&volume.id, &transfer.source_project_id).await?
    };
    reserve::volume(&mut repository, &app.config, project, &volume.volume_type_name, volume.size).await?;
    if volume.status == VolumeStatus::Maintenance {
        return Err(Fault::InvalidVolume(
            "The volume cannot accept transfer in maintenance mode.".to_owned(),
        ));
    }
    let (user, now) = (&call.context.user_id, app.world.now());
    if !repository.give_volume(&volume.id, project, user, now).await? {
        return Err(Fault::InvalidVolume(format!(
            "Transfer {id}: Volume id {} expected in awaiting-transfer state.",
            volume.id
        )));
    }
    // Of what is left of the quotas with the volume.
    reserve::snapshots(&mut repository, &app.config, project, &volume.volume_type_name, &snapshots).await?;
    for snapshot in &snapshots {
        give(&mut repository, &app, &call, &transfer, snapshot).await?;
    }
    repository.commit().await?;
    tracing::info!(volume.id = %volume.id, from.id = %volume.project_id, to.id = %project, "a volume was handed over");
    Ok(answer(StatusCode::ACCEPTED, &OneSummary { transfer: Summary::new(&transfer, &call) }))
}

async fn give(
    repository: &mut Repository,
    app: &App,
    call: &Call,
    transfer: &Transfer,
    snapshot: &Snapshot,
) -> Result<(), Fault> {
    if snapshot.status != SnapshotStatus::Available {
        return Err(Fault::InvalidSnapshot(format!(
            "Transfer {}: Snapshot {} is not in the expected available state.",
            transfer.id, snapshot.id
        )));
    }
    let context = &call.context;
    let now = app.world.now();
    Ok(repository.give_snapshot(&snapshot.id, &context.project_id, &context.user_id, now).await?)
}

fn read(fields: &Object<'_>) -> Result<String, Fault> {
    let key = fields.text_or_integer("auth_key")?;
    fields.require("auth_key")?;
    fields.only(&["auth_key"])?;
    key.ok_or(Fault::Malformed)
}
