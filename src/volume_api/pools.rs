//! `GET /scheduler-stats/get_pools`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::fault::{Fault, answer};
use super::filters;
use super::microversion::Microversion;
use super::paging::flag;
use super::placement;
use super::python;
use super::request::Call;
use super::types;
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::scheduler::{self, Pool, Request};

#[derive(Serialize, ToSchema)]
#[schema(as = Pool)]
struct View<'a> {
    name: &'a str,
    /// With `detail`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    capabilities: Option<&'a Map<String, Value>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Pools)]
struct Many<'a> {
    pools: Vec<View<'a>>,
}

#[utoipa::path(
    get, path = "/v3/scheduler-stats/get_pools", tag = "backends", operation_id = "list_pools",
    description = "The places for volumes, as they last told of themselves.",
    params(
        ("detail" = Option<bool>, Query, description = "With what they have and how much room there is"),
        ("name" = Option<String>, Query, description = "Since 3.28; until 3.30 other capabilities likewise"),
        ("volume_type" = Option<String>, Query, description = "Since 3.35: where volumes of this type can be"),
    ),
    responses(
        (status = 200, body = Many),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such type"),
    ),
)]
pub async fn list(State(app): State<App>, call: Call) -> Result<Response, Fault> {
    call.check_own(rules::POOLS)?;
    let detail = flag(&call.query, "detail")?;
    let mut repository = app.database.read().await?;
    let mut pools = placement::pools(&mut repository, &app).await?;
    for (key, text) in asked(&call)? {
        if key == "volume_type" {
            let volume_type = types::by_id_or_name(&mut repository, &call, text).await?;
            let request = Request { specs: Some(&volume_type.extra_specs), ..Request::default() };
            pools.retain(|pool| scheduler::fits(pool, &request));
        } else {
            pools.retain(|pool| has(pool, key, text));
        }
    }
    let pools = pools.iter().map(|Pool { host, capabilities, .. }| View {
        name: host,
        capabilities: detail.then_some(capabilities),
    });
    Ok(answer(StatusCode::OK, &Many { pools: pools.collect() }))
}

fn asked(call: &Call) -> Result<Vec<(&str, &str)>, Fault> {
    if call.version < Microversion::POOL_FILTERS {
        return Ok(Vec::new());
    }
    let given = call.query.0.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let given = given.filter(|(key, _)| *key != "detail");
    // Of this list alone administrators are not told more either.
    let mut filters: Vec<_> = match call.version >= Microversion::STRICT_FILTERS {
        true => filters::known(given, filters::POOL, true)?,
        false => given.collect(),
    };
    if call.version < Microversion::POOL_TYPE_FILTER {
        filters.retain(|(key, _)| *key != "volume_type");
    }
    Ok(filters)
}

fn has(pool: &Pool, key: &str, text: &str) -> bool {
    if key == "name" {
        return pool.host == text;
    }
    match pool.capabilities.get(key) {
        None | Some(Value::Null) => false,
        Some(Value::Bool(truth)) => python::boolean(text) == Some(*truth),
        Some(Value::Number(number)) => {
            number.as_f64().zip(text.trim().parse::<f64>().ok()).is_some_and(|(one, other)| one == other)
        }
        Some(other) => other.as_str() == Some(text),
    }
}
