//! Properties: one key, and which values it may have.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::items::{self, Draft};
use super::{check, endpoints, fields, find, take_text};
use crate::db::{MetadefItem, MetadefNamespace};
use crate::http::{App, Query};
use crate::identity::policy::image as rules;
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::request::{Call, InPath, JsonBody, NoBody};
use crate::image_api::{schema, schemas};
use crate::model::MetadefKind::{Property as KIND, ResourceType};

/// As Glance writes them.
const ORDER: [&str; 20] = [
    "name",
    "type",
    "title",
    "description",
    "operators",
    "default",
    "readonly",
    "minimum",
    "maximum",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "items",
    "uniqueItems",
    "minItems",
    "maxItems",
    "additionalItems",
    "required",
    "confidential",
];

#[derive(Serialize, ToSchema)]
pub struct PropertyList {
    /// Under their names.
    #[schema(value_type = Object)]
    properties: Map<String, Value>,
}

type View = Map<String, Value>;

/// A property with its name, and its keys in Glance's order.
fn view(_: &MetadefNamespace, item: MetadefItem) -> View {
    let mut property = item.definition.0;
    property.insert("name".to_owned(), Value::String(item.name));
    ordered(property)
}

fn ordered(mut property: Map<String, Value>) -> Map<String, Value> {
    let known = ORDER.into_iter().filter_map(|key| property.shift_remove_entry(key)).collect::<Vec<_>>();
    known.into_iter().collect()
}

/// Properties by name, each with its keys in Glance's order, and with this before its name.
pub fn in_order(properties: Map<String, Value>, prefix: &str) -> Map<String, Value> {
    let by_name: BTreeMap<String, Value> = properties.into_iter().collect();
    let ordered = by_name.into_iter().map(|(name, property)| match property {
        Value::Object(property) => (format!("{prefix}{name}"), Value::Object(ordered(property))),
        other => (name, other),
    });
    ordered.collect()
}

/// Properties as a namespace shows them, with this before their names.
pub fn under_their_names(items: Vec<MetadefItem>, prefix: &str) -> Map<String, Value> {
    in_order(items.into_iter().map(|item| (item.name, Value::Object(item.definition.0))).collect(), prefix)
}

/// Refuses what Glance fails at, and writes a default as a text, as Glance keeps it.
pub fn settle(property: &mut Value) -> Result<()> {
    schema::check(&schemas::metadefs::property_under_its_name(), property)?;
    let texts_only = |what: &str, list: Option<&Value>| match list.and_then(Value::as_array) {
        Some(list) if !list.iter().all(Value::is_string) => {
            Err(Fault::BadRequest(format!("The values in {what} of a property must be strings.")))
        }
        _ => Ok(()),
    };
    texts_only("enum", property.get("enum"))?;
    if let Some(items) = property.get("items") {
        texts_only("items", items.get("enum"))?;
        if items.get("type").is_none() {
            return Err(Fault::BadRequest("The items of a property must have a type.".to_owned()));
        }
    }
    if let Some(default) = property.get_mut("default") {
        *default = match default.take() {
            Value::Bool(true) => Value::from("True"),
            Value::Bool(false) => Value::from("False"),
            Value::Number(number) => Value::from(number.to_string()),
            Value::Array(_) | Value::Object(_) => {
                return Err(Fault::BadRequest(
                    "The default of a property must be a string, a number or a boolean.".to_owned(),
                ));
            }
            text_or_null => text_or_null,
        };
    }
    Ok(())
}

/// A property in a body.
pub fn parse(body: Value) -> Result<Draft> {
    let mut fields = fields(body, &schemas::metadefs::property(), &["created_at", "updated_at"])?;
    let name = take_text(&mut fields, "name").unwrap_or_default();
    named(name, Value::Object(fields))
}

/// A property that stands under its name.
pub fn named(name: String, mut property: Value) -> Result<Draft> {
    settle(&mut property)?;
    let definition = match property {
        Value::Object(definition) => definition,
        _ => Map::new(),
    };
    Ok(Draft { name, definition })
}

