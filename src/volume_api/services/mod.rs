//! `/os-services`: what runs, as it said itself, and what administrators say of it.
//!
//! All our processes are one host: each does everything, on every backend. Each backend is a `cinder-volume` of that
//! host, and is up as long as one process is.

mod disable;
mod enable;
mod failover;
mod freeze;
mod get_log;
mod list;
mod log_levels;
mod set_log;
mod thaw;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::fault::Fault;
use super::microversion::Microversion;
use super::request::Call;
use super::schema::Object;
use crate::db::{Repository, Service, ServiceFilter};
use crate::http::App;
use crate::model::Timestamp;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list::list))
        .routes(routes!(enable::enable))
        .routes(routes!(disable::disable))
        .routes(routes!(disable::disable_log_reason))
        .routes(routes!(freeze::freeze))
        .routes(routes!(thaw::thaw))
        .routes(routes!(failover::failover_host))
        .routes(routes!(set_log::set_log))
        .routes(routes!(get_log::get_log))
}

/// Seconds after its last sign of life that a service counts as alive.
const ALIVE: i64 = 60;

pub fn is_up(service: &Service, now: Timestamp) -> bool {
    service.seen_at.plus_seconds(ALIVE) >= now
}

/// What a host may be called in a body.
fn host<'a>(body: &Object<'a>) -> Result<Option<&'a str>, Fault> {
    body.host_name("host", "[]")
}

fn required(host: Option<&str>) -> Result<&str, Fault> {
    host.filter(|host| !host.is_empty())
        .ok_or_else(|| Fault::InvalidInput("Host field is missing.".to_owned()))
}

/// What enable and disable answer. The order of the fields is the order of the keys.
#[derive(Serialize, ToSchema)]
#[schema(as = SwitchedService)]
struct Switched<'a> {
    host: String,
    service: &'a str,
    binary: &'a str,
    status: &'static str,
    disabled: bool,
    /// Where it may be given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    disabled_reason: Option<Option<&'a str>>,
}

/// What the bodies of enable and disable say.
struct Named<'a> {
    host: Option<&'a str>,
    /// The old name of `binary`, which wins.
    service: &'a str,
    binary: &'a str,
    disabled_reason: Option<&'a str>,
}

impl<'a> Named<'a> {
    fn read(body: &Object<'a>, with_reason: bool) -> Result<Self, Fault> {
        let binary = body.plain_text("binary", 1)?;
        let host = host(body)?;
        body.text("cluster")?;
        let service = body.plain_text("service", 1)?;
        let disabled_reason = if with_reason { body.plain_text("disabled_reason", 1)? } else { None };
        if disabled_reason.is_some_and(|reason| reason.trim().is_empty()) {
            return Err(Fault::InvalidInput(
                "disabled_reason has a minimum character requirement of 1.".to_owned(),
            ));
        }
        if binary.is_none() && service.is_none() {
            return Err(body.refuse(format!("{} is not valid under any of the given schemas", body.repr())));
        }
        let known: &[&str] = if with_reason {
            &["binary", "host", "cluster", "service", "disabled_reason"]
        } else {
            &["binary", "host", "cluster", "service"]
        };
        body.only(known)?;
        let (binary, service) = (binary.unwrap_or_default(), service.unwrap_or_default());
        Ok(Self { host, service, binary, disabled_reason })
    }

    async fn find_to_change(&self, repository: &mut Repository) -> Result<Service, Fault> {
        let host = required(self.host)?;
        let binary = if self.binary.is_empty() { self.service } else { self.binary };
        repository
            .service_to_change(host, binary)
            .await?
            .ok_or_else(|| Fault::NoSuch(format!("Service {binary} could not be found on host {host}.")))
    }
}

/// The one place for volumes that freeze, thaw and failover mean.
async fn place(repository: &mut Repository, host: &str) -> Result<Service, Fault> {
    let filter = ServiceFilter {
        host: Some(host.to_owned()),
        binary: Some(Service::VOLUME.to_owned()),
        ..ServiceFilter::default()
    };
    let mut found = repository.services(&filter).await?;
    if found.len() > 1 {
        return Err(Fault::Invalid("Services from different clusters found.".to_owned()));
    }
    found.pop().ok_or_else(|| no_place(host))
}

/// Likewise, and nobody else changes the row before the transaction ends.
async fn place_to_change(repository: &mut Repository, host: &str) -> Result<Service, Fault> {
    let found = place(repository, host).await?;
    repository.service_to_change(&found.host, &found.binary).await?.ok_or_else(|| no_place(host))
}

fn no_place(host: &str) -> Fault {
    Fault::InvalidInput(format!("No service found with host={host}"))
}

/// What the bodies of freeze, thaw and failover say.
struct PlaceNamed<'a> {
    host: Option<&'a str>,
    cluster: Option<&'a str>,
}

impl<'a> PlaceNamed<'a> {
    fn read(body: &'a Value, more: &[&str]) -> Result<Self, Fault> {
        let body = Object::body(body)?;
        let cluster = body.text("cluster")?.value();
        let host = host(&body)?;
        for key in more {
            body.text(key)?;
        }
        let known: Vec<&str> = ["cluster", "host"].iter().chain(more).copied().collect();
        body.only(&known)?;
        Ok(Self { host, cluster })
    }

    /// The host; there are no clusters.
    fn host(&self, call: &Call) -> Result<&'a str, Fault> {
        if call.version < Microversion::REPLICATION_CLUSTERS {
            return required(self.host);
        }
        let given = |text: Option<&'a str>| text.filter(|text| !text.is_empty());
        match (given(self.host), given(self.cluster)) {
            (Some(host), None) => Ok(host),
            (None, Some(cluster)) => {
                Err(Fault::InvalidInput(format!("No service found with cluster={cluster}")))
            }
            _ => Err(Fault::InvalidInput("One and only one of cluster and host must be set.".to_owned())),
        }
    }
}
