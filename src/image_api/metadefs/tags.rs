//! Tags: names that things of a namespace's resource types may bear.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::items::{self, Draft};
use super::{check, endpoints, fields, find, find_to_change, take_text};
use crate::db::{MetadefItem, MetadefNamespace};
use crate::http::{App, Query, truth};
use crate::identity::policy::image as rules;
use crate::image_api::fault::{FaultBody, Result};
use crate::image_api::request::{Call, InPath, JsonBody, NoBody};
use crate::image_api::{paging, schema, schemas};
use crate::model::MetadefKind::Tag as KIND;

const READ_ONLY: [&str; 2] = ["created_at", "updated_at"];

const SORT_KEYS: [(&str, &str); 4] =
    [("name", "name"), ("id", "id"), ("created_at", "created_at"), ("updated_at", "updated_at")];

#[derive(Serialize, ToSchema)]
#[schema(title = "MetadefTag")]
pub struct TagView {
    name: String,
    created_at: String,
    updated_at: String,
}

#[derive(Serialize, ToSchema)]
pub struct TagList {
    tags: Vec<TagName>,
}

/// Several tags are shown by their names alone.
#[derive(Serialize, ToSchema)]
pub struct TagName {
    name: String,
}

type View = TagView;

fn view(_: &MetadefNamespace, item: MetadefItem) -> TagView {
    TagView {
        name: item.name,
        created_at: item.created_at.to_seconds(),
        updated_at: item.updated_at.to_seconds(),
    }
}

/// The names of tags.
pub fn names(items: Vec<MetadefItem>) -> Vec<TagName> {
    items.into_iter().map(|item| TagName { name: item.name }).collect()
}

fn named(name: String) -> Draft {
    Draft { name, definition: Map::new() }
}

/// A tag in a body.
pub fn parse(body: Value) -> Result<Draft> {
    let mut fields = fields(body, &schemas::metadefs::tag(), &READ_ONLY)?;
    Ok(named(take_text(&mut fields, "name").unwrap_or_default()))
}

/// The tags of a namespace, newest first.
#[utoipa::path(
    get, path = "/v2/metadefs/namespaces/{namespace}/tags", tag = "metadefs",
    operation_id = "list_metadef_tags",
    params(
        ("namespace" = String, Path, description = "Name of the namespace"),
        ("limit" = Option<u32>, Query, description = "Tags on the page; all of them by default"),
        ("marker" = Option<String>, Query, description = "The last tag of the page before"),
        ("sort_key" = Option<String>, Query, description = "`name`, `id`, `created_at` or `updated_at`"),
        ("sort_dir" = Option<String>, Query, description = "`asc` or `desc`"),
    ),
    responses(
        (status = 200, description = "The tags", body = TagList),
        (status = 400, description = "A sort key or limit that is none", body = FaultBody),
        (status = 404, description = "There is no such namespace, or no such tag to begin after", body = FaultBody),
    )
)]
pub async fn list(
    State(app): State<App>,
    call: Call,
    InPath(namespace): InPath<String>,
    query: Query,
    _: NoBody,
) -> Result<Json<TagList>> {
    let mut page = paging::simple_sort(&query, &SORT_KEYS)?;
    page.limit =
        query.last("limit").filter(|limit| !limit.is_empty()).map(paging::parse_limit).transpose()?;
    let mut repository = app.database.read().await?;
    let namespace = find(&mut repository, &call, &namespace).await?;
    check(&call, rules::GET_METADEF_TAGS, Some(&namespace))?;
    if let Some(marker) = query.last("marker").filter(|marker| !marker.is_empty()) {
        let last = items::item(&mut repository, &namespace, KIND, marker).await?;
        page.marker = Some(last.id.to_string());
    }
    let items = repository.metadef_items(&[namespace.id], KIND, &page).await?;
    Ok(Json(TagList { tags: names(items) }))
}

