//! `GET /volumes`, `GET /volumes/detail`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, answer};
use super::super::links::NextLink;
use super::super::paging::{LARGEST_PAGE, Paging, wants_count};
use super::super::request::Call;
use super::attached::Attached;
use super::view::{Details, Place, Summaries, Summary, View};
use super::{filter, find};
use crate::db::{ATTACH_STATUS, Repository, Volume};
use crate::http::App;
use crate::identity::policy::volume as rules;

#[utoipa::path(
    get, path = "/v3/volumes", tag = "volumes", operation_id = "list_volumes",
    params(
        ("limit" = Option<i64>, Query), ("marker" = Option<String>, Query), ("offset" = Option<i64>, Query),
        ("sort" = Option<String>, Query,
            description = "`key[:asc|:desc],...`; keys: `id`, `name`, `description`, `status`, `size`, \
                `availability_zone`, `bootable`, `created_at`, `updated_at`, `user_id`, `project_id`, \
                `volume_type_id`, `snapshot_id`, `source_volid`, `multiattach`, `replication_status`, \
                `attach_status`; for administrators `host`, `migration_status`, `previous_status`"),
        ("sort_key" = Option<String>, Query, description = "The old form of `sort`, with `sort_dir`"),
        ("sort_dir" = Option<String>, Query, description = "`asc` or `desc`"),
        ("with_count" = Option<bool>, Query, description = "Since 3.45"),
        ("all_tenants" = Option<bool>, Query, description = "For administrators"),
        ("name" = Option<String>, Query),
        ("status" = Option<String>, Query, description = "One, or `['one', 'another']`"),
        ("metadata" = Option<String>, Query, description = "`{'key': 'value'}`"),
        ("bootable" = Option<bool>, Query), ("availability_zone" = Option<String>, Query),
        ("migration_status" = Option<String>, Query), ("size" = Option<i64>, Query, description = "In GiB"),
        ("glance_metadata" = Option<String>, Query,
            description = "Since 3.4, for administrators. `{'key': 'value'}`, of the image that it was made from"),
        ("group_id" = Option<String>, Query, description = "Since 3.10. Nothing is in a group"),
        ("created_at" = Option<String>, Query,
            description = "Since 3.60. `operator:moment,...` with `gt`, `gte`, `eq`, `neq`, `lt`, `lte`"),
        ("updated_at" = Option<String>, Query, description = "Since 3.60. Likewise"),
        ("consumes_quota" = Option<bool>, Query, description = "Since 3.65"),
        ("id" = Option<String>, Query, description = "For administrators, like all that follow"),
        ("description" = Option<String>, Query), ("host" = Option<String>, Query),
        ("project_id" = Option<String>, Query), ("user_id" = Option<String>, Query),
        ("volume_type_id" = Option<String>, Query), ("snapshot_id" = Option<String>, Query),
        ("source_volid" = Option<String>, Query), ("multiattach" = Option<bool>, Query),
        ("replication_status" = Option<String>, Query), ("previous_status" = Option<String>, Query),
        ("attach_status" = Option<String>, Query), ("no_migration_targets" = Option<bool>, Query),
    ),
    responses(
        (status = 200, body = Summaries),
        (status = 400, description = "A parameter is not usable"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such marker"),
    ),
)]
pub async fn list(State(app): State<App>, call: Call) -> Result<Response, Fault> {
    let mut repository = app.database.read().await?;
    let found = search(&mut repository, &app, &call, "volumes").await?;
    let Found { volumes, next: volumes_links, count } = found;
    let volumes = volumes.iter().map(|volume| Summary::new(volume, &call)).collect();
    Ok(answer(StatusCode::OK, &Summaries { volumes, volumes_links, count }))
}

#[utoipa::path(
    get, path = "/v3/volumes/detail", tag = "volumes", operation_id = "list_volumes_in_detail",
    description = "Takes the parameters of the list without detail.",
    responses(
        (status = 200, body = Details),
        (status = 400, description = "A parameter is not usable"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such marker"),
    ),
)]
pub async fn detail(State(app): State<App>, call: Call) -> Result<Response, Fault> {
    let mut repository = app.database.read().await?;
    let found = search(&mut repository, &app, &call, "volumes/detail").await?;
    let Found { volumes, next: volumes_links, count } = found;
    let attached = Attached::to(&mut repository, &volumes).await?;
    let place = Place::read(&call);
    let volumes = volumes.iter().map(|volume| View::new(volume, &attached, &call, place)).collect();
    Ok(answer(StatusCode::OK, &Details { volumes, volumes_links, count }))
}

struct Found {
    volumes: Vec<Volume>,
    next: Option<[NextLink; 1]>,
    count: Option<i64>,
}

async fn search(
    repository: &mut Repository,
    app: &App,
    call: &Call,
    collection: &str,
) -> Result<Found, Fault> {
    let mut paging = Paging::parse(&call.query, app.config.volumes.osapi_max_limit, |key| column(key, call))?;
    let with_count = wants_count(call)?;
    let filter = filter::of(call)?;
    call.check_own(rules::GET_ALL)?;
    if let Some(marker) = &paging.marker {
        paging.marker = Some(find(repository, call, marker).await?.id.to_string());
    }
    let (volumes, is_cut) = repository.volumes_within(&filter, &paging.page(), LARGEST_PAGE).await?;
    let count = if with_count { Some(repository.count_volumes(&filter).await?) } else { None };
    let last = volumes.last().map(|volume| volume.id.as_str());
    let next = paging.next_of_cut(call, collection, (volumes.len(), is_cut), count, last);
    Ok(Found { volumes, next, count })
}

/// The column behind a sort key.
fn column(key: &str, call: &Call) -> Option<&'static str> {
    Some(match key {
        "id" => "id",
        "name" | "display_name" => "name",
        "description" | "display_description" => "description",
        "status" => "status",
        "size" => "size",
        "availability_zone" => "availability_zone",
        "bootable" => "bootable",
        "created_at" => "created_at",
        "updated_at" => "updated_at",
        // In their order non-administrators would read what they are not shown.
        "host" if call.guard.is_admin() => "host",
        "migration_status" if call.guard.is_admin() => "migration_status",
        "previous_status" if call.guard.is_admin() => "previous_status",
        "replication_status" => "replication_status",
        "attach_status" => ATTACH_STATUS,
        "user_id" => "user_id",
        "project_id" => "project_id",
        "volume_type_id" => "volume_type_id",
        "snapshot_id" => "snapshot_id",
        "source_volid" => "source_volume_id",
        "multiattach" => "multiattach",
        _ => return None,
    })
}
