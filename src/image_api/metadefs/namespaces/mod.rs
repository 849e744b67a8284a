//! Namespaces.

pub mod create;
pub mod delete;
pub mod list;
pub mod show;
pub mod update;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::items::Draft;
use super::objects::{self, ObjectView};
use super::resource_types::{self, AssociationView};
use super::tags::{self, TagName};
use super::{fields, properties, take_text};
use crate::db::{MetadefItem, MetadefNamespace};
use crate::image_api::fault::{Fault, Result};
use crate::image_api::schemas;

/// Of all of them.
const PATH: &str = "/v2/metadefs/namespaces";

/// What only the service writes.
const READ_ONLY: [&str; 4] = ["self", "schema", "created_at", "updated_at"];

/// The order of the fields is Glance's. What is in the namespace is there when one is looked at alone, and when there
/// is any of it.
#[derive(Serialize, ToSchema)]
#[schema(title = "Namespace")]
pub struct NamespaceView {
    namespace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// `public` or `private`.
    visibility: String,
    protected: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    created_at: String,
    updated_at: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resource_type_associations: Vec<AssociationView>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    properties: Map<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    objects: Vec<ObjectView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<TagName>,
    #[serde(rename = "self")]
    itself: String,
    schema: &'static str,
}

/// What is in a namespace.
struct Held {
    resource_types: Vec<MetadefItem>,
    objects: Vec<MetadefItem>,
    tags: Vec<MetadefItem>,
    properties: Vec<MetadefItem>,
}

impl NamespaceView {
    /// With all that is in it; on this resource type properties have the names that they have there.
    fn whole(namespace: MetadefNamespace, held: Held, resource_type: &str) -> Self {
        let mut view = Self::from(namespace);
        view.resource_type_associations =
            held.resource_types.into_iter().map(AssociationView::from).collect();
        let mut associations = view.resource_type_associations.iter();
        let prefix = associations.find_map(|one| one.prefix_on(resource_type)).unwrap_or_default().to_owned();
        view.properties = properties::under_their_names(held.properties, &prefix);
        let object = |item| ObjectView::new(&view.namespace, item, &prefix);
        view.objects = held.objects.into_iter().map(object).collect();
        view.tags = tags::names(held.tags);
        view
    }
}

impl From<MetadefNamespace> for NamespaceView {
    fn from(namespace: MetadefNamespace) -> Self {
        Self {
            itself: path(&namespace),
            namespace: namespace.name,
            display_name: namespace.display_name,
            description: namespace.description,
            visibility: namespace.visibility,
            protected: namespace.protected,
            owner: namespace.project_id.map(|project| project.0),
            created_at: namespace.created_at.to_seconds(),
            updated_at: namespace.updated_at.to_seconds(),
            resource_type_associations: Vec::new(),
            properties: Map::new(),
            objects: Vec::new(),
            tags: Vec::new(),
            schema: "/v2/schemas/metadefs/namespace",
        }
    }
}

fn path(namespace: &MetadefNamespace) -> String {
    format!("{PATH}/{}", namespace.name)
}

/// A namespace in a body, and what is in it.
struct Wanted {
    name: String,
    display_name: Option<String>,
    description: Option<String>,
    visibility: String,
    protected: bool,
    owner: Option<String>,
    resource_types: Vec<Draft>,
    properties: Vec<Draft>,
    objects: Vec<Draft>,
    tags: Vec<Draft>,
}

fn parse(body: Value) -> Result<Wanted> {
    let mut fields = fields(body, &schemas::metadefs::namespace(), &READ_ONLY)?;
    let name = take_text(&mut fields, "namespace").unwrap_or_default();
    if name.is_empty() {
        // Glance takes it, and then finds it nowhere.
        return Err(Fault::BadRequest("The name of a namespace must not be empty.".to_owned()));
    }
    let named = match fields.shift_remove("properties") {
        Some(Value::Object(named)) => named,
        _ => Map::new(),
    };
    Ok(Wanted {
        name,
        display_name: take_text(&mut fields, "display_name"),
        description: take_text(&mut fields, "description"),
        visibility: take_text(&mut fields, "visibility").unwrap_or_else(|| "private".to_owned()),
        protected: fields.get("protected") == Some(&Value::Bool(true)),
        owner: take_text(&mut fields, "owner"),
        resource_types: all(&mut fields, "resource_type_associations", resource_types::parse)?,
        properties: named
            .into_iter()
            .map(|(name, property)| properties::named(name, property))
            .collect::<Result<_>>()?,
        objects: all(&mut fields, "objects", objects::parse)?,
        tags: all(&mut fields, "tags", tags::parse)?,
    })
}

/// Of what was shown before, and is now sent back, only the service's own is left out.
fn all(fields: &mut Map<String, Value>, name: &str, parse: fn(Value) -> Result<Draft>) -> Result<Vec<Draft>> {
    let items = match fields.shift_remove(name) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    };
    let shown_before = |mut item: Value| {
        if let Some(fields) = item.as_object_mut() {
            fields.retain(|name, _| !READ_ONLY.contains(&name.as_str()));
        }
        item
    };
    items.into_iter().map(|item| parse(shown_before(item))).collect()
}
