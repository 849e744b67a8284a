//! `PUT /os-services/set-log`

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, empty_json};
use super::super::microversion::Microversion;
use super::super::request::{Body, Call};
use super::super::schema::{Given, Object};
use super::log_levels::{API, LogNamed, modules_of};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::telemetry::levels::{Change, Severity};

#[utoipa::path(
    put, path = "/v3/os-services/set-log", tag = "services", operation_id = "set_log_levels",
    description = "Since 3.32. How much is logged until the process ends: `level` (DEBUG, INFO, WARNING, ERROR), of the \
        modules whose names begin with `prefix`, of those that do the work of `binary` where `server` is. It reaches all \
        processes.",
    request_body = Object,
    responses(
        (status = 202, description = "It is set"),
        (status = 400, description = "The body is not usable"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "The version is older than 3.32"),
    ),
)]
pub async fn set_log(State(app): State<App>, call: Call, Body(body): Body) -> Result<Response, Fault> {
    call.since(Microversion::LOG_LEVELS)?;
    let body = Object::body(&body)?;
    let named = LogNamed::read(&body)?;
    let level = body.string("level")?;
    if level != Given::Absent {
        parse(level.value())?;
    }
    body.only(&["binary", "server", "prefix", "level"])?;
    call.check_own(rules::SERVICES_UPDATE)?;
    let level = parse(level.value())?;
    let services = named.services(&app).await?;
    let mut binaries: BTreeSet<String> = services.into_iter().map(|service| service.binary).collect();
    if named.means_api() {
        binaries.insert(API.to_owned());
    }
    let modules = binaries.iter().flat_map(|binary| modules_of(binary)).map(|name| (*name).to_owned());
    let change = Change { modules: modules.collect(), prefix: named.prefix.to_owned(), level };
    app.levels.apply(&change);
    app.database.tell_others(&change.written()).await?;
    Ok(empty_json(StatusCode::ACCEPTED))
}

fn parse(level: Option<&str>) -> Result<Severity, Fault> {
    let level = level.unwrap_or_default();
    Severity::parse(level).ok_or_else(|| Fault::InvalidInput(format!("{level} is not a valid log level.")))
}
