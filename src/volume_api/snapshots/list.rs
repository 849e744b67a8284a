//! `GET /snapshots`, `GET /snapshots/detail`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, answer};
use super::super::filters::{self, allowed, pairs, texts};
use super::super::microversion::Microversion;
use super::super::paging::{LARGEST_PAGE, Paging, flag, wants_count};
use super::super::request::Call;
use super::find;
use super::view::{Depth, Many, View};
use crate::db::SnapshotFilter;
use crate::http::App;
use crate::identity::policy::volume as rules;

#[utoipa::path(
    get, path = "/v3/snapshots", tag = "snapshots", operation_id = "list_snapshots",
    params(
        ("limit" = Option<i64>, Query), ("marker" = Option<String>, Query), ("offset" = Option<i64>, Query),
        ("sort" = Option<String>, Query,
            description = "`key[:asc|:desc],...`; keys: `id`, `name` (since 3.30), `display_name`, \
                `display_description`, `status`, `volume_id`, `volume_size`, `created_at`, `updated_at`, \
                `user_id`, `project_id`"),
        ("sort_key" = Option<String>, Query, description = "The old form of `sort`, with `sort_dir`"),
        ("sort_dir" = Option<String>, Query, description = "`asc` or `desc`"),
        ("with_count" = Option<bool>, Query, description = "Since 3.45"),
        ("all_tenants" = Option<bool>, Query, description = "For administrators"),
        ("name" = Option<String>, Query),
        ("status" = Option<String>, Query, description = "One, or `['one', 'another']`"),
        ("volume_id" = Option<String>, Query), ("availability_zone" = Option<String>, Query),
        ("metadata" = Option<String>, Query, description = "Since 3.22. `{'key': 'value'}`"),
        ("consumes_quota" = Option<bool>, Query, description = "Since 3.65"),
        ("id" = Option<String>, Query, description = "For administrators, like all that follow"),
        ("description" = Option<String>, Query),
        ("project_id" = Option<String>, Query), ("user_id" = Option<String>, Query),
    ),
    responses(
        (status = 200, body = Many),
        (status = 400, description = "A parameter is not usable"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such marker"),
    ),
)]
pub async fn list(State(app): State<App>, call: Call) -> Result<Response, Fault> {
    search(&app, &call, "snapshots", Depth::Base).await
}

#[utoipa::path(
    get, path = "/v3/snapshots/detail", tag = "snapshots", operation_id = "list_snapshots_in_detail",
    description = "Takes the parameters of the list without detail.",
    responses(
        (status = 200, body = Many),
        (status = 400, description = "A parameter is not usable"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such marker"),
    ),
)]
pub async fn detail(State(app): State<App>, call: Call) -> Result<Response, Fault> {
    search(&app, &call, "snapshots/detail", Depth::read(&call)).await
}

async fn search(app: &App, call: &Call, collection: &str, depth: Depth) -> Result<Response, Fault> {
    let most = app.config.volumes.osapi_max_limit;
    let mut paging = Paging::parse(&call.query, most, |key| column(key, call.version))?;
    let with_count = wants_count(call)?;
    let filter = filter(call)?;
    call.check_own(rules::GET_ALL_SNAPSHOTS)?;
    let mut repository = app.database.read().await?;
    if let Some(marker) = &paging.marker {
        paging.marker = Some(find(&mut repository, call, marker).await?.id.to_string());
    }
    let (rows, is_cut) = repository.snapshots_within(&filter, &paging.page(), LARGEST_PAGE).await?;
    let count = if with_count { Some(repository.count_snapshots(&filter).await?) } else { None };
    let last = rows.last().map(|snapshot| snapshot.id.as_str());
    let snapshots_links = paging.next_of_cut(call, collection, (rows.len(), is_cut), count, last);
    let snapshots = rows.iter().map(|snapshot| View::new(snapshot, call, depth)).collect();
    Ok(answer(StatusCode::OK, &Many { snapshots, snapshots_links, count }))
}

/// The column behind a sort key.
fn column(key: &str, version: Microversion) -> Option<&'static str> {
    Some(match key {
        "id" => "id",
        "name" if version >= Microversion::SNAPSHOT_SORT_BY_NAME => "name",
        "display_name" => "name",
        "display_description" => "description",
        "status" => "status",
        "volume_id" => "volume_id",
        "volume_size" => "size",
        "created_at" => "created_at",
        "updated_at" => "updated_at",
        "user_id" => "user_id",
        "project_id" => "project_id",
        _ => return None,
    })
}

/// A column of texts by the name that requests know it by.
fn text_column(key: &str) -> Option<&'static str> {
    Some(match key {
        "id" => "id",
        "name" | "display_name" => "name",
        "description" | "display_description" => "description",
        "status" => "status",
        "volume_id" => "volume_id",
        "user_id" => "user_id",
        "project_id" => "project_id",
        _ => return None,
    })
}

fn filter(call: &Call) -> Result<SnapshotFilter, Fault> {
    let mut filter = SnapshotFilter::default();
    if !(call.guard.is_admin() && flag(&call.query, "all_tenants")?) {
        filter.project_id = Some(call.context.project_id.to_string());
    }
    for (key, value) in allowed(call, filters::SNAPSHOT)? {
        let fits = match key {
            "all_tenants" => true,
            "name" | "display_name" => {
                filter.name = Some(value.to_owned());
                true
            }
            "status" => {
                filter.status = Some(texts(value));
                true
            }
            "id" => {
                filter.id = Some(texts(value));
                true
            }
            "volume_id" => {
                filter.volume_id = Some(value.to_owned());
                true
            }
            // Before its version nobody looks at it.
            "metadata" if call.version < Microversion::SNAPSHOT_METADATA_FILTER => true,
            "metadata" => pairs(value).map(|pairs| filter.metadata.extend(pairs)).is_some(),
            "availability_zone" => {
                filter.availability_zone = Some(value.to_owned());
                true
            }
            "consumes_quota" | "use_quota" if call.version < Microversion::CONSUMES_QUOTA => true,
            "consumes_quota" | "use_quota" => flag(&call.query, key)?,
            "project_id" => match &filter.project_id {
                Some(project) => project == value,
                None => {
                    filter.project_id = Some(value.to_owned());
                    true
                }
            },
            _ => match key.strip_suffix('~') {
                Some(key) => {
                    text_column(key).map(|column| filter.likes.push((column, value.to_owned()))).is_some()
                }
                // What is no column finds nothing.
                None => {
                    text_column(key).map(|column| filter.texts.push((column, value.to_owned()))).is_some()
                }
            },
        };
        if !fits {
            filter.id = Some(Vec::new());
            break;
        }
    }
    Ok(filter)
}
