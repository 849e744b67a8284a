//! `PUT /os-services/get-log`

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::fault::{Fault, answer};
use super::super::microversion::Microversion;
use super::super::request::{Body, Call};
use super::super::schema::Object;
use super::log_levels::{API, LogNamed, modules_of};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::Host;
use crate::telemetry::levels::Severity;

#[derive(Serialize, ToSchema)]
#[schema(as = LogLevels)]
struct Many {
    log_levels: Vec<One>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LogLevelsOfService)]
struct One {
    host: String,
    binary: String,
    /// By the name of the module.
    #[schema(value_type = BTreeMap<String, String>)]
    levels: BTreeMap<String, Severity>,
}

#[utoipa::path(
    put, path = "/v3/os-services/get-log", tag = "services", operation_id = "get_log_levels",
    description = "Since 3.32. How much is logged by the modules whose names begin with `prefix`, of those that do the \
        work of `binary` where `server` is.",
    request_body = Object,
    responses(
        (status = 200, body = Many),
        (status = 400, description = "The body is not usable"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "The version is older than 3.32"),
    ),
)]
pub async fn get_log(State(app): State<App>, call: Call, Body(body): Body) -> Result<Response, Fault> {
    call.since(Microversion::LOG_LEVELS)?;
    let body = Object::body(&body)?;
    let named = LogNamed::read(&body)?;
    body.only(&["binary", "server", "prefix"])?;
    call.check_own(rules::SERVICES_UPDATE)?;
    let is_here = ["", Host::OURS].contains(&named.server);
    let api = (named.means_api() && is_here).then(|| (Host::OURS.to_owned(), API.to_owned()));
    let services = named.services(&app).await?.into_iter().map(|service| (service.host, service.binary));
    let log_levels = api.into_iter().chain(services).map(|(host, binary)| One {
        levels: app.levels.of(modules_of(&binary), named.prefix),
        host,
        binary,
    });
    Ok(answer(StatusCode::OK, &Many { log_levels: log_levels.collect() }))
}
