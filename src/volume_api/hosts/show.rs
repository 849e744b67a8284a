//! `GET /os-hosts/{host_name}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::fault::{Fault, answer};
use super::super::request::Call;
use crate::db::{HostUse, Service, ServiceFilter};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::ProjectId;

#[derive(Serialize, ToSchema)]
#[schema(as = HostResources)]
struct One<'a> {
    host: Vec<View<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = HostResource)]
struct View<'a> {
    resource: Resource<'a>,
}

/// All numbers are texts.
#[derive(Serialize, ToSchema)]
#[schema(as = HostUse)]
struct Resource<'a> {
    host: &'a str,
    project: &'a str,
    volume_count: String,
    total_volume_gb: String,
    snapshot_count: String,
    total_snapshot_gb: String,
}

#[utoipa::path(
    get, path = "/v3/os-hosts/{host_name}", tag = "hosts", operation_id = "show_host",
    description = "What lies in a place for volumes: of all projects, then of each.",
    params(("host_name" = String, Path)),
    responses(
        (status = 200, body = One),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such place for volumes, or it is disabled"),
    ),
)]
pub async fn show(State(app): State<App>, call: Call, Path(host): Path<String>) -> Result<Response, Fault> {
    call.check_own(rules::HOSTS)?;
    let mut repository = app.database.read().await?;
    let filter = ServiceFilter {
        host: Some(host.clone()),
        binary: Some(Service::VOLUME.to_owned()),
        disabled: Some(false),
    };
    let Some(service) = repository.services(&filter).await?.into_iter().next() else {
        return Err(Fault::NoSuch(format!("Service cinder-volume could not be found on host {host}.")));
    };
    let used = repository.use_of_host(&service.host).await?;
    let sum = |number: fn(&HostUse) -> i64| used.iter().map(number).sum::<i64>();
    let total = HostUse {
        project_id: ProjectId("(total)".to_owned()),
        volumes: sum(|used| used.volumes),
        gigabytes: sum(|used| used.gigabytes),
        snapshots: sum(|used| used.snapshots),
        snapshot_gigabytes: sum(|used| used.snapshot_gigabytes),
    };
    let all = std::iter::once(&total).chain(&used).map(|used| View { resource: Resource::new(&host, used) });
    Ok(answer(StatusCode::OK, &One { host: all.collect() }))
}

impl<'a> Resource<'a> {
    fn new(host: &'a str, used: &'a HostUse) -> Self {
        Self {
            host,
            project: used.project_id.as_str(),
            volume_count: used.volumes.to_string(),
            total_volume_gb: used.gigabytes.to_string(),
            snapshot_count: used.snapshots.to_string(),
            total_snapshot_gb: used.snapshot_gigabytes.to_string(),
        }
    }
}
