//! What a PATCH asks for: a list of changes, in either of the two media types.

use serde_json::{Map, Value};

use super::draft::Draft;
use super::property;
use crate::http::ImageSchema;
use crate::image_api::fault::{Fault, Result};
use crate::image_api::locations::patch as locations;

/// Both, as `Accept-Patch` names them.
pub const MEDIA_TYPES: &str =
    "application/openstack-images-v2.0-json-patch, application/openstack-images-v2.1-json-patch";

/// How a change is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Dialect {
    /// v2.0: `{"replace": "/name", "value": ...}`; `add` refuses what is there.
    Draft4,
    /// v2.1: `{"op": "replace", "path": "/name", "value": ...}`; `add` replaces what is there.
    Draft10,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operation {
    Add,
    Remove,
    Replace,
}

/// In the order in which Glance names them.
const OPERATIONS: [(&str, Operation); 3] =
    [("add", Operation::Add), ("remove", Operation::Remove), ("replace", Operation::Replace)];

/// One change.
#[derive(Debug)]
pub enum Change {
    Property(PropertyChange),
    Locations(locations::Change),
}

/// Of one property.
#[derive(Debug)]
pub struct PropertyChange {
    dialect: Dialect,
    operation: Operation,
    property: String,
    /// Null when it is removed.
    value: Value,
}

impl Dialect {
    pub fn of(media_type: &str) -> Option<Self> {
        match media_type {
            "application/openstack-images-v2.0-json-patch" => Some(Dialect::Draft4),
            "application/openstack-images-v2.1-json-patch" => Some(Dialect::Draft10),
            _ => None,
        }
    }

    /// All that can be said against a patch without knowing the image.
    pub fn parse(self, body: Value, images: &ImageSchema) -> Result<Vec<Change>> {
        let Value::Array(changes) = body else {
            return refuse("Request body must be a JSON array of operation objects.");
        };
        changes
            .into_iter()
            .map(|change| match change {
                Value::Object(change) => self.change(change, images),
                _ => refuse("Operations must be JSON objects."),
            })
            .collect()
    }

    fn change(self, mut change: Map<String, Value>, images: &ImageSchema) -> Result<Change> {
        let (name, operation, pointer) = match self {
            Dialect::Draft4 => draft_4(&change)?,
            Dialect::Draft10 => draft_10(&change)?,
        };
        let path = decode(&pointer)?;
        let depth = match (path.first().map(String::as_str), operation) {
            (Some("locations"), Operation::Add | Operation::Remove) => 2,
            _ => 1,
        };
        if path.len() != depth {
            return refuse(format!("Invalid JSON pointer for this resource: '/{}'", path.join("/")));
        }
        let mut path = path.into_iter();
        let (property, position) = (path.next().unwrap_or_default(), path.next().unwrap_or_default());
        let value = match operation {
            Operation::Remove => Value::Null,
            _ => match change.remove("value") {
                Some(value) => value,
                None => return refuse(format!("Operation \"{name}\" requires a member named \"value\".")),
            },
        };
        if property == "locations" {
            return Ok(Change::Locations(match operation {
                Operation::Add => locations::Change::add(&position, &value, images)?,
                Operation::Remove => locations::Change::Remove { position },
                Operation::Replace => locations::Change::replace(&value, images)?,
            }));
        }
        check(operation, &property, &value, images)?;
        Ok(Change::Property(PropertyChange { dialect: self, operation, property, value }))
    }
}

fn draft_4(change: &Map<String, Value>) -> Result<(&'static str, Operation, String)> {
    let mut named = OPERATIONS.into_iter().filter(|(name, _)| change.contains_key(*name));
    match (named.next(), named.next()) {
        (Some((name, operation)), None) => {
            let pointer = change.get(name).and_then(Value::as_str);
            Ok((name, operation, pointer.map_or_else(not_a_text, |pointer| Ok(pointer.to_owned()))?))
        }
        (None, _) => refuse(
            "Operation objects must contain exactly one member named \"add\", \"remove\", or \"replace\".",
        ),
        (Some(_), Some(_)) => refuse(
            "Operation objects must contain only one member named \"add\", \"remove\", or \"replace\".",
        ),
    }
}

