//! Objects: properties that belong together.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::items::{self, Draft};
use super::{endpoints, fields, properties, take_text};
use crate::db::{MetadefItem, MetadefNamespace};
use crate::http::App;
use crate::identity::policy::image as rules;
use crate::image_api::fault::{FaultBody, Result};
use crate::image_api::request::{Call, InPath, JsonBody, NoBody};
use crate::image_api::schemas;
use crate::model::MetadefKind::Object as KIND;

/// The order of the fields is Glance's.
#[derive(Serialize, ToSchema)]
#[schema(title = "Object")]
pub struct ObjectView {
    name: String,
    /// Names of properties.
    #[schema(value_type = Vec<String>)]
    required: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    description: Option<Value>,
    /// Under their names.
    #[schema(value_type = Object)]
    properties: Map<String, Value>,
    created_at: String,
    updated_at: String,
    #[serde(rename = "self")]
    itself: String,
    schema: &'static str,
}

#[derive(Serialize, ToSchema)]
pub struct ObjectList {
    objects: Vec<ObjectView>,
    schema: &'static str,
}

impl ObjectView {
    /// With this before the names of properties.
    pub fn new(namespace: &str, item: MetadefItem, prefix: &str) -> Self {
        let mut definition = item.definition.0;
        let mut required = definition.shift_remove("required").unwrap_or_else(|| Value::Array(Vec::new()));
        for name in required.as_array_mut().into_iter().flatten() {
            if let Value::String(name) = name {
                name.insert_str(0, prefix);
            }
        }
        let properties = match definition.shift_remove("properties") {
            Some(Value::Object(properties)) => properties::in_order(properties, prefix),
            _ => Map::new(),
        };
        Self {
            itself: format!("/v2/metadefs/namespaces/{namespace}/objects/{}", item.name),
            name: item.name,
            required,
            description: definition.shift_remove("description"),
            properties,
            created_at: item.created_at.to_seconds(),
            updated_at: item.updated_at.to_seconds(),
            schema: "/v2/schemas/metadefs/object",
        }
    }
}

type View = ObjectView;

fn view(namespace: &MetadefNamespace, item: MetadefItem) -> ObjectView {
    ObjectView::new(&namespace.name, item, "")
}

/// An object in a body.
pub fn parse(body: Value) -> Result<Draft> {
    let read_only = ["self", "schema", "created_at", "updated_at"];
    let mut fields = fields(body, &schemas::metadefs::object(), &read_only)?;
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().try_for_each(properties::settle)?;
    }
    let name = take_text(&mut fields, "name").unwrap_or_default();
    Ok(Draft { name, definition: fields })
}

/// The objects of a namespace, in the order in which they were made.
#[utoipa::path(
    get, path = "/v2/metadefs/namespaces/{namespace}/objects", tag = "metadefs",
    operation_id = "list_metadef_objects",
    params(("namespace" = String, Path, description = "Name of the namespace")),
    responses(
        (status = 200, description = "The objects", body = ObjectList),
        (status = 404, description = "There is no such namespace", body = FaultBody),
    )
)]
pub async fn list(
    State(app): State<App>,
    call: Call,
    InPath(namespace): InPath<String>,
    _: NoBody,
) -> Result<Json<ObjectList>> {
    let rules = (rules::GET_METADEF_OBJECTS, rules::GET_METADEF_OBJECT);
    let (namespace, items) = items::list(&app, &call, &namespace, KIND, rules).await?;
    let objects = items.into_iter().map(|item| view(&namespace, item)).collect();
    // Without the slash, as Glance has it here.
    Ok(Json(ObjectList { objects, schema: "v2/schemas/metadefs/objects" }))
}

/// Makes an object.
#[utoipa::path(
    post, path = "/v2/metadefs/namespaces/{namespace}/objects", tag = "metadefs",
    operation_id = "create_metadef_object",
    params(("namespace" = String, Path, description = "Name of the namespace")),
    request_body(content = Object, description = "See `/v2/schemas/metadefs/object`"),
    responses(
        (status = 201, description = "The object", body = ObjectView),
        (status = 400, description = "The body does not fit the schema", body = FaultBody),
        (status = 403, description = "The policy does not allow it", body = FaultBody),
        (status = 404, description = "There is no such namespace", body = FaultBody),
        (status = 409, description = "The name is taken", body = FaultBody),
    )
)]
pub async fn create(
    State(app): State<App>,
    call: Call,
    InPath(namespace): InPath<String>,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<ObjectView>)> {
    let draft = parse(body)?;
    let (namespace, item) =
        items::create(&app, &call, &namespace, KIND, rules::ADD_METADEF_OBJECT, draft).await?;
    Ok((StatusCode::CREATED, Json(view(&namespace, item))))
}

/// One object.
#[utoipa::path(
    get, path = "/v2/metadefs/namespaces/{namespace}/objects/{object}", tag = "metadefs",
    operation_id = "show_metadef_object",
    params(
        ("namespace" = String, Path, description = "Name of the namespace"),
        ("object" = String, Path, description = "Name of the object"),
    ),
    responses(
        (status = 200, description = "The object", body = ObjectView),
        (status = 404, description = "There is no such namespace or object", body = FaultBody),
    )
)]
pub async fn show(
    State(app): State<App>,
    call: Call,
    InPath((namespace, name)): InPath<(String, String)>,
    _: NoBody,
) -> Result<Json<ObjectView>> {
    let place = (namespace.as_str(), name.as_str());
    let (namespace, item) = items::show(&app, &call, place, KIND, rules::GET_METADEF_OBJECT).await?;
    Ok(Json(view(&namespace, item)))
}

endpoints::update!(KIND at "/v2/metadefs/namespaces/{namespace}/objects/{object}" ("object"), by MODIFY_METADEF_OBJECT, as ObjectView);
endpoints::delete!(KIND at "/v2/metadefs/namespaces/{namespace}/objects/{object}" ("object"), by DELETE_METADEF_OBJECT);
endpoints::delete_all!(KIND at "/v2/metadefs/namespaces/{namespace}/objects" ("objects"));