/// Makes several tags, in place of those that are there.
#[utoipa::path(
    post, path = "/v2/metadefs/namespaces/{namespace}/tags", tag = "metadefs",
    operation_id = "create_metadef_tags",
    params(
        ("namespace" = String, Path, description = "Name of the namespace"),
        ("X-Openstack-Append" = Option<bool>, Header, description = "Those that are there stay"),
    ),
    request_body(content = Object, description = "`tags`: a list of objects with a `name`"),
    responses(
        (status = 201, description = "The tags of the request", body = TagList),
        (status = 400, description = "The body does not fit", body = FaultBody),
        (status = 403, description = "The policy does not allow it", body = FaultBody),
        (status = 404, description = "There is no such namespace", body = FaultBody),
        (status = 409, description = "A name is taken", body = FaultBody),
    )
)]
pub async fn create_several(
    State(app): State<App>,
    call: Call,
    InPath(namespace): InPath<String>,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<TagList>)> {
    let mut fields = fields(body, &schemas::metadefs::tags_to_make(), &READ_ONLY)?;
    let tags = fields.shift_remove("tags");
    let drafts = tags.as_ref().and_then(Value::as_array).into_iter().flatten();
    let drafts: Vec<Draft> =
        drafts.filter_map(|tag| tag["name"].as_str()).map(|name| named(name.to_owned())).collect();
    let append = headers.get("x-openstack-append").and_then(|append| append.to_str().ok());
    let append = append.and_then(truth).unwrap_or(false);

    let mut repository = app.database.begin().await?;
    let namespace = find_to_change(&mut repository, &call, &namespace).await?;
    check(&call, rules::ADD_METADEF_TAGS, Some(&namespace))?;
    // None at all are not put in the place of those that are there.
    if !append && !drafts.is_empty() {
        repository.remove_metadef_items(&namespace.id, KIND).await?;
    }
    let items = items::add(&app, &mut repository, &namespace, KIND, drafts, app.world.now()).await?;
    repository.commit().await?;
    Ok((StatusCode::CREATED, Json(TagList { tags: names(items) })))
}

/// One tag.
#[utoipa::path(
    get, path = "/v2/metadefs/namespaces/{namespace}/tags/{tag}", tag = "metadefs",
    operation_id = "show_metadef_tag",
    params(
        ("namespace" = String, Path, description = "Name of the namespace"),
        ("tag" = String, Path, description = "Name of the tag"),
    ),
    responses(
        (status = 200, description = "The tag", body = TagView),
        (status = 404, description = "There is no such namespace or tag", body = FaultBody),
    )
)]
pub async fn show(
    State(app): State<App>,
    call: Call,
    InPath((namespace, name)): InPath<(String, String)>,
    _: NoBody,
) -> Result<Json<TagView>> {
    let (namespace, item) =
        items::show(&app, &call, (&namespace, &name), KIND, rules::GET_METADEF_TAG).await?;
    Ok(Json(view(&namespace, item)))
}

/// Makes a tag.
#[utoipa::path(
    post, path = "/v2/metadefs/namespaces/{namespace}/tags/{tag}", tag = "metadefs",
    operation_id = "create_metadef_tag",
    params(
        ("namespace" = String, Path, description = "Name of the namespace"),
        ("tag" = String, Path, description = "Name of the tag"),
    ),
    responses(
        (status = 201, description = "The tag", body = TagView),
        (status = 400, description = "The name is too long, or a body came with the request", body = FaultBody),
        (status = 403, description = "The policy does not allow it", body = FaultBody),
        (status = 404, description = "There is no such namespace", body = FaultBody),
        (status = 409, description = "The name is taken", body = FaultBody),
    )
)]
pub async fn create(
    State(app): State<App>,
    call: Call,
    InPath((namespace, name)): InPath<(String, String)>,
    _: NoBody,
) -> Result<(StatusCode, Json<TagView>)> {
    schema::check(&schemas::metadefs::tag(), &json!({"name": name}))?;
    let (namespace, item) =
        items::create(&app, &call, &namespace, KIND, rules::ADD_METADEF_TAG, named(name)).await?;
    Ok((StatusCode::CREATED, Json(view(&namespace, item))))
}

endpoints::update!(KIND at "/v2/metadefs/namespaces/{namespace}/tags/{tag}" ("tag"), by MODIFY_METADEF_TAG, as TagView);
endpoints::delete!(KIND at "/v2/metadefs/namespaces/{namespace}/tags/{tag}" ("tag"), by DELETE_METADEF_TAG);
endpoints::delete_all!(KIND at "/v2/metadefs/namespaces/{namespace}/tags" ("tags"));
