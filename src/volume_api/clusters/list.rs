//! `GET /clusters` and `GET /clusters/detail`

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::super::fault::{Fault, answer};
use super::super::microversion::Microversion;
use super::super::paging::flag;
use super::super::request::Call;
use crate::identity::policy::volume as rules;

#[derive(Serialize, ToSchema)]
#[schema(as = Clusters)]
struct Many {
    /// None.
    #[schema(value_type = Vec<Object>)]
    clusters: [Value; 0],
}

const FILTERS: [&str; 6] = ["name", "binary", "is_up", "disabled", "num_hosts", "num_down_hosts"];
/// Since 3.26.
const REPLICATION_FILTERS: [&str; 3] = ["replication_status", "frozen", "active_backend_id"];

#[utoipa::path(
    get, path = "/v3/clusters", tag = "clusters", operation_id = "list_clusters",
    description = "Since 3.7. There are none.",
    responses(
        (status = 200, body = Many),
        (status = 400, description = "A filter does not exist"),
        (status = 403, description = "The policy does not allow it"),
    ),
)]
pub async fn list(call: Call) -> Result<Response, Fault> {
    none(&call)
}

#[utoipa::path(
    get, path = "/v3/clusters/detail", tag = "clusters", operation_id = "list_clusters_in_detail",
    description = "Since 3.7. There are none.",
    responses(
        (status = 200, body = Many),
        (status = 400, description = "A filter does not exist"),
        (status = 403, description = "The policy does not allow it"),
    ),
)]
pub async fn detail(call: Call) -> Result<Response, Fault> {
    none(&call)
}

fn none(call: &Call) -> Result<Response, Fault> {
    call.since(Microversion::CLUSTERS)?;
    call.check_own(rules::CLUSTERS_GET_ALL)?;
    let replication = call.version >= Microversion::REPLICATION_CLUSTERS;
    let is_known = |key: &str| FILTERS.contains(&key) || (replication && REPLICATION_FILTERS.contains(&key));
    let strangers: Vec<&str> =
        call.query.0.iter().map(|(key, _)| key.as_str()).filter(|key| !is_known(key)).collect();
    if !strangers.is_empty() {
        return Err(Fault::InvalidInput(format!("Invalid filter keys: {}", strangers.join(", "))));
    }
    for key in ["disabled", "is_up"] {
        flag(&call.query, key)?;
    }
    Ok(answer(StatusCode::OK, &Many { clusters: [] }))
}
