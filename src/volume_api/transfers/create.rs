//! `POST /volume-transfers`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::super::fault::{Fault, answer};
use super::super::microversion::Microversion;
use super::super::request::{Body, Call};
use super::super::schema::{Object, only_object};
use super::super::volumes;
use super::key::Key;
use super::view::{One, View};
use crate::db::{Repository, Transfer, Volume, VolumeChange};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::{SnapshotStatus, TransferId, VolumeStatus};

#[utoipa::path(
    post, path = "/v3/volume-transfers", tag = "transfers", operation_id = "create_transfer",
    description = "Offers a volume (`volume_id`) to whoever has the key in the answer, which is told once; with its \
        snapshots, unless `no_snapshots` (since 3.55) says otherwise.",
    request_body = Object,
    responses(
        (status = 202, body = One),
        (status = 400, description = "The body is not usable, or the status of the volume or a snapshot forbids it"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such volume"),
    ),
)]
pub async fn create(State(app): State<App>, call: Call, Body(body): Body) -> Result<Response, Fault> {
    offer(&app, &call, &body, call.version >= Microversion::TRANSFER_SNAPSHOTS).await
}

#[utoipa::path(
    post, path = "/v3/os-volume-transfer", tag = "transfers", operation_id = "create_transfer_by_old_name",
    description = "Always with the volume's snapshots.",
    request_body = Object,
    responses(
        (status = 202, body = One),
        (status = 400, description = "The body is not usable, or the status of the volume or a snapshot forbids it"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such volume"),
    ),
)]
pub async fn old_create(State(app): State<App>, call: Call, Body(body): Body) -> Result<Response, Fault> {
    offer(&app, &call, &body, false).await
}

async fn offer(app: &App, call: &Call, body: &Value, may_leave_snapshots: bool) -> Result<Response, Fault> {
    let wanted = only_object(body, "transfer", |fields| Wanted::read(fields, may_leave_snapshots))?;
    let mut repository = app.database.begin().await?;
    let volume = volumes::find_to_change(&mut repository, call, &wanted.volume_id).await?;
    call.check(rules::CREATE_TRANSFER, &volumes::target(&volume))?;
    let (from, to) = (VolumeStatus::Available, VolumeStatus::AwaitingTransfer);
    let now = app.world.now();
    if volume.status != from
        || !repository.change_volume(&volume.id, from, to, &VolumeChange::default(), now).await?
    {
        return Err(Fault::InvalidVolume("status must be available".to_owned()));
    }
    if !wanted.no_snapshots {
        check_snapshots(&mut repository, &volume).await?;
    }
    let key = Key::random(&app.world)?;
    let transfer = Transfer {
        id: TransferId::from(app.world.ids.random()),
        volume_id: volume.id,
        source_project_id: volume.project_id,
        name: wanted.name,
        salt: key.salt,
        key_hash: key.hash,
        no_snapshots: wanted.no_snapshots,
        created_at: now,
    };
    repository.add_transfer(&transfer).await?;
    repository.commit().await?;
    Ok(answer(StatusCode::ACCEPTED, &One { transfer: View::new(&transfer, call).with_key(&key.key) }))
}

async fn check_snapshots(repository: &mut Repository, volume: &Volume) -> Result<(), Fault> {
    for snapshot in repository.snapshots_to_change(&volume.id, &volume.project_id).await? {
        if snapshot.status != SnapshotStatus::Available {
            return Err(Fault::InvalidSnapshot(format!(
                "snapshot: {} status must be available",
                snapshot.id
            )));
        }
    }
    Ok(())
}

/// What the body says.
struct Wanted {
    volume_id: String,
    name: Option<String>,
    no_snapshots: bool,
}

impl Wanted {
    fn read(fields: &Object<'_>, may_leave_snapshots: bool) -> Result<Self, Fault> {
        let volume_id = fields.plain_uuid("volume_id")?;
        let name = fields.trimmed_name_or_null("name")?;
        let no_snapshots = if may_leave_snapshots { fields.boolean("no_snapshots")? } else { None };
        fields.require("volume_id")?;
        fields.only(if may_leave_snapshots {
            &["volume_id", "name", "no_snapshots"]
        } else {
            &["volume_id", "name"]
        })?;
        Ok(Self {
            volume_id: volume_id.ok_or(Fault::Malformed)?.to_owned(),
            name: name.map(str::to_owned),
            no_snapshots: no_snapshots.unwrap_or(false),
        })
    }
}
