//! `POST /snapshots`

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::super::fault::{Fault, answer};
use super::super::microversion::Microversion;
use super::super::placement;
use super::super::quotas::reserve;
use super::super::request::{Body, Call};
use super::super::schema::Object;
use super::super::volumes;
use super::view::{Depth, One, View};
use crate::config::Limits;
use crate::db::{Json, Snapshot, Volume};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::jobs::{self, Task};
use crate::model::{SnapshotId, SnapshotStatus, VolumeStatus};

#[utoipa::path(
    post, path = "/v3/snapshots", tag = "snapshots", operation_id = "create_snapshot",
    request_body = Object,
    responses(
        (status = 202, body = One),
        (status = 400, description = "The body is not usable, the volume's status forbids it, its host is \
            frozen, or the token is not scoped to a project"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such volume"),
        (status = 413, description = "There are too many snapshots"),
        (status = 429, description = "Too many jobs of the project are under way"),
    ),
)]
pub async fn create(State(app): State<App>, call: Call, Body(body): Body) -> Result<Response, Fault> {
    let wanted = Wanted::read(&body, &app.config.limits)?;
    let project = call.owner("A snapshot")?;
    let mut repository = app.database.begin().await?;
    let volume = volumes::find_to_change(&mut repository, &call, &wanted.volume_id).await?;
    let in_use_too = call.version >= Microversion::SNAPSHOT_IN_USE;
    if in_use_too && wanted.force == Some(false) {
        return Err(Fault::Invalid(
            "Since microversion 3.66 the 'force' flag is invalid for this request.  For backward compatability, \
             however, when the 'force' flag is passed with a value evaluating to True, it is silently ignored."
                .to_owned(),
        ));
    }
    call.check(rules::CREATE_SNAPSHOT, &volumes::target(&volume))?;
    placement::check_not_frozen(&mut repository, &app, volume.host.as_deref()).await?;
    check_volume(&volume, in_use_too || wanted.force == Some(true))?;
    reserve::snapshot(&mut repository, &app.config, project, &volume).await?;

    let snapshot = Snapshot {
        id: SnapshotId::from(app.world.ids.random()),
        volume_id: volume.id,
        project_id: project.clone(),
        user_id: call.context.user_id.clone(),
        name: wanted.name,
        description: wanted.description,
        size: volume.size,
        status: SnapshotStatus::Creating,
        previous_status: None,
        progress: None,
        metadata: Json(wanted.metadata),
        created_at: app.world.now(),
        updated_at: None,
    };
    repository.add_snapshot(&snapshot).await?;
    let task =
        Task::CreateSnapshot { snapshot_id: snapshot.id.clone(), volume_id: snapshot.volume_id.clone() };
    jobs::enqueue(&mut repository, &app.world, task, &call.context.origin()).await?;
    repository.commit().await?;
    Ok(answer(StatusCode::ACCEPTED, &One { snapshot: View::new(&snapshot, &call, Depth::Write) }))
}

/// Whether a volume in this state may get a snapshot.
pub fn check_volume(volume: &Volume, in_use_too: bool) -> Result<(), Fault> {
    let forbids = match volume.status {
        VolumeStatus::Maintenance => {
            Some("The snapshot cannot be created when the volume is in maintenance mode.")
        }
        _ if volume.is_migrating() => Some("Snapshot cannot be created while volume is migrating."),
        VolumeStatus::Error => Some("The snapshot cannot be created when the volume is in error status."),
        _ => None,
    };
    if let Some(refusal) = forbids {
        return Err(Fault::InvalidVolume(refusal.to_owned()));
    }
    let statuses: &[VolumeStatus] =
        if in_use_too { &[VolumeStatus::Available, VolumeStatus::InUse] } else { &[VolumeStatus::Available] };
    if !statuses.contains(&volume.status) {
        let names: Vec<&str> = statuses.iter().map(|status| status.as_str()).collect();
        return Err(Fault::InvalidVolume(format!(
            "Volume {} status must be {}, but current status is: {}.",
            volume.id,
            names.join(", "),
            volume.status
        )));
    }
    Ok(())
}

/// What the body says.
struct Wanted {
    volume_id: String,
    name: Option<String>,
    description: Option<String>,
    force: Option<bool>,
    metadata: BTreeMap<String, String>,
}

impl Wanted {
    fn read(body: &Value, limits: &Limits) -> Result<Self, Fault> {
        let body = Object::body(body)?;
        let snapshot = body.object("snapshot")?;
        let wanted = snapshot.map(|snapshot| Self::read_snapshot(&snapshot, limits)).transpose()?;
        body.require("snapshot")?;
        body.only(&["snapshot"])?;
        wanted.ok_or(Fault::Malformed)
    }

    fn read_snapshot(snapshot: &Object<'_>, limits: &Limits) -> Result<Self, Fault> {
        let name = snapshot.text("name")?;
        let display_name = snapshot.text("display_name")?;
        let description = snapshot.printable_text("description")?;
        let volume_id = snapshot.uuid("volume_id")?.value();
        let force = snapshot.boolean("force")?;
        let metadata = snapshot.metadata("metadata", true, limits)?.value().unwrap_or_default();
        snapshot.require("volume_id")?;
        snapshot.only(&["name", "display_name", "description", "volume_id", "force", "metadata"])?;
        let trimmed = |text: &str| text.trim().to_owned();
        Ok(Self {
            // The schema lets null pass, and then no volume has that name.
            volume_id: volume_id.unwrap_or("None").to_owned(),
            name: name.or(display_name).value().map(trimmed),
            description: description.value().map(trimmed),
            force,
            metadata,
        })
    }
}
