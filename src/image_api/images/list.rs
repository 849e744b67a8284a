use axum::Json;
use axum::extract::{RawQuery, State};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use utoipa::ToSchema;

use super::{ImageView, filter, find};
use crate::db::{Direction, Page, SortKey};
use crate::http::{App, Query, images};
use crate::identity::policy::{Access, image as rules};
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::paging;
use crate::image_api::request::Call;

const PATH: &str = "/v2/images";
/// Bytes of properties and tags on one page. An image may have a MiB of them, and then fewer are on the page than it could
/// hold.
const LARGEST_PAGE: usize = 8 << 20;

#[derive(Serialize, ToSchema)]
pub struct ImageList {
    images: Vec<ImageView>,
    first: String,
    schema: &'static str,
    /// There when there may be more.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The images that the caller may see, newest first.
///
/// Any other key of the query asks for a custom property of that name and value.
#[utoipa::path(
    get, path = "/v2/images", tag = "images", operation_id = "list_images",
    params(
        ("limit" = Option<u32>, Query,
            description = "Images on the page at the most; there are fewer where their properties are many"),
        ("marker" = Option<String>, Query, description = "The last image of the page before"),
        ("sort" = Option<String>, Query, description = "Keys and directions, `name:asc,size:desc`"),
        ("sort_key" = Option<Vec<String>>, Query, description = "Keys, in the older syntax"),
        ("sort_dir" = Option<Vec<String>>, Query, description = "One direction, or one a key"),
        ("name" = Option<String>, Query, description = "The name, or `in:` and several with commas"),
        ("id" = Option<String>, Query, description = "Likewise"),
        ("status" = Option<String>, Query, description = "Likewise"),
        ("container_format" = Option<String>, Query, description = "Likewise"),
        ("disk_format" = Option<String>, Query, description = "Likewise"),
        ("created_at" = Option<String>, Query, description = "`gt:2026-01-31T12:00:00Z`; also gte, lt, lte, eq, neq"),
        ("updated_at" = Option<String>, Query, description = "Likewise"),
        ("checksum" = Option<String>, Query), ("os_hash_algo" = Option<String>, Query),
        ("os_hash_value" = Option<String>, Query),
        ("size" = Option<i64>, Query, description = "In bytes"),
        ("size_min" = Option<i64>, Query, description = "At least"),
        ("size_max" = Option<i64>, Query, description = "At most"),
        ("virtual_size" = Option<i64>, Query, description = "In bytes"),
        ("virtual_size_min" = Option<i64>, Query, description = "At least"),
        ("virtual_size_max" = Option<i64>, Query, description = "At most"),
        ("min_ram" = Option<i64>, Query, description = "In MiB"),
        ("min_ram_min" = Option<i64>, Query, description = "At least"),
        ("min_ram_max" = Option<i64>, Query, description = "At most"),
        ("min_disk" = Option<i64>, Query, description = "In GiB"),
        ("min_disk_min" = Option<i64>, Query, description = "At least"),
        ("min_disk_max" = Option<i64>, Query, description = "At most"),
        ("tag" = Option<Vec<String>>, Query, description = "All of these"),
        ("visibility" = Option<String>, Query, description = "`public`, `private`, `shared`, `community` or `all`"),
        ("member_status" = Option<String>, Query,
            description = "Of what is shared with the project: what it said to it, or `all`; `accepted` by default"),
        ("owner" = Option<String>, Query, description = "A project"),
        ("protected" = Option<bool>, Query, description = "`true` or `false`"),
        ("os_hidden" = Option<bool>, Query, description = "`true` or `false`, which is the default"),
    ),
    responses(
        (status = 200, description = "A page of images", body = ImageList),
        (status = 400, description = "A filter, sort key, limit or marker that is none", body = FaultBody),
        (status = 403, description = "The policy does not allow it", body = FaultBody),
    )
)]
pub async fn list(State(app): State<App>, call: Call, RawQuery(raw): RawQuery) -> Result<Json<ImageList>> {
    let raw = raw.unwrap_or_default();
    if percent_decode_str(&raw).decode_utf8().is_err() {
        return Err(Fault::undecodable());
    }
    let own = call.planned(Some(call.project_id().as_str()), "private");
    call.check(rules::GET_IMAGES, &own)?;
    let query = Query::parse(&raw);
    let filter = filter::parse(&query, call.guard.is_admin(), call.project_id())?;
    // Who may not read a property shall not find out by filtering.
    let is_readable = |(name, _): &(String, String)| call.guard.allows_property(Access::Read, name);
    let filter = filter.filter(|filter| filter.properties.iter().all(is_readable));
    let limits = &app.config.images;
    let limit = paging::limit(&query, limits)?;
    let mut page = Page {
        sort: parse_sort(&query)?,
        marker: query.last("marker").map(str::to_owned),
        limit: Some(limit),
        offset: 0,
    };

    let mut repository = app.database.read().await?;
    if let Some(marker) = &page.marker {
        // An unknown marker is a bad request, not a missing image.
        let image = find(&mut repository, &call, marker).await.map_err(|fault| match fault {
            Fault::NotFound(said) => Fault::BadRequest(said),
            other => other,
        })?;
        page.marker = Some(image.id.to_string());
    }
    let (mut images, is_cut) = match filter {
        Some(filter) => repository.images_within(&filter, &page, LARGEST_PAGE).await?,
        None => (Vec::new(), false),
    };
    let has_more = is_cut || images.len() as i64 == limit;
    let last = images.last().filter(|_| has_more).map(|image| image.id.clone());
    images.retain(|image| call.guard.allows(rules::GET_IMAGE, &images::target(image, call.project_id())));

    let next = last.map(|last| paging::link(PATH, &query, Some(last.as_str())));
    let show = |image| ImageView::new(image, &call.guard, &app);
    Ok(Json(ImageList {
        first: paging::link(PATH, &query, None),
        schema: "/v2/schemas/images",
        next,
        images: images.into_iter().map(show).collect(),
    }))
}

