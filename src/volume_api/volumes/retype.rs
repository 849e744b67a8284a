//! `os-retype`

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::super::fault::{Fault, empty};
use super::super::placement;
use super::super::quotas::reserve;
use super::super::request::Call;
use super::super::schema::Object;
use super::super::types;
use super::{find_to_change, migrate, target};
use crate::db::{Repository, Volume, VolumeChange, VolumeType};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::jobs::{self, Destination, Task};
use crate::model::{MigrationStatus, VolumeStatus};
use crate::scheduler::{self, Request};

pub async fn retype(app: &App, call: &Call, id: &str, body: &Value) -> Result<Response, Fault> {
    let body = Object::body(body)?;
    let action = body.object("os-retype")?.ok_or(Fault::MalformedBody)?;
    let new_type = action.any_text("new_type")?;
    let policy = action.one_text_of("migration_policy", &["string", "null"], &["on-demand", "never"])?;
    action.require("new_type")?;
    action.only(&["new_type", "migration_policy"])?;
    let new_type = new_type.ok_or(Fault::Malformed)?;

    let mut repository = app.database.begin().await?;
    let volume = find_to_change(&mut repository, call, id).await?;
    call.check(rules::RETYPE, &target(&volume))?;
    let new_type = types::by_id_or_name(&mut repository, call, new_type).await?;
    types::check_size(&new_type, volume.size)?;
    check_multiattach(call, &volume, &new_type)?;
    let statuses = [VolumeStatus::Available, VolumeStatus::InUse];
    if !statuses.contains(&volume.status)
        || volume.is_migrating()
        || volume.volume_type_id == new_type.id
        || !keeps_front_end(&mut repository, &volume, &new_type).await?
    {
        return Err(refused());
    }
    if repository.encryption(&new_type.id).await?.is_some() {
        return Err(Fault::NotImplemented("The encryption of volumes".to_owned()));
    }
    let to = destination(&mut repository, app, &volume, &new_type, policy == Some("on-demand")).await?;
    reserve::retype(&mut repository, &app.config, &volume, &new_type.name).await?;
    let now = app.world.now();
    let change = VolumeChange::default();
    if !repository.change_volume(&volume.id, volume.status, VolumeStatus::Retyping, &change, now).await? {
        return Err(refused());
    }
    repository.set_retyping_to(&volume.id, Some(&new_type.id)).await?;
    let from = migrate::place_of(app, &volume);
    if matches!(&to, Destination::Place { host, .. } if *host != from) {
        repository.set_migration_status(&volume.id, Some(MigrationStatus::Starting)).await?;
    }
    let task = Task::RetypeVolume { volume_id: volume.id, volume_type_id: new_type.id, from, to };
    jobs::enqueue(&mut repository, &app.world, task, &call.context.origin()).await?;
    repository.commit().await?;
    Ok(empty(StatusCode::ACCEPTED))
}

/// What several instances write at once cannot be changed under them.
fn check_multiattach(call: &Call, volume: &Volume, new_type: &VolumeType) -> Result<(), Fault> {
    let becomes = new_type.is_multiattach();
    if volume.multiattach == becomes {
        return Ok(());
    }
    if volume.status != VolumeStatus::Available {
        return Err(Fault::InvalidInput(format!(
            "Invalid volume_type passed, retypes affecting multiattach are only allowed on available volumes, the \
             specified volume however currently has a status of: {}.",
            volume.status
        )));
    }
    if becomes { call.check(rules::MULTIATTACH, &target(volume)) } else { Ok(()) }
}

/// Nobody tells the hypervisor of other limits while the volume is attached.
async fn keeps_front_end(
    repository: &mut Repository,
    volume: &Volume,
    new_type: &VolumeType,
) -> Result<bool, Fault> {
    if volume.status == VolumeStatus::Available {
        return Ok(true);
    }
    let old_type = repository.volume_type(volume.volume_type_id.as_str()).await?;
    let (old, new) = (old_type.and_then(|of| of.qos_specs_id), new_type.qos_specs_id.clone());
    if old == new {
        return Ok(true);
    }
    for id in [old, new].into_iter().flatten() {
        if repository.qos_specs(&id).await?.is_some_and(|specs| specs.consumer != "back-end") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// It stays where it is when the new type allows that. Otherwise it moves, if it may.
async fn destination(
    repository: &mut Repository,
    app: &App,
    volume: &Volume,
    new_type: &VolumeType,
    may_move: bool,
) -> Result<Destination, Fault> {
    let here = migrate::place_of(app, volume);
    let pools = placement::pools(repository, app).await?;
    let zones = types::zones(new_type);
    let in_zone = |zone: &str| match &zones {
        Some(zones) => zones.contains(&zone),
        None => zone == volume.availability_zone,
    };
    let request = Request {
        size: volume.size.get(),
        specs: Some(&new_type.extra_specs),
        lies_in: Some(&here),
        ..Request::default()
    };
    let fit: Vec<_> = pools.into_iter().filter(|pool| in_zone(&pool.zone)).collect();
    if let Some(pool) = fit.iter().find(|pool| pool.host == here && scheduler::fits(pool, &request)) {
        return Ok(Destination::Place { host: here.clone(), zone: pool.zone.clone() });
    }
    let nowhere = |why: &str| Ok(Destination::Nowhere { why: why.to_owned() });
    let Some(pool) = scheduler::choose(&fit, &request) else {
        return nowhere("No valid backend was found for the new type.");
    };
    if !may_move {
        return nowhere("Retype requires migration but is not allowed.");
    }
    migrate::check_attached(app, volume)?;
    if migrate::has_snapshots(repository, volume).await? {
        return nowhere("Volume must not have snapshots.");
    }
    if volume.is_replicated() {
        return nowhere("Volume must not be replicated.");
    }
    Ok(Destination::Place { host: pool.host.clone(), zone: pool.zone.clone() })
}

fn refused() -> Fault {
    Fault::InvalidVolume(
        "Retype needs volume to be in available or in-use state, not be part of an active migration or a consistency \
         group, requested type has to be different that the one from the volume, and for in-use volumes front-end qos \
         specs cannot change."
            .to_owned(),
    )
}
