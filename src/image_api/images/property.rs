//! The properties that every image has: what they may hold, who may write them, and how that is said as a JSON
//! schema. All else that stands in an image is a custom property: a text under a name of the user's choice.

use serde_json::{Map, Value, json};

use crate::config;
use crate::http::ImageSchema;
use crate::image_api::fault::{Fault, Result};
use crate::image_api::schema::{self, UUID_PATTERN, integral, no_nul};

/// Characters in a name, a tag, an owner or the name of a custom property.
pub const MAX_LENGTH: usize = 255;

/// What 32-bit columns of other services hold.
const MAX_NUMBER: i64 = i32::MAX as i64;

const VISIBILITIES: &[&str] = &["community", "public", "private", "shared"];
const STATUSES: &[&str] = &[
    "queued",
    "saving",
    "active",
    "killed",
    "deleted",
    "uploading",
    "importing",
    "pending_delete",
    "deactivated",
];

#[derive(Clone, Copy)]
enum Holds {
    Id,
    Text,
    /// A text of at most so many characters, or null.
    TextOrNull(usize),
    Choice(&'static [&'static str]),
    /// One of those that are configured, or null.
    ContainerFormat,
    DiskFormat,
    Boolean,
    Integer,
    IntegerOrNull,
    Tags,
    Locations,
}

struct Property {
    name: &'static str,
    holds: Holds,
    read_only: bool,
    description: &'static str,
}

const fn writable(name: &'static str, holds: Holds, description: &'static str) -> Property {
    Property { name, holds, read_only: false, description }
}

const fn read_only(name: &'static str, holds: Holds, description: &'static str) -> Property {
    Property { name, holds, read_only: true, description }
}

const PROPERTIES: &[Property] = &[
    writable("id", Holds::Id, "UUID of the image"),
    writable("name", Holds::TextOrNull(MAX_LENGTH), "Name for people; need not be unique"),
    read_only("status", Holds::Choice(STATUSES), "Where the image is in its life"),
    writable("visibility", Holds::Choice(VISIBILITIES), "Who sees the image"),
    writable("protected", Holds::Boolean, "Whether deletion is refused"),
    writable("os_hidden", Holds::Boolean, "Whether lists leave the image out unless asked for hidden ones"),
    read_only("checksum", Holds::TextOrNull(32), "MD5 of the image's bytes"),
    read_only("os_hash_algo", Holds::TextOrNull(64), "How os_hash_value was computed"),
    read_only("os_hash_value", Holds::TextOrNull(128), "Digest of the image's bytes, in hexadecimal"),
    writable("owner", Holds::TextOrNull(MAX_LENGTH), "Project that the image belongs to"),
    read_only("size", Holds::IntegerOrNull, "Bytes of the image's file"),
    read_only("virtual_size", Holds::IntegerOrNull, "Bytes of the disk in the image's file"),
    writable("container_format", Holds::ContainerFormat, "What wraps the disk"),
    writable("disk_format", Holds::DiskFormat, "How the disk is written in the file"),
    read_only("created_at", Holds::Text, "When the record was made"),
    read_only("updated_at", Holds::Text, "When the record changed last"),
    writable("tags", Holds::Tags, "Texts to find the image by"),
    read_only("direct_url", Holds::Text, "Where the store keeps the bytes"),
    writable("min_ram", Holds::Integer, "MiB of memory needed to boot the image"),
    writable("min_disk", Holds::Integer, "GiB of disk needed to boot the image"),
    read_only("self", Holds::Text, "Path of the image"),
    read_only("file", Holds::Text, "Path of the image's bytes"),
    read_only("stores", Holds::Text, "Which stores have the bytes, where there are several"),
    read_only("schema", Holds::Text, "Path of this schema"),
    writable("locations", Holds::Locations, "Where stores keep the bytes"),
];

/// Names that no user may give a property, though none of the base properties has them.
const RESERVED: &[&str] = &["location", "deleted", "deleted_at"];
const RESERVED_START: &str = "os_glance";