fn sort_key(text: &str) -> Result<&'static str> {
    paging::sort_key(text, &SORT_KEYS.map(|key| (key, key)))
}

/// API name and column of what a list can be sorted by.
const SORT_KEYS: [&str; 8] =
    ["name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at"];

fn parse_sort(query: &Query) -> Result<Vec<SortKey>> {
    let mut keys = Vec::new();
    let mut directions = Vec::new();
    if let Some(sort) = query.last("sort") {
        if query.last("sort_key").is_some() || query.last("sort_dir").is_some() {
            return Err(Fault::BadRequest("Old and new sorting syntax cannot be combined".to_owned()));
        }
        for part in sort.trim().split(',') {
            let (key, direction) = part.split_once(':').unwrap_or((part, ""));
            keys.push(sort_key(key)?);
            directions.push(if direction.is_empty() {
                Direction::Descending
            } else {
                paging::direction(direction)?
            });
        }
    } else {
        keys = query.all("sort_key").map(sort_key).collect::<Result<_>>()?;
        directions = query.all("sort_dir").map(paging::direction).collect::<Result<_>>()?;
        if directions.len() > 1 && directions.len() != keys.len() {
            return Err(Fault::BadRequest(
                "Number of sort dirs does not match the number of sort keys".to_owned(),
            ));
        }
    }
    if keys.is_empty() {
        keys.push("created_at");
    }
    // One direction is for all keys, and for those that make the order total.
    let only = match directions.as_slice() {
        [only] => *only,
        _ => Direction::Descending,
    };
    let mut sort: Vec<SortKey> = Vec::new();
    for (i, column) in keys.into_iter().chain(["created_at", "id"]).enumerate() {
        if sort.iter().all(|key| key.column != column) {
            let direction = if directions.len() > 1 { directions.get(i).copied() } else { Some(only) };
            sort.push(SortKey { column, direction: direction.unwrap_or(only) });
        }
    }
    Ok(sort)
}
