//! `POST /snapshots/{snapshot_id}/action`

use axum::extract::Path;
use axum::response::Response;

use super::super::fault::Fault;
use super::super::microversion::Microversion;
use super::super::request::{Body, Call};
use super::super::volumes::{not_yet, only_key};

/// Actions that the real service has.
const NOT_YET: [&str; 4] = ["os-reset_status", "os-update_snapshot_status", "os-force_delete", "os-unmanage"];

#[utoipa::path(
    post, path = "/v3/snapshots/{snapshot_id}/action", tag = "snapshots", operation_id = "act_on_snapshot",
    params(("snapshot_id" = String, Path)),
    request_body = Object,
    responses(
        (status = 400, description = "No such action"),
        (status = 501, description = "An action that is not implemented"),
    ),
)]
pub async fn action(call: Call, Path(_): Path<String>, Body(body): Body) -> Result<Response, Fault> {
    match only_key(&body)? {
        known if NOT_YET.contains(&known) => Err(not_yet(&call, Microversion::MIN, known)),
        unknown => Err(Fault::NoSuchAction(unknown.to_owned())),
    }
}
