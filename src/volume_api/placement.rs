//! Where new volumes go: what the scheduler is told, and what it says.

use std::collections::BTreeSet;

use super::fault::Fault;
use super::request::Call;
use super::schema::Object;
use super::services::is_up;
use crate::block::Backend;
use crate::db::{NewVolume, Repository, Service, ServiceFilter};
use crate::http::App;
use crate::model::Host;
use crate::scheduler::{self, Place, Pool, Request};

/// Volumes that are younger than what a service said of its place, and count beside that. Between two reports
/// fewer are made; should the reports stay away, nobody waits while all are counted.
const MOST_NEW: u32 = 2_000;

/// All places for volumes, as their services last told of them, with what was promised there since.
pub async fn pools(repository: &mut Repository, app: &App) -> Result<Vec<Pool>, Fault> {
    let filter = ServiceFilter { binary: Some(Service::VOLUME.to_owned()), ..ServiceFilter::default() };
    let services = repository.services(&filter).await?;
    let known: Vec<(&Place, Option<&Service>)> = app
        .places
        .iter()
        .map(|place| (place, services.iter().find(|service| service.host == place.service())))
        .collect();
    let oldest = known.iter().filter_map(|(_, service)| service.map(|service| service.seen_at)).min();
    let new = match oldest {
        Some(oldest) => repository.volumes_since(oldest, MOST_NEW).await?,
        None => Vec::new(),
    };
    let pool = |(place, service): (&Place, Option<&Service>)| {
        let promised = service.map_or(0, |service| promised_since(service, place, app, &new));
        place.pool(service, promised)
    };
    Ok(known.into_iter().map(pool).collect())
}

/// The GiB of the volumes there that the service did not know of yet.
fn promised_since(service: &Service, place: &Place, app: &App, new: &[NewVolume]) -> i64 {
    let lies_there =
        |host: &str| app.stores.volumes.of(Some(host)).is_some_and(|backend| *backend.name == *place.backend);
    let counts = |volume: &&NewVolume| volume.created_at > service.seen_at && lies_there(&volume.host);
    new.iter().filter(counts).map(|volume| volume.size.get()).sum()
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

/// The service that looks after the place in which a volume with this host lies.
async fn service_of(
    repository: &mut Repository,
    app: &App,
    host: Option<&str>,
) -> Result<Option<Service>, Fault> {
    // What no place would do for lies nowhere, and so in no place that is frozen.
    let Some(backend) = host.and_then(|host| app.stores.volumes.of(Some(host))) else { return Ok(None) };
    let place = Host::ours(&backend.name, "").to_string();
    Ok(repository.service(&place, Service::VOLUME).await?)
}

fn refuse_frozen(service: &Service) -> Result<(), Fault> {
    if service.frozen {
        return Err(Fault::InvalidInput(
            "Modification operations are not allowed on frozen storage backends.".to_owned(),
        ));
    }
    Ok(())
}

/// Refuses to change what lies in a place that is frozen.
pub async fn check_not_frozen(
    repository: &mut Repository,
    app: &App,
    host: Option<&str>,
) -> Result<(), Fault> {
    service_of(repository, app, host).await?.as_ref().map_or(Ok(()), refuse_frozen)
}

/// Refuses to take over what lies in a place that is not to be used, or of which nothing was heard for a
/// while. One that has not said anything yet is taken to be well.
pub async fn check_in_service(
    repository: &mut Repository,
    app: &App,
    host: Option<&str>,
) -> Result<(), Fault> {
    let Some(service) = service_of(repository, app, host).await? else { return Ok(()) };
    if service.disabled || !is_up(&service, app.world.now()) {
        return Err(Fault::Invalid("Service is unavailable at this time.".to_owned()));
    }
    refuse_frozen(&service)
}

/// The volumes that a new one should lie beside, or apart from; then the hosts of these.
#[derive(Debug, Default)]
pub struct Hints {
    same: Option<BTreeSet<String>>,
    different: BTreeSet<String>,
}

pub const HINTS: &str = "OS-SCH-HNT:scheduler_hints";

/// Volumes that one hint may name. They are looked up while nobody else can write; the real service has no
/// such bound.
const MOST_IN_A_HINT: usize = 1_000;

impl Hints {
    /// `local_to_instance` and `query` are read and change nothing, as in the real service with its default filters:
    /// no instance runs where the bytes of a pool lie.
    pub fn read(body: &Object<'_>) -> Result<Self, Fault> {
        body.object_or(HINTS, &["object", "null"])?;
        let Some(hints) = body.object(HINTS).ok().flatten() else { return Ok(Self::default()) };
        hints.uuid("local_to_instance")?;
        let different = hints.uuids("different_host")?;
        let same = hints.uuids("same_host")?;
        for (key, ids) in [("different_host", &different), ("same_host", &same)] {
            if ids.as_ref().is_some_and(|ids| ids.len() > MOST_IN_A_HINT) {
                let message = format!("{key} names more than {MOST_IN_A_HINT} volumes.");
                return Err(Fault::InvalidInput(message));
            }
        }
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
    let ids: Vec<String> = ids.into_iter().collect();
    let lying = repository.hosts_of_volumes(&ids).await?;
    let seen = lying.iter().filter(|(project, _)| call.may_see(project));
    Ok(seen.filter_map(|(_, host)| place_of(app, host.as_deref()?)).collect())
}
