//! `POST /workers/cleanup`
//!
//! What a dead process left undone goes on by itself, in whichever process claims it first when its lease has ended.
//! So this answers who sees to it, and has nothing to start.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::fault::{Fault, answer};
use super::microversion::Microversion;
use super::request::{Body, Call};
use super::schema::Object;
use super::services::is_up;
use crate::db::{JobFilter, Page, Service, ServiceFilter};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::JobState;

#[derive(Serialize, ToSchema)]
#[schema(as = CleaningService)]
struct View<'a> {
    id: i64,
    host: &'a str,
    binary: &'a str,
    cluster_name: Option<&'a str>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Cleanup)]
struct Many<'a> {
    cleaning: Vec<View<'a>>,
    unavailable: Vec<View<'a>>,
}

/// What the body says; all of it may be left out.
struct Wanted<'a> {
    host: Option<&'a str>,
    cluster: Option<&'a str>,
    binary: Option<&'a str>,
    is_up: bool,
    disabled: Option<bool>,
    resource: Option<&'a str>,
    service_id: Option<i64>,
}

#[utoipa::path(
    post, path = "/v3/workers/cleanup", tag = "services", operation_id = "clean_up_workers",
    description = "Since 3.24. Work that a dead process left undone goes on by itself: this says which services see to \
        it (`cleaning`), and which are not there to do so (`unavailable`), of those that the body means; `is_up` is \
        false unless it says so.",
    request_body = Object,
    responses(
        (status = 202, body = Many),
        (status = 400, description = "The body is not usable, or nothing is left undone on the resource"),
        (status = 403, description = "The policy does not allow it"),
    ),
)]
pub async fn cleanup(State(app): State<App>, call: Call, Body(body): Body) -> Result<Response, Fault> {
    call.since(Microversion::WORKERS_CLEANUP)?;
    let wanted = Wanted::read(&Object::body(&body)?)?;
    call.check_own(rules::WORKERS_CLEANUP)?;
    let mut repository = app.database.read().await?;
    let has_place = wanted.host.is_some() || wanted.cluster.is_some() || wanted.service_id.is_some();
    if let Some(id) = wanted.resource.filter(|_| !has_place) {
        let filter = JobFilter {
            resource_id: Some(id.to_owned()),
            state: Some(vec![JobState::Queued, JobState::Running]),
            ..JobFilter::default()
        };
        if repository.jobs(&filter, &Page { limit: Some(1), ..Page::default() }).await?.is_empty() {
            return Err(Fault::InvalidInput(format!("There is no resource with UUID {id} pending cleanup.")));
        }
    }
    let filter = ServiceFilter {
        host: wanted.host.map(str::to_owned),
        binary: wanted.binary.map(str::to_owned),
        disabled: wanted.disabled,
    };
    let mut services = repository.services(&filter).await?;
    let now = app.world.now();
    services.retain(|service| {
        wanted.cluster.is_none()
            && is_up(service, now) == wanted.is_up
            && wanted.service_id.is_none_or(|id| id == service.id)
    });
    let (up, down): (Vec<&Service>, Vec<&Service>) = services.iter().partition(|service| is_up(service, now));
    Ok(answer(StatusCode::ACCEPTED, &Many { cleaning: views(up), unavailable: views(down) }))
}

fn views(services: Vec<&Service>) -> Vec<View<'_>> {
    services
        .into_iter()
        .map(|Service { id, host, binary, .. }| View { id: *id, host, binary, cluster_name: None })
        .collect()
}

const RESOURCE_TYPES: [&str; 2] = ["Volume", "Snapshot"];

impl<'a> Wanted<'a> {
    fn read(body: &Object<'a>) -> Result<Self, Fault> {
        let cluster = body.host_name("cluster_name", "")?;
        let disabled = body.boolean("disabled")?;
        let host = body.host_name("host", "")?;
        let is_up = body.boolean("is_up")?;
        let binary = body.one_of("binary", &[Service::VOLUME, Service::SCHEDULER])?;
        let resource = body.uuid("resource_id")?.value();
        let resource_type = body.text("resource_type")?.value().filter(|kind| !kind.is_empty());
        let service_id = body.number("service_id")?.value();
        body.only(&[
            "cluster_name",
            "disabled",
            "host",
            "is_up",
            "binary",
            "resource_id",
            "resource_type",
            "service_id",
        ])?;
        if let Some(kind) = resource_type
            && !RESOURCE_TYPES.iter().any(|known| known.eq_ignore_ascii_case(kind))
        {
            return Err(Fault::InvalidInput(format!(
                "Resource type {kind} not valid, must be {}",
                RESOURCE_TYPES.join(" or ")
            )));
        }
        let is_up = is_up.unwrap_or(false);
        Ok(Self { host, cluster, binary, is_up, disabled, resource, service_id })
    }
}
