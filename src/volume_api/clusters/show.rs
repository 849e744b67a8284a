//! `GET /clusters/{cluster_name}`

use axum::extract::Path;
use axum::response::Response;

use super::super::fault::Fault;
use super::super::microversion::Microversion;
use super::super::request::Call;
use super::missing;
use crate::identity::policy::volume as rules;

#[utoipa::path(
    get, path = "/v3/clusters/{cluster_name}", tag = "clusters", operation_id = "show_cluster",
    description = "Since 3.7. There are none.",
    params(("cluster_name" = String, Path), ("binary" = Option<String>, Query)),
    responses(
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such cluster"),
    ),
)]
pub async fn show(call: Call, Path(name): Path<String>) -> Result<Response, Fault> {
    call.since(Microversion::CLUSTERS)?;
    call.check_own(rules::CLUSTERS_GET)?;
    Err(missing(&name, call.query.last("binary")))
}
