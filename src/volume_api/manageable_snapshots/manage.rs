//! `POST /manageable_snapshots`

use std::collections::BTreeMap;

use axum::extract::{MatchedPath, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::super::fault::{Fault, answer};
use super::super::manageable::{Reference, check_name, invalid_reference, sizes};
use super::super::placement;
use super::super::quotas::reserve;
use super::super::request::{Body, Call};
use super::super::schema::{Object, only_object};
use super::super::snapshots::check_volume;
use super::super::snapshots::view::{Depth, One, View};
use super::super::volumes;
use crate::block::SnapshotInfo;
use crate::config::Limits;
use crate::db::{Json, Snapshot, Volume};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::jobs::{self, Task};
use crate::model::{Gib, SnapshotId, SnapshotStatus};
use crate::workflows::{manageable, names};

#[utoipa::path(
    post, path = "/v3/manageable_snapshots", tag = "manageable snapshots", operation_id = "manage_snapshot",
    description = "Since 3.8. Makes a snapshot of a volume (`volume_id`) of one that its image has on the pool: `ref` is \
        `{\"source-name\": name}`.",
    request_body = Object,
    responses(
        (status = 202, body = One),
        (status = 400, description = "The body is not usable, the volume has no such snapshot, its host is \
            disabled, frozen or down, the token is not scoped to a project, or the snapshot's size is not a \
            whole number of GiB"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such volume"),
        (status = 413, description = "There are too many snapshots"),
        (status = 429, description = "Too many jobs of the project are under way"),
    ),
)]
pub async fn manage(
    State(app): State<App>,
    path: MatchedPath,
    call: Call,
    Body(body): Body,
) -> Result<Response, Fault> {
    check_name(&call, &path)?;
    let wanted = only_object(&body, "snapshot", |fields| Wanted::read(fields, &app.config.limits))?;
    let volume = volumes::find(&mut app.database.read().await?, &call, &wanted.volume_id).await?;
    call.check(rules::MANAGE_SNAPSHOT, &volumes::target(&volume))?;
    let project = call.owner("A snapshot")?;
    let reference = Reference::read(&wanted.reference)?;
    let host = volume.host.as_deref();
    placement::check_in_service(&mut app.database.read().await?, &app, host).await?;
    let (found, size) = look(&app, &volume, &reference).await?;

    let mut repository = app.database.begin().await?;
    let volume = volumes::find_to_change(&mut repository, &call, &wanted.volume_id).await?;
    call.check(rules::CREATE_SNAPSHOT, &volumes::target(&volume))?;
    // It may have been frozen while the store was asked.
    placement::check_in_service(&mut repository, &app, volume.host.as_deref()).await?;
    check_volume(&volume, true)?;
    if let Some(id) = names::snapshot_of(&reference.name)
        && repository.snapshot(&id).await?.is_some()
    {
        return Err(invalid_reference(&reference.name, "already managed"));
    }
    reserve::snapshot(&mut repository, &app.config, project, &volume).await?;
    let snapshot = Snapshot {
        id: SnapshotId::from(app.world.ids.random()),
        volume_id: volume.id,
        project_id: project.clone(),
        user_id: call.context.user_id.clone(),
        name: wanted.name,
        description: wanted.description,
        size,
        status: SnapshotStatus::Creating,
        previous_status: None,
        progress: None,
        metadata: Json(wanted.metadata),
        created_at: app.world.now(),
        updated_at: None,
    };
    repository.add_snapshot(&snapshot).await?;
    let task = Task::ManageSnapshot {
        snapshot_id: snapshot.id.clone(),
        volume_id: snapshot.volume_id.clone(),
        source: reference.name,
        was_protected: found.protected,
    };
    jobs::enqueue(&mut repository, &app.world, task, &call.context.origin()).await?;
    repository.commit().await?;
    Ok(answer(StatusCode::ACCEPTED, &One { snapshot: View::new(&snapshot, &call, Depth::Write) }))
}

/// The snapshot as the volume's image has it, and its size.
async fn look(app: &App, volume: &Volume, reference: &Reference) -> Result<(SnapshotInfo, Gib), Fault> {
    let name = &reference.name;
    let lost = || Fault::internal("the volume lies in a backend that is not configured");
    let backend = app.stores.volumes.of(volume.host.as_deref()).ok_or_else(lost)?;
    let snapshots = manageable::snapshots_of(&backend.store, &names::volume(&volume.id)).await?;
    let found = snapshots.into_iter().flatten().find(|snapshot| snapshot.name == *name);
    let found = found.ok_or_else(|| invalid_reference(name, "Specified snapshot does not exist."))?;
    if let Some(reason) = names::needed_for(name) {
        return Err(invalid_reference(name, reason));
    }
    let (_, exact) = sizes(found.size);
    let size = exact.ok_or_else(|| {
        let bytes = found.size;
        invalid_reference(name, &format!("Its size of {bytes} bytes is not a whole number of GiB."))
    })?;
    Ok((found, size))
}

/// What the body says.
struct Wanted {
    volume_id: String,
    name: Option<String>,
    description: Option<String>,
    metadata: BTreeMap<String, String>,
    reference: Value,
}

impl Wanted {
    fn read(fields: &Object<'_>, limits: &Limits) -> Result<Self, Fault> {
        let description = fields.printable_text("description")?.value();
        let metadata = fields.metadata("metadata", true, limits)?.value().unwrap_or_default();
        let name = fields.text("name")?.value();
        let volume_id = fields.plain_uuid("volume_id")?;
        fields.object_or("ref", &["object", "null", "string"])?;
        let reference = fields.fields().get("ref");
        fields.require("ref")?;
        fields.require("volume_id")?;
        fields.only(&["description", "metadata", "name", "volume_id", "ref"])?;
        Ok(Self {
            volume_id: volume_id.ok_or(Fault::Malformed)?.to_owned(),
            name: name.map(str::to_owned),
            description: description.map(str::to_owned),
            metadata,
            reference: match reference.ok_or(Fault::Malformed)? {
                // The driver takes a bare name as well.
                Value::String(name) => serde_json::json!({ "source-name": name }),
                other => other.clone(),
            },
        })
    }
}
