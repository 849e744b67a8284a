//! `POST /snapshots/{snapshot_id}/action`

use axum::extract::{Path, State};
use axum::response::Response;

use super::super::fault::Fault;
use super::super::request::{Body, Call};
use super::super::volumes::only_key;
use super::{delete, reset_status, unmanage, update_status};
use crate::http::App;

#[utoipa::path(
    post, path = "/v3/snapshots/{snapshot_id}/action", tag = "snapshots", operation_id = "act_on_snapshot",
    description = "One action, named by the only key of the body: `os-update_snapshot_status` with `status` and \
        `progress`; for administrators `os-reset_status` with `status`, `os-force_delete` and `os-unmanage`.",
    params(("snapshot_id" = String, Path)),
    request_body = Object,
    responses(
        (status = 202, description = "It is done, or will be"),
        (status = 400, description = "No such action, the snapshot's status forbids it, or its host is \
            frozen"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such snapshot"),
        (status = 429, description = "Too many jobs of the project are under way"),
    ),
)]
pub async fn action(
    State(app): State<App>,
    call: Call,
    Path(id): Path<String>,
    Body(body): Body,
) -> Result<Response, Fault> {
    match only_key(&body)? {
        "os-reset_status" => reset_status::reset_status(&app, &call, &id, &body).await,
        "os-update_snapshot_status" => update_status::update_status(&app, &call, &id, &body).await,
        "os-force_delete" => delete::force_delete(&app, &call, &id).await,
        "os-unmanage" => unmanage::unmanage(&app, &call, &id).await,
        unknown => Err(Fault::NoSuchAction(unknown.to_owned())),
    }
}
