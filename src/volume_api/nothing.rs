//! Lists of what there is none of here: backups, and groups with their snapshots and types. Clients ask for them beside
//! what they are about (Horizon before it makes a volume, `openstack project cleanup` before it deletes one), and go no
//! further without such a list. Nothing of the kind can be made: those routes are not there.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::fault::{Fault, answer};
use super::microversion::Microversion;
use super::request::Call;
use crate::http::App;
use crate::identity::policy::volume as rules;

type Nothing = [(); 0];

#[derive(Default, Serialize, ToSchema)]
struct Backups {
    /// Always empty.
    #[schema(value_type = Vec<Object>)]
    backups: Nothing,
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
        .routes(routes!(backups))
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
    responses(
        (status = 200, body = Backups),
        (status = 403, description = "The policy does not allow it"),
    ),
)]
pub async fn backups(call: Call) -> Result<Response, Fault> {
    call.check_own(rules::BACKUP_GET_ALL)?;
    Ok(answer(StatusCode::OK, &Backups::default()))
}

#[utoipa::path(
    get, path = "/v3/backups/detail", tag = "backups", operation_id = "list_backups_detail",
    description = "There are none.",
    responses(
        (status = 200, body = Backups),
        (status = 403, description = "The policy does not allow it"),
    ),
)]
pub async fn backups_in_detail(call: Call) -> Result<Response, Fault> {
    call.check_own(rules::BACKUP_GET_ALL)?;
    Ok(answer(StatusCode::OK, &Backups::default()))
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
