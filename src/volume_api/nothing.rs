//! Lists of what there is none of here: backups, and groups with their snapshots and types. Clients ask for them beside
//! what they are about (Horizon before it makes a volume, `openstack project cleanup` before it deletes one), and go no
//! further without such a list. Nothing of the kind can be made: those routes are not there, but for the one by which a
//! backup is made. Who asks for one takes 404 for the volume's being gone already, and deletes it (Heat does).

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::fault::{Fault, answer};
use super::microversion::Microversion;
use super::paging::wants_count;
use super::request::Call;
use crate::http::App;
use crate::identity::policy::volume as rules;

type Nothing = [(); 0];

#[derive(Default, Serialize, ToSchema)]
struct Backups {
    /// Always empty.
    #[schema(value_type = Vec<Object>)]
    backups: Nothing,
    /// Since 3.45, with `with_count`.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

#[derive(Default, Serialize, ToSchema)]
struct Groups {
    /// Always empty.
    #[schema(value_type = Vec<Object>)]
    groups: Nothing,
}

#[derive(Default, Serialize, ToSchema)]
struct GroupSnapshots {
    /// Always empty.
    #[schema(value_type = Vec<Object>)]
    group_snapshots: Nothing,
}

#[derive(Default, Serialize, ToSchema)]
struct GroupTypes {
    /// Always empty.
    #[schema(value_type = Vec<Object>)]
    group_types: Nothing,
}

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(backups, create_backup))
        .routes(routes!(backups_in_detail))
        .routes(routes!(groups))
        .routes(routes!(groups_in_detail))
        .routes(routes!(group_snapshots))
        .routes(routes!(group_snapshots_in_detail))
        .routes(routes!(group_types))
}

#[utoipa::path(
    get, path = "/v3/backups", tag = "backups", operation_id = "list_backups",
    description = "There are none.",
    params(("with_count" = Option<bool>, Query, description = "Since 3.45")),
    responses(
        (status = 200, body = Backups),
        (status = 400, description = "`with_count` is not a truth value"),
        (status = 403, description = "The policy does not allow it"),
    ),
)]
pub async fn backups(call: Call) -> Result<Response, Fault> {
    no_backups(&call)
}

#[utoipa::path(
    get, path = "/v3/backups/detail", tag = "backups", operation_id = "list_backups_detail",
    description = "There are none.",
    params(("with_count" = Option<bool>, Query, description = "Since 3.45")),
    responses(
        (status = 200, body = Backups),
        (status = 400, description = "`with_count` is not a truth value"),
        (status = 403, description = "The policy does not allow it"),
    ),
)]
pub async fn backups_in_detail(call: Call) -> Result<Response, Fault> {
    no_backups(&call)
}

fn no_backups(call: &Call) -> Result<Response, Fault> {
    call.check_own(rules::BACKUP_GET_ALL)?;
    let count = wants_count(call)?.then_some(0);
    Ok(answer(StatusCode::OK, &Backups { count, ..Backups::default() }))
}

#[utoipa::path(
    post, path = "/v3/backups", tag = "backups", operation_id = "create_backup",
    description = "There is nothing here that makes any.",
    responses(
        (status = 403, description = "The policy does not allow it"),
        (status = 501, description = "It does, and there are none to be had"),
    ),
)]
pub async fn create_backup(call: Call) -> Result<Response, Fault> {
    call.check_own(rules::BACKUP_CREATE)?;
    Err(Fault::NotImplemented("A backup".to_owned()))
}

#[utoipa::path(
    get, path = "/v3/groups", tag = "groups", operation_id = "list_groups",
    description = "Since 3.13. There are none.",
    responses(
        (status = 200, body = Groups),
        (status = 403, description = "The policy does not allow it"),
    ),
)]
pub async fn groups(call: Call) -> Result<Response, Fault> {
    call.since(Microversion::GROUPS)?;
    call.check_own(rules::GROUP_GET_ALL)?;
    Ok(answer(StatusCode::OK, &Groups::default()))
}

#[utoipa::path(
    get, path = "/v3/groups/detail", tag = "groups", operation_id = "list_groups_detail",
    description = "Since 3.13. There are none.",
    responses(
        (status = 200, body = Groups),
        (status = 403, description = "The policy does not allow it"),
    ),
)]
pub async fn groups_in_detail(call: Call) -> Result<Response, Fault> {
    call.since(Microversion::GROUPS)?;
    call.check_own(rules::GROUP_GET_ALL)?;
    Ok(answer(StatusCode::OK, &Groups::default()))
}

#[utoipa::path(
    get, path = "/v3/group_snapshots", tag = "groups", operation_id = "list_group_snapshots",
    description = "Since 3.14. There are none.",
    responses(
        (status = 200, body = GroupSnapshots),
        (status = 403, description = "The policy does not allow it"),
    ),
)]
pub async fn group_snapshots(call: Call) -> Result<Response, Fault> {
    call.since(Microversion::GROUP_SNAPSHOTS)?;
    call.check_own(rules::GROUP_SNAPSHOT_GET_ALL)?;
    Ok(answer(StatusCode::OK, &GroupSnapshots::default()))
}

#[utoipa::path(
    get, path = "/v3/group_snapshots/detail", tag = "groups", operation_id = "list_group_snapshots_detail",
    description = "Since 3.14. There are none.",
    responses(
        (status = 200, body = GroupSnapshots),
        (status = 403, description = "The policy does not allow it"),
    ),
)]
pub async fn group_snapshots_in_detail(call: Call) -> Result<Response, Fault> {
    call.since(Microversion::GROUP_SNAPSHOTS)?;
    call.check_own(rules::GROUP_SNAPSHOT_GET_ALL)?;
    Ok(answer(StatusCode::OK, &GroupSnapshots::default()))
}

#[utoipa::path(
    get, path = "/v3/group_types", tag = "groups", operation_id = "list_group_types",
    description = "Since 3.11. There are none.",
    responses(
        (status = 200, body = GroupTypes),
    ),
)]
pub async fn group_types(call: Call) -> Result<Response, Fault> {
    call.since(Microversion::GROUP_TYPES)?;
    Ok(answer(StatusCode::OK, &GroupTypes::default()))
}
