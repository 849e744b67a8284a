//! `POST /volumes/{volume_id}/action`

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::Value;

use super::super::fault::Fault;
use super::super::microversion::Microversion;
use super::super::request::{Body, Call};
use super::extend_volume_completion::extend_volume_completion;
use super::set_bootable::set_bootable;
use super::update_readonly_flag::update_readonly_flag;
use super::{attaching, extend, migrate, retype};
use crate::http::App;

/// Actions that the real service has beside those that are dispatched below.
const NOT_YET: [&str; 8] = [
    "os-volume_upload_image",
    "os-set_image_metadata",
    "os-unset_image_metadata",
    "os-show_image_metadata",
    "os-reset_status",
    "os-force_delete",
    "os-unmanage",
    "os-reimage",
];

#[utoipa::path(
    post, path = "/v3/volumes/{volume_id}/action", tag = "volumes", operation_id = "act_on_volume",
    description = "One action, named by the only key of the body: `os-extend` with `new_size` in GiB; `os-reserve`, \
        `os-unreserve`, `os-begin_detaching`, `os-roll_detaching`, `os-attach`, `os-detach`, `os-force_detach`, \
        `os-initialize_connection`, `os-terminate_connection`; `os-set_bootable`, `os-update_readonly_flag`; \
        `os-extend_volume_completion`; `os-retype` with `new_type` and `migration_policy`; `os-migrate_volume` with \
        `host` and `lock_volume`, and `os-migrate_volume_completion`.",
    params(("volume_id" = String, Path)),
    request_body = Object,
    responses(
        (status = 200, description = "It is done; of `os-initialize_connection`, how the volume is reached"),
        (status = 202, description = "It will be done"),
        (status = 400, description = "No such action, or the volume's status forbids it"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such volume"),
        (status = 409, description = "A server uses the volume: only Nova may detach it"),
        (status = 501, description = "An action that is not implemented"),
    ),
)]
pub async fn action(
    State(app): State<App>,
    call: Call,
    Path(id): Path<String>,
    Body(body): Body,
) -> Result<Response, Fault> {
    match only_key(&body)? {
        "os-attach" => attaching::attach(&app, &call, &id, &body).await,
        "os-begin_detaching" => attaching::begin_detaching(&app, &call, &id).await,
        "os-detach" => attaching::detach(&app, &call, &id, &body).await,
        "os-extend" => extend::extend(&app, &call, &id, &body).await,
        "os-extend_volume_completion" => extend_volume_completion(&app, &call, &id, &body).await,
        "os-force_detach" => attaching::force_detach(&app, &call, &id, &body).await,
        "os-initialize_connection" => attaching::initialize_connection(&app, &call, &id, &body).await,
        "os-reserve" => attaching::reserve(&app, &call, &id).await,
        "os-roll_detaching" => attaching::roll_detaching(&app, &call, &id).await,
        "os-set_bootable" => set_bootable(&app, &call, &id, &body).await,
        "os-terminate_connection" => attaching::terminate_connection(&app, &call, &id, &body).await,
        "os-unreserve" => attaching::unreserve(&app, &call, &id).await,
        "os-update_readonly_flag" => update_readonly_flag(&app, &call, &id, &body).await,
        "os-retype" => retype::retype(&app, &call, &id, &body).await,
        "os-migrate_volume" => migrate::migrate(&app, &call, &id, &body).await,
        "os-migrate_volume_completion" => migrate::complete(&app, &call, &id, &body).await,
        "revert" => Err(not_yet(&call, Microversion::REVERT, "revert")),
        "os-reimage" => Err(not_yet(&call, Microversion::REIMAGE, "os-reimage")),
        known if NOT_YET.contains(&known) => Err(not_yet(&call, Microversion::MIN, known)),
        unknown => Err(Fault::NoSuchAction(unknown.to_owned())),
    }
}

/// The name of the action.
pub fn only_key(body: &Value) -> Result<&str, Fault> {
    let fields = body.as_object().filter(|fields| fields.len() == 1);
    fields.and_then(|fields| fields.keys().next()).map(String::as_str).ok_or(Fault::MalformedBody)
}

/// An action that does not exist here; nor does it in versions before its own.
pub fn not_yet(call: &Call, since: Microversion, name: &str) -> Fault {
    call.since(since).err().unwrap_or_else(|| Fault::NotImplemented(format!("The action {name}")))
}