fn draft_10(change: &Map<String, Value>) -> Result<(&'static str, Operation, String)> {
    const CHOICES: &str = "It must be one of the following: add, remove, replace.";
    let wanted = match change.get("op") {
        None | Some(Value::Null) => {
            return refuse(format!("Unable to find `op` in JSON Schema change. {CHOICES}"));
        }
        Some(Value::String(wanted)) => wanted.clone(),
        Some(other) => other.to_string(),
    };
    let Some((name, operation)) = OPERATIONS.into_iter().find(|(name, _)| *name == wanted) else {
        let wanted: String = wanted.chars().take(100).collect();
        return refuse(format!("Invalid operation: `{wanted}`. {CHOICES}"));
    };
    match change.get("path") {
        None => refuse("Unable to find 'path' in JSON Schema change"),
        Some(Value::String(pointer)) => Ok((name, operation, pointer.clone())),
        Some(_) => not_a_text(),
    }
}

/// Glance fails with 500 here.
fn not_a_text<T>() -> Result<T> {
    refuse("A JSON pointer must be a string.")
}

/// Glance takes a narrow form of pointers, and blanks around their parts away.
fn decode(pointer: &str) -> Result<Vec<String>> {
    let Some(inside) = pointer.strip_prefix('/') else {
        return refuse(format!("Pointer `{pointer}` does not start with \"/\"."));
    };
    let parts: Vec<&str> = inside.split('/').collect();
    if parts.len() > 2 && parts[1..parts.len() - 1].iter().any(|part| part.trim().is_empty()) {
        return refuse(format!("Pointer `{pointer}` contains adjacent \"/\"."));
    }
    if pointer.len() > 1 && pointer.ends_with('/') {
        return refuse(format!("Pointer `{pointer}` end with \"/\"."));
    }
    let mut after_tildes = pointer.split('~').skip(1);
    if after_tildes.any(|after| !after.starts_with(['0', '1'])) {
        return refuse(format!(
            "Pointer `{pointer}` contains \"~\" not part of a recognized escape sequence."
        ));
    }
    let decoded = |part: &str| part.replace("~1", "/").replace("~0", "~").trim().to_owned();
    Ok(pointer.trim_start_matches('/').split('/').map(decoded).collect())
}

fn check(operation: Operation, property: &str, value: &Value, images: &ImageSchema) -> Result<()> {
    if property::is_read_only(property) || property == "id" {
        return Err(Fault::Forbidden(format!("Attribute '{property}' is read-only.")));
    }
    if property::is_reserved(property) {
        return Err(Fault::Forbidden(format!("Attribute '{property}' is reserved.")));
    }
    if operation == Operation::Remove {
        return Ok(());
    }
    if !property::is_base(property) {
        property::check_custom_name(property)?;
    }
    property::check(property, value, images)
}

fn refuse<T>(reason: impl Into<String>) -> Result<T> {
    Err(Fault::BadRequest(reason.into()))
}

impl Change {
    /// The visibility that it asks for.
    pub fn visibility(&self) -> Option<&str> {
        match self {
            Change::Property(change) if change.property == "visibility" => change.value.as_str(),
            _ => None,
        }
    }

    pub fn of_locations(&self) -> Option<&locations::Change> {
        match self {
            Change::Property(_) => None,
            Change::Locations(change) => Some(change),
        }
    }
}

impl PropertyChange {
    pub fn apply(self, draft: &mut Draft) -> Result<()> {
        let PropertyChange { dialect, operation, property, value } = self;
        let conflict = |what: &str| Err(Fault::ConflictDetail(format!("Property {property} {what}.")));
        match operation {
            Operation::Add if dialect == Dialect::Draft4 && draft.has(&property) => {
                conflict("already present")
            }
            Operation::Replace if !draft.has(&property) => conflict("does not exist"),
            Operation::Add | Operation::Replace => draft.set(&property, value),
            Operation::Remove if property::is_base(&property) => {
                Err(Fault::ForbiddenDetail(format!("Property {property} may not be removed.")))
            }
            Operation::Remove if !draft.has(&property) => conflict("does not exist"),
            Operation::Remove => draft.remove(&property),
        }
    }
}
