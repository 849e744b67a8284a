//! Where new volumes go: what the scheduler is told, and what it says.

use std::collections::BTreeSet;

use super::fault::Fault;
use super::request::Call;
use super::schema::Object;
use crate::block::Backend;
use crate::db::{Page, Repository, Service, ServiceFilter, VolumeFilter};
use crate::http::App;
use crate::model::Host;
use crate::scheduler::{self, Pool, Request};

/// All places for volumes, as their services last told of them.
pub async fn pools(repository: &mut Repository, app: &App) -> Result<Vec<Pool>, Fault> {
    let filter = ServiceFilter { binary: Some(Service::VOLUME.to_owned()), ..ServiceFilter::default() };
    let services = repository.services(&filter).await?;
    let service_of = |host: &str| services.iter().find(|service| service.host == host);
    Ok(app.places.iter().map(|place| place.pool(service_of(&place.service()))).collect())
}

/// The place for a volume, if any will do.
pub async fn choose(
    repository: &mut Repository,
    app: &App,
    request: &Request<'_>,
) -> Result<Option<Pool>, Fault> {
    Ok(scheduler::choose(&pools(repository, app).await?, request).cloned())
}

/// The place in which a volume with this host lies, under its name of today.
pub fn place_of(app: &App, host: &str) -> Option<String> {
    let Backend { name, store } = app.stores.volumes.of(Some(host))?;
    Some(Host::ours(name, store.pool()).to_string())
}

/// Refuses to change what lies in a place that is frozen.
pub async fn check_not_frozen(
    repository: &mut Repository,
    app: &App,
    host: Option<&str>,
) -> Result<(), Fault> {
    let Some(backend) = app.stores.volumes.of(host) else { return Ok(()) };
    let place = Host::ours(&backend.name, "").to_string();
    match repository.service(&place, Service::VOLUME).await? {
        Some(service) if service.frozen => Err(Fault::InvalidInput(
            "Modification operations are not allowed on frozen storage backends.".to_owned(),
        )),
        _ => Ok(()),
    }
}

/// The volumes that a new one should lie beside, or apart from; then the hosts of these.
#[derive(Debug, Default)]
pub struct Hints {
    same: Option<BTreeSet<String>>,
    different: BTreeSet<String>,
}

pub const HINTS: &str = "OS-SCH-HNT:scheduler_hints";

impl Hints {
    /// `local_to_instance` and `query` are read and change nothing, as in the real service with its default filters:
    /// no instance runs where the bytes of a pool lie.
    pub fn read(body: &Object<'_>) -> Result<Self, Fault> {
        body.object_or(HINTS, &["object", "null"])?;
        let Some(hints) = body.object(HINTS).ok().flatten() else { return Ok(Self::default()) };
        hints.uuid("local_to_instance")?;
        let different = hints.uuids("different_host")?;
        let same = hints.uuids("same_host")?;
        hints.object_or("query", &["string", "object"])?;
        Ok(Self { same, different: different.unwrap_or_default() })
    }

    /// From volumes to their hosts. Volumes that are not there, or that the caller may not see, lie nowhere.
    pub async fn hosts(self, repository: &mut Repository, app: &App, call: &Call) -> Result<Self, Fault> {
        let same = match self.same.filter(|ids| !ids.is_empty()) {
            Some(ids) => Some(hosts_of(repository, app, call, ids).await?),
            None => None,
        };
        let different = hosts_of(repository, app, call, self.different).await?;
        Ok(Self { same, different })
    }

    pub fn borrowed(&self) -> scheduler::Hints<'_> {
        scheduler::Hints {
            same: self.same.as_ref().map(|hosts| hosts.iter().map(String::as_str).collect()),
            different: self.different.iter().map(String::as_str).collect(),
        }
    }
}

async fn hosts_of(
    repository: &mut Repository,
    app: &App,
    call: &Call,
    ids: BTreeSet<String>,
) -> Result<BTreeSet<String>, Fault> {
    if ids.is_empty() {
        return Ok(ids);
    }
    let filter = VolumeFilter { id: Some(ids.into_iter().collect()), ..VolumeFilter::default() };
    let volumes = repository.volumes(&filter, &Page::default()).await?;
    let seen = volumes.iter().filter(|volume| call.may_see(&volume.project_id));
    Ok(seen.filter_map(|volume| place_of(app, volume.host.as_deref()?)).collect())
}
