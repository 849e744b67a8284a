//! Metadata definitions.

use serde_json::{Value, json};

/// Characters in a name, a prefix, a target.
const MAX_LENGTH: u64 = 80;

fn text(max: u64, description: &str) -> Value {
    json!({"type": "string", "description": description, "maxLength": max})
}

fn moment(description: &str) -> Value {
    json!({"type": "string", "readOnly": true, "description": description, "format": "date-time"})
}

fn path() -> Value {
    json!({"readOnly": true, "type": "string"})
}

fn name() -> Value {
    json!({"type": "string", "maxLength": MAX_LENGTH})
}

pub fn namespace() -> Value {
    let texts =
        |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), json!({"type": "string"}))).collect();
    let list =
        |properties: Value| json!({"type": "array", "items": {"type": "object", "properties": properties}});
    json!({
        "name": "namespace",
        "properties": {
            "namespace": text(MAX_LENGTH, "Name that is there once"),
            "display_name": text(MAX_LENGTH, "Name for people"),
            "description": text(500, "What the namespace is about"),
            "visibility": {"type": "string", "description": "Who sees it", "enum": ["public", "private"]},
            "protected": {"type": "boolean", "description": "Whether deletion is refused"},
            "owner": text(255, "Project that the namespace belongs to"),
            "created_at": moment("When it was made"),
            "updated_at": moment("When it changed last"),
            "schema": path(),
            "self": path(),
            "resource_type_associations": list(Value::Object(texts(&["name", "prefix", "properties_target"]))),
            "properties": {"$ref": "#/definitions/property"},
            "objects": list(json!({
                "name": {"type": "string"},
                "description": {"type": "string"},
                "required": {"$ref": "#/definitions/stringArray"},
                "properties": {"$ref": "#/definitions/property"},
            })),
            "tags": list(Value::Object(texts(&["name"]))),
        },
        "additionalProperties": false,
        "definitions": definitions_of_objects(),
        "required": ["namespace"],
    })
}

pub fn object() -> Value {
    json!({
        "name": "object",
        "properties": {
            "name": name(),
            "description": {"type": "string"},
            "required": {"$ref": "#/definitions/stringArray"},
            "properties": {"$ref": "#/definitions/property"},
            "schema": path(),
            "self": path(),
            "created_at": moment("When it was made"),
            "updated_at": moment("When it changed last"),
        },
        "additionalProperties": false,
        "definitions": definitions_of_objects(),
        "required": ["name"],
    })
}

pub fn property() -> Value {
    let mut property = property_under_its_name();
    property["required"] = json!(["type", "title", "name"]);
    property
}

/// Where a list says the name there is no need to repeat it.
pub fn property_under_its_name() -> Value {
    let mut definitions = definitions();
    definitions["stringArray"] =
        json!({"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": true});
    json!({
        "name": "property",
        "properties": property_fields(),
        "additionalProperties": false,
        "definitions": definitions,
        "required": ["type", "title"],
    })
}

pub fn tag() -> Value {
    json!({
        "name": "tag",
        "properties": {
            "name": name(),
            "created_at": moment("When it was made"),
            "updated_at": moment("When it changed last"),
        },
        "additionalProperties": false,
        "required": ["name"],
    })
}

/// Several at once; this one is nowhere shown.
pub fn tags_to_make() -> Value {
    json!({
        "name": "tags",
        "properties": {
            "tags": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"name": name()},
                    "required": ["name"],
                    "additionalProperties": false,
                },
            },
        },
        "additionalProperties": false,
        "required": ["tags"],
    })
}

pub fn resource_type() -> Value {
    json!({
        "name": "resource_type_association",
        "properties": {
            "name": text(MAX_LENGTH, "Resource type, by Heat's name if it has one there"),
            "prefix": text(MAX_LENGTH, "What stands before the names of properties, with its separator, on this type"),
            "properties_target": text(MAX_LENGTH, "Which properties are meant, where the type has several kinds"),
            "created_at": moment("When the namespace was given the type"),
            "updated_at": moment("When that changed last"),
        },
        "additionalProperties": false,
        "required": ["name"],
    })
}

fn definitions() -> Value {
    json!({
        "positiveInteger": {"type": "integer", "minimum": 0},
        "positiveIntegerDefault0": {"allOf": [{"$ref": "#/definitions/positiveInteger"}, {"default": 0}]},
        "stringArray": {"type": "array", "items": {"type": "string"}, "uniqueItems": true},
    })
}

fn definitions_of_objects() -> Value {
    let mut definitions = definitions();
    definitions["property"] = json!({
        "type": "object",
        "additionalProperties": {
            "type": "object",
            "required": ["title", "type"],
            "properties": property_fields(),
        },
    });
    definitions
}

fn property_fields() -> Value {
    let kind = json!({
        "type": "string",
        "enum": ["array", "boolean", "integer", "number", "object", "string", null],
    });
    json!({
        "name": name(),
        "title": {"type": "string"},
        "description": {"type": "string"},
        "operators": {"type": "array", "items": {"type": "string"}},
        "type": kind,
        "required": {"$ref": "#/definitions/stringArray"},
        "minimum": {"type": "number"},
        "maximum": {"type": "number"},
        "maxLength": {"$ref": "#/definitions/positiveInteger"},
        "minLength": {"$ref": "#/definitions/positiveIntegerDefault0"},
        "pattern": {"type": "string", "format": "regex"},
        "enum": {"type": "array"},
        "readonly": {"type": "boolean"},
        "default": {},
        "items": {"type": "object", "properties": {"type": kind, "enum": {"type": "array"}}},
        "maxItems": {"$ref": "#/definitions/positiveInteger"},
        "minItems": {"$ref": "#/definitions/positiveIntegerDefault0"},
        "uniqueItems": {"type": "boolean", "default": false},
        "additionalItems": {"type": "boolean"},
    })
}