fn base(name: &str) -> Option<&'static Property> {
    PROPERTIES.iter().find(|property| property.name == name)
}

pub fn is_base(name: &str) -> bool {
    base(name).is_some()
}

pub fn is_read_only(name: &str) -> bool {
    base(name).is_some_and(|property| property.read_only)
}

pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name) || name.starts_with(RESERVED_START)
}

/// Refuses the name of a custom property that no column takes.
pub fn check_custom_name(name: &str) -> Result<()> {
    if name.chars().count() > MAX_LENGTH {
        return Err(Fault::BadRequest(
            "Custom property should not be greater than 255 characters.".to_owned(),
        ));
    }
    no_nul(name)
}

/// Refuses a value that the schema does not allow, or no column takes.
pub fn check(name: &str, value: &Value, images: &ImageSchema) -> Result<()> {
    let place = format!("['{name}']");
    match images.form_of(name) {
        Some(form) => schema::check_within("image", form, value, &place),
        None => schema::check_within("image", &json!({"type": "string"}), value, &place),
    }
}

/// `min_ram` or `min_disk`, in their bounds.
pub fn number(name: &str, value: &Value) -> Result<i64> {
    let number = integral(value).unwrap_or(i128::MAX);
    match i64::try_from(number) {
        Ok(number) if number < 0 => Err(Fault::BadRequest(format!(
            "Invalid value '{number}' for parameter '{name}': Cannot be a negative value"
        ))),
        Ok(number) if number <= MAX_NUMBER => Ok(number),
        _ => Err(Fault::BadRequest(format!("'{name}' value out of range, must not exceed {MAX_NUMBER}."))),
    }
}

impl Holds {
    fn schema(self, options: &config::Images) -> Value {
        match self {
            Holds::Id => json!({"type": "string", "pattern": UUID_PATTERN}),
            Holds::Text => json!({"type": "string"}),
            Holds::TextOrNull(max) => json!({"type": ["null", "string"], "maxLength": max}),
            Holds::Choice(choices) => json!({"type": "string", "enum": choices}),
            Holds::ContainerFormat => choice_or_null(&options.container_formats),
            Holds::DiskFormat => choice_or_null(&options.disk_formats),
            Holds::Boolean => json!({"type": "boolean"}),
            Holds::Integer => json!({"type": "integer"}),
            Holds::IntegerOrNull => json!({"type": ["null", "integer"]}),
            Holds::Tags => {
                json!({"type": "array", "items": {"type": "string", "maxLength": MAX_LENGTH}})
            }
            Holds::Locations => json!({
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "url": {"type": "string", "maxLength": MAX_LENGTH},
                        "metadata": {"type": "object"},
                        "validation_data": {
                            "type": "object",
                            "writeOnly": true,
                            "additionalProperties": false,
                            "properties": {
                                "checksum": {"type": "string", "minLength": 32, "maxLength": 32},
                                "os_hash_algo": {"type": "string", "maxLength": 64},
                                "os_hash_value": {"type": "string", "maxLength": 128},
                            },
                            "required": ["os_hash_algo", "os_hash_value"],
                        },
                    },
                    "required": ["url", "metadata"],
                },
            }),
        }
    }
}

fn choice_or_null(choices: &[String]) -> Value {
    let choices: Vec<Option<&str>> =
        std::iter::once(None).chain(choices.iter().map(|choice| Some(choice.as_str()))).collect();
    json!({"type": ["null", "string"], "enum": choices})
}

/// The base properties as a JSON schema has them.
pub fn schemas(options: &config::Images) -> Map<String, Value> {
    let schema = |property: &Property| {
        let mut schema = property.holds.schema(options);
        if property.read_only {
            schema["readOnly"] = Value::Bool(true);
        }
        schema["description"] = Value::String(property.description.to_owned());
        (property.name.to_owned(), schema)
    };
    PROPERTIES.iter().map(schema).collect()
}
