//! What an image is, as JSON schemas. Clients take the names of the base properties from here, to tell them from
//! custom ones.

use axum::Json;
use serde_json::{Value, json};

use super::fault::{FaultBody, Result};
use super::images::property;
use super::request::NoBody;

/// The schema of an image.
#[utoipa::path(
    get, path = "/v2/schemas/image", tag = "schemas",
    responses(
        (status = 200, description = "A JSON schema", body = Object),
        (status = 400, description = "A body came with the request", body = FaultBody),
    )
)]
pub(super) async fn image(_: NoBody) -> Result<Json<Value>> {
    Ok(Json(image_schema()))
}

/// The schema of a list of images.
#[utoipa::path(
    get, path = "/v2/schemas/images", tag = "schemas",
    responses(
        (status = 200, description = "A JSON schema", body = Object),
        (status = 400, description = "A body came with the request", body = FaultBody),
    )
)]
pub(super) async fn images(_: NoBody) -> Result<Json<Value>> {
    Ok(Json(json!({
        "name": "images",
        "properties": {
            "images": {"type": "array", "items": image_schema()},
            "first": {"type": "string"},
            "next": {"type": "string"},
            "schema": {"type": "string"},
        },
        "links": [
            {"rel": "first", "href": "{first}"},
            {"rel": "next", "href": "{next}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    })))
}

fn image_schema() -> Value {
    json!({
        "name": "image",
        "properties": property::schemas(),
        "additionalProperties": {"type": "string"},
        "links": [
            {"rel": "self", "href": "{self}"},
            {"rel": "enclosure", "href": "{file}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    })
}
