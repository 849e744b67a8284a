//! `os-migrate_volume`

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::super::fault::{Fault, empty};
use super::super::microversion::Microversion;
use super::super::placement;
use super::super::request::Call;
use super::super::schema::Object;
use super::super::services::is_up;
use super::{find_to_change, target};
use crate::db::{Repository, Service, SnapshotFilter, Volume, VolumeChange};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::jobs::{self, Destination, Task};
use crate::model::{Host, MigrationStatus, VolumeStatus};
use crate::scheduler::{self, Request};

/// The place in which a volume lies, under its name of today.
pub fn place_of(app: &App, volume: &Volume) -> String {
    let host = volume.host.as_deref().unwrap_or_default();
    placement::place_of(app, host).unwrap_or_else(|| host.to_owned())
}

pub async fn has_snapshots(repository: &mut Repository, volume: &Volume) -> Result<bool, Fault> {
    let of_volume = SnapshotFilter { volume_id: Some(volume.id.to_string()), ..SnapshotFilter::default() };
    Ok(repository.count_snapshots(&of_volume).await? > 0)
}

/// `force_host_copy` is as good as given always: the bytes are copied by us.
pub async fn migrate(app: &App, call: &Call, id: &str, body: &Value) -> Result<Response, Fault> {
    let wanted = Wanted::read(body, call)?;
    let mut repository = app.database.begin().await?;
    let volume = find_to_change(&mut repository, call, id).await?;
    call.check(rules::MIGRATE, &target(&volume))?;
    let host = wanted.host(call)?;
    let service = Host::parse(host);
    let service = Host { pool: "", ..service }.to_string();
    let now = app.world.now();
    let alive = repository.service(&service, Service::VOLUME).await?;
    if alive.is_none_or(|service| !is_up(&service, now) || service.disabled) {
        return Err(Fault::Invalid(format!("Invalid host: No available service named '{host}'")));
    }
    let from = place_of(app, &volume);
    if !matches!(volume.status, VolumeStatus::Available | VolumeStatus::InUse)
        || volume.is_migrating()
        || volume.is_replicated()
        || from == host
        || has_snapshots(&mut repository, &volume).await?
    {
        return Err(refused(&volume));
    }
    check_attached(app, &volume)?;
    let to = destination(&mut repository, app, &volume, host).await?;
    if wanted.lock_volume && volume.status == VolumeStatus::Available {
        let change = VolumeChange::default();
        let (from, to) = (VolumeStatus::Available, VolumeStatus::Maintenance);
        if !repository.change_volume(&volume.id, from, to, &change, now).await? {
            return Err(refused(&volume));
        }
    }
    repository.set_migration_status(&volume.id, Some(MigrationStatus::Starting)).await?;
    let task = Task::MigrateVolume { volume_id: volume.id, from, to };
    jobs::enqueue(&mut repository, &app.world, task, &call.context.origin()).await?;
    repository.commit().await?;
    Ok(empty(StatusCode::ACCEPTED))
}

/// What an instance has only its Nova can move.
pub fn check_attached(app: &App, volume: &Volume) -> Result<(), Fault> {
    if volume.status == VolumeStatus::InUse && app.config.nova.credentials().is_none() {
        return Err(Fault::NotImplemented("The migration of attached volumes without a Nova".to_owned()));
    }
    Ok(())
}

/// The pool that was named, or the only one of the backend that was.
async fn destination(
    repository: &mut Repository,
    app: &App,
    volume: &Volume,
    host: &str,
) -> Result<Destination, Fault> {
    let volume_type = repository.volume_type(volume.volume_type_id.as_str()).await?;
    let asked = Host::parse(host);
    let is_asked = |place: &str| {
        let place = Host::parse(place);
        place.backend == asked.backend && (asked.pool.is_empty() || place.pool == asked.pool)
    };
    let request = Request {
        size: volume.size.get(),
        specs: volume_type.as_ref().map(|of| &*of.extra_specs),
        ..Request::default()
    };
    let pools = placement::pools(repository, app).await?;
    let found = pools.into_iter().find(|pool| is_asked(&pool.host) && scheduler::fits(pool, &request));
    Ok(match found {
        Some(pool) => Destination::Place { host: pool.host, zone: pool.zone },
        None => Destination::Nowhere { why: format!("Cannot place volume {} on {host}.", volume.id) },
    })
}

fn refused(volume: &Volume) -> Fault {
    Fault::InvalidVolume(format!(
        "Volume {} status must be available or in-use, must not be migrating, have snapshots, be replicated, be part \
         of a group and destination host/cluster must be different than the current one",
        volume.id
    ))
}

/// What the body says.
struct Wanted<'a> {
    host: Option<&'a str>,
    cluster: Option<&'a str>,
    lock_volume: bool,
}

impl<'a> Wanted<'a> {
    fn read(body: &'a Value, call: &Call) -> Result<Self, Fault> {
        let has_clusters = call.version >= Microversion::MIGRATE_TO_CLUSTER;
        let body = Object::body(body)?;
        let action = body.object("os-migrate_volume")?.ok_or(Fault::MalformedBody)?;
        let host = if has_clusters { action.text("host")?.value() } else { action.plain_text("host", 0)? };
        action.boolean("force_host_copy")?;
        let lock_volume = action.boolean("lock_volume")?.unwrap_or(false);
        let mut known = vec!["host", "force_host_copy", "lock_volume"];
        let cluster = if has_clusters {
            known.push("cluster");
            action.text("cluster")?.value()
        } else {
            action.require("host")?;
            None
        };
        action.only(&known)?;
        Ok(Self { host, cluster, lock_volume })
    }

    /// There are no clusters.
    fn host(&self, call: &Call) -> Result<&'a str, Fault> {
        let given = |text: Option<&'a str>| text.filter(|text| !text.is_empty());
        match (given(self.host), given(self.cluster)) {
            (Some(host), None) => Ok(host),
            (None, Some(cluster)) => {
                Err(Fault::Invalid(format!("Invalid host: No available service named '{cluster}'")))
            }
            _ if call.version >= Microversion::MIGRATE_TO_CLUSTER => {
                Err(Fault::InvalidInput("One and only one of cluster and host must be set.".to_owned()))
            }
            _ => Err(Fault::InvalidInput("Host field is missing.".to_owned())),
        }
    }
}
