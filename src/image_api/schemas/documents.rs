//! Images, members and tasks; and what lists of anything look like.

use serde_json::{Value, json};

use crate::http::ImageSchema;
use crate::image_api::schema::UUID_PATTERN;

pub fn image(images: &ImageSchema) -> Value {
    let mut image = json!({
        "name": "image",
        "properties": images.properties(),
        "additionalProperties": {"type": "string"},
    });
    if !images.required().is_empty() {
        image["required"] = json!(images.required());
    }
    image["links"] = json!([
        {"rel": "self", "href": "{self}"},
        {"rel": "enclosure", "href": "{file}"},
        {"rel": "describedby", "href": "{schema}"},
    ]);
    image
}

pub fn member() -> Value {
    json!({
        "name": "member",
        "properties": {
            "member_id": {"type": "string", "description": "Project that the image was given to"},
            "image_id": {"type": "string", "description": "UUID of the image", "pattern": UUID_PATTERN},
            "created_at": {"type": "string", "description": "When the image was given to the project"},
            "updated_at": {"type": "string", "description": "When the project last said something to it"},
            "status": {
                "type": "string",
                "description": "What the project says to it",
                "enum": ["pending", "accepted", "rejected"],
            },
            "schema": {"readOnly": true, "type": "string"},
        },
    })
}

pub fn task() -> Value {
    json!({
        "name": "task",
        "properties": {
            "id": {"description": "UUID of the task", "pattern": UUID_PATTERN, "type": "string"},
            "type": {
                "description": "What is done",
                "enum": ["import", "api_image_import", "location_import"],
                "type": "string",
            },
            "status": {
                "description": "Where the task is in its life",
                "enum": ["pending", "processing", "success", "failure"],
                "type": "string",
            },
            "input": {"description": "What it was asked to do", "type": ["null", "object"]},
            "result": {"description": "What came of it", "type": ["null", "object"]},
            "owner": {"description": "Project that asked for it", "type": "string"},
            "message": {"description": "What is to be said of it, of a failure above all", "type": "string"},
            "image_id": {"description": "Image that it is about", "type": "string"},
            "request_id": {"description": "Request that asked for it", "type": "string"},
            "user_id": {"description": "User who asked for it", "type": "string"},
            "expires_at": {"description": "When it will be forgotten", "type": ["null", "string"]},
            "created_at": {"description": "When it was asked for", "type": "string"},
            "updated_at": {"description": "When it changed last", "type": "string"},
            "self": {"readOnly": true, "type": "string"},
            "schema": {"readOnly": true, "type": "string"},
        },
    })
}

/// What a client may send.
pub fn task_to_make() -> Value {
    let mut task = task();
    task["additionalProperties"] = Value::Bool(false);
    task
}

pub fn task_in_list() -> Value {
    let mut task = task();
    if let Some(properties) = task["properties"].as_object_mut() {
        properties.retain(|name, _| !["input", "result", "message"].contains(&name.as_str()));
    }
    task
}

/// A list that says where its other pages are.
pub fn paged(name: &str, item: Value) -> Value {
    collection(name, item, |item| json!({"type": "array", "items": item}), true)
}

/// The same, of things under their names.
pub fn paged_by_name(name: &str, item: Value) -> Value {
    collection(name, item, |item| json!({"type": "object", "additionalProperties": item}), true)
}

pub fn unpaged(name: &str, item: Value) -> Value {
    collection(name, item, |item| json!({"type": "array", "items": item}), false)
}

/// Definitions stand at the top, where references look for them.
fn collection(name: &str, mut item: Value, all: fn(Value) -> Value, is_paged: bool) -> Value {
    let definitions = item.as_object_mut().and_then(|item| item.shift_remove("definitions"));
    let text = || json!({"type": "string"});
    let link = |rel: &str, href: &str| json!({"rel": rel, "href": href});
    let mut collection = json!({"name": name, "properties": {name: all(item)}});
    let mut links = Vec::new();
    if is_paged {
        collection["properties"]["first"] = text();
        collection["properties"]["next"] = text();
        links.extend([link("first", "{first}"), link("next", "{next}")]);
    }
    collection["properties"]["schema"] = text();
    links.push(link("describedby", "{schema}"));
    collection["links"] = Value::Array(links);
    if let Some(definitions) = definitions {
        collection["definitions"] = definitions;
    }
    collection
}