/// The properties of a namespace.
#[utoipa::path(
    get, path = "/v2/metadefs/namespaces/{namespace}/properties", tag = "metadefs",
    operation_id = "list_metadef_properties",
    params(("namespace" = String, Path, description = "Name of the namespace")),
    responses(
        (status = 200, description = "The properties", body = PropertyList),
        (status = 404, description = "There is no such namespace", body = FaultBody),
    )
)]
pub async fn list(
    State(app): State<App>,
    call: Call,
    InPath(namespace): InPath<String>,
    _: NoBody,
) -> Result<Json<PropertyList>> {
    let rules = (rules::GET_METADEF_PROPERTIES, rules::GET_METADEF_PROPERTY);
    let (namespace, items) = items::list(&app, &call, &namespace, KIND, rules).await?;
    let properties = items.into_iter().map(|item| (item.name.clone(), Value::Object(view(&namespace, item))));
    Ok(Json(PropertyList { properties: properties.collect() }))
}

/// Makes a property.
#[utoipa::path(
    post, path = "/v2/metadefs/namespaces/{namespace}/properties", tag = "metadefs",
    operation_id = "create_metadef_property",
    params(("namespace" = String, Path, description = "Name of the namespace")),
    request_body(content = Object, description = "See `/v2/schemas/metadefs/property`"),
    responses(
        (status = 201, description = "The property", body = Object),
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
) -> Result<(StatusCode, Json<View>)> {
    let draft = parse(body)?;
    let (namespace, item) =
        items::create(&app, &call, &namespace, KIND, rules::ADD_METADEF_PROPERTY, draft).await?;
    Ok((StatusCode::CREATED, Json(view(&namespace, item))))
}

/// One property.
#[utoipa::path(
    get, path = "/v2/metadefs/namespaces/{namespace}/properties/{property}", tag = "metadefs",
    operation_id = "show_metadef_property",
    params(
        ("namespace" = String, Path, description = "Name of the namespace"),
        ("property" = String, Path, description = "Name of the property"),
        ("resource_type" = Option<String>, Query,
            description = "The name in the path begins with the prefix that properties have on this type"),
    ),
    responses(
        (status = 200, description = "The property", body = Object),
        (status = 404, description = "There is no such namespace or property, or its name lacks the prefix",
            body = FaultBody),
    )
)]
pub async fn show(
    State(app): State<App>,
    call: Call,
    InPath((namespace, name)): InPath<(String, String)>,
    query: Query,
    _: NoBody,
) -> Result<Json<View>> {
    let name = match query.last("resource_type") {
        Some(resource_type) if !resource_type.is_empty() => {
            without_prefix(&app, &call, &namespace, resource_type, name).await?
        }
        _ => name,
    };
    let place = (namespace.as_str(), name.as_str());
    let (namespace, item) = items::show(&app, &call, place, KIND, rules::GET_METADEF_PROPERTY).await?;
    Ok(Json(view(&namespace, item)))
}

async fn without_prefix(
    app: &App,
    call: &Call,
    namespace: &str,
    resource_type: &str,
    name: String,
) -> Result<String> {
    let mut repository = app.database.read().await?;
    let namespace = find(&mut repository, call, namespace).await?;
    check(call, rules::GET_METADEF_RESOURCE_TYPE, Some(&namespace))?;
    let found = items::item(&mut repository, &namespace, ResourceType, resource_type).await;
    let association = found.map_err(|fault| match fault {
        Fault::NotFound(_) => Fault::NotFound(format!(
            "The metadata definition resource-type with name={resource_type}, was not found."
        )),
        other => other,
    })?;
    let prefix = association.definition.get("prefix").and_then(Value::as_str).unwrap_or_default();
    match name.strip_prefix(prefix) {
        Some(rest) if !prefix.is_empty() => Ok(rest.to_owned()),
        _ => Err(Fault::NotFound(format!(
            "Property {name} does not start with the expected resource type association prefix of '{prefix}'."
        ))),
    }
}

endpoints::update!(KIND at "/v2/metadefs/namespaces/{namespace}/properties/{property}" ("property"), by MODIFY_METADEF_PROPERTY, as Object);
endpoints::delete!(KIND at "/v2/metadefs/namespaces/{namespace}/properties/{property}" ("property"), by REMOVE_METADEF_PROPERTY);
endpoints::delete_all!(KIND at "/v2/metadefs/namespaces/{namespace}/properties" ("properties"));
