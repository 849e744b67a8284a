//! `POST /volumes/{volume_id}/action`

use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::super::connection;
use super::super::fault::Fault;
use super::super::metadata;
use super::super::request::{Body, Call};
use super::extend_volume_completion::extend_volume_completion;
use super::migrate_completion::Saved;
use super::set_bootable::set_bootable;
use super::update_readonly_flag::update_readonly_flag;
use super::upload_image::Said;
use super::{
    attaching, delete, extend, image_metadata, migrate, migrate_completion, reimage, reset_status, retype,
    revert, unmanage, upload_image,
};
use crate::http::App;

#[utoipa::path(
    post, path = "/v3/volumes/{volume_id}/action", tag = "volumes", operation_id = "act_on_volume",
    description = "One action, named by the only key of the body: `os-extend` with `new_size` in GiB; `os-reserve`, \
        `os-unreserve`, `os-begin_detaching`, `os-roll_detaching`, `os-attach`, `os-detach`, `os-force_detach`, \
        `os-initialize_connection`, `os-terminate_connection`; `os-set_bootable`, `os-update_readonly_flag`; \
        `os-extend_volume_completion`; `os-set_image_metadata` with `metadata`, `os-unset_image_metadata` with `key`, \
        `os-show_image_metadata`; since 3.40 `revert` with the `snapshot_id` of the latest snapshot; `os-retype` with \
        `new_type` and `migration_policy`; `os-volume_upload_image` with `image_name` makes an image of it, and answers \
        with that; since 3.68 `os-reimage` with `image_id` gives it the bytes of an image; for administrators \
        `os-migrate_volume` with `host` and `lock_volume`, `os-migrate_volume_completion`, `os-reset_status` with \
        `status`, `attach_status` or `migration_status`, `os-force_delete` and `os-unmanage`.",
    params(("volume_id" = String, Path)),
    request_body = Object,
    responses(
        (status = 200, body = Done, description = "It is done; of most actions there is no more to say"),
        (status = 202, body = Said, description = "It will be done; of `os-volume_upload_image` alone there is more \
            to say: which image it will be"),
        (status = 400, description = "No such action, the volume's status forbids it, its host is frozen, or \
            what would be made belongs to no project"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such volume"),
        (status = 409, description = "A server uses the volume: only Nova may detach it; of `revert`: the status of the \
            volume or the snapshot forbids it"),
        (status = 501, description = "What this volume's store cannot do"),
        (status = 413, description = "It would be too large, or there would be too many items of metadata"),
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
        "os-attach" => attaching::attach(&app, &call, &id, &body).await,
        "os-begin_detaching" => attaching::begin_detaching(&app, &call, &id).await,
        "os-detach" => attaching::detach(&app, &call, &id, &body).await,
        "os-extend" => extend::extend(&app, &call, &id, &body).await,
        "os-reset_status" => reset_status::reset_status(&app, &call, &id, &body).await,
        "os-force_delete" => delete::force_delete(&app, &call, &id).await,
        "os-set_image_metadata" => image_metadata::set(&app, &call, &id, &body).await,
        "os-unset_image_metadata" => image_metadata::unset(&app, &call, &id, &body).await,
        "os-show_image_metadata" => image_metadata::show(&app, &call, &id).await,
        "os-unmanage" => unmanage::unmanage(&app, &call, &id).await,
        "revert" => revert::revert(&app, &call, &id, &body).await,
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
        "os-migrate_volume_completion" => migrate_completion::complete(&app, &call, &id, &body).await,
        "os-reimage" => reimage::reimage(&app, &call, &id, &body).await,
        "os-volume_upload_image" => upload_image::upload_image(&app, &call, &id, &body).await,
        unknown => Err(Fault::NoSuchAction(unknown.to_owned())),
    }
}

/// What is told of an action that is done.
#[derive(Serialize, ToSchema)]
#[schema(as = VolumeActionDone)]
#[serde(untagged)]
pub enum Done<'a> {
    /// Of `os-initialize_connection`: how the volume is reached.
    Connection(connection::One<'a>),
    /// Of `os-set_image_metadata` and `os-show_image_metadata`: all of it.
    Metadata(metadata::All<'a>),
    /// Of `os-migrate_volume_completion`.
    Completion(Saved<'a>),
}

/// The name of the action.
pub fn only_key(body: &Value) -> Result<&str, Fault> {
    let fields = body.as_object().filter(|fields| fields.len() == 1);
    fields.and_then(|fields| fields.keys().next()).map(String::as_str).ok_or(Fault::MalformedBody)
}
