//! The properties that every image has: what they may hold, who may write them, and how that is said as a JSON
//! schema. All else that stands in an image is a custom property: a text under a name of the user's choice.

use serde_json::{Map, Value, json};

use crate::image_api::fault::{Fault, Result};

/// Characters in a name, a tag, an owner or the name of a custom property.
pub const MAX_LENGTH: usize = 255;

/// What 32-bit columns of other services hold.
const MAX_NUMBER: i64 = i32::MAX as i64;

const CONTAINER_FORMATS: &[&str] = &["ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"];
const DISK_FORMATS: &[&str] =
    &["ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"];
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

const ID_PATTERN: &str =
    "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$";

#[derive(Clone, Copy)]
enum Holds {
    Id,
    Text,
    /// A text of at most so many characters, or null.
    TextOrNull(usize),
    Choice(&'static [&'static str]),
    ChoiceOrNull(&'static [&'static str]),
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
    writable("container_format", Holds::ChoiceOrNull(CONTAINER_FORMATS), "What wraps the disk"),
    writable("disk_format", Holds::ChoiceOrNull(DISK_FORMATS), "How the disk is written in the file"),
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
    writable("locations", Holds::Locations, "Where stores keep the bytes; refused by this service"),
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
pub fn check(name: &str, value: &Value) -> Result<()> {
    let holds = base(name).map_or(Holds::Text, |property| property.holds);
    if let Err((reason, place)) = holds.allows(value) {
        return Err(Fault::BadRequest(format!(
            "Provided object does not match schema 'image': {reason}\n\nOn instance['{name}']{place}"
        )));
    }
    match value {
        Value::String(text) => no_nul(text),
        Value::Array(items) => items.iter().filter_map(Value::as_str).try_for_each(no_nul),
        _ => Ok(()),
    }
}

/// Glance takes NUL where MySQL does; PostgreSQL has no way to keep it.
pub fn no_nul(text: &str) -> Result<()> {
    if text.contains('\0') {
        return Err(Fault::BadRequest("The character NUL is not allowed in texts.".to_owned()));
    }
    Ok(())
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

/// A JSON schema calls 1.0 an integer.
fn integral(value: &Value) -> Option<i128> {
    if let Some(number) = value.as_i64() {
        return Some(number.into());
    }
    let number = value.as_f64()?;
    (number.fract() == 0.0).then_some(number as i128)
}

impl Holds {
    /// Else the reason, and where in the value.
    fn allows(self, value: &Value) -> Result<(), (String, String)> {
        let shown = || shown(value);
        let refuse = |reason: String| Err((reason, String::new()));
        let wrong_type = |types: &str| refuse(format!("{} is not of type {types}", shown()));
        let text_of = |types: &str, max: usize| match value.as_str() {
            None => wrong_type(types),
            Some(text) if text.chars().count() > max => refuse(format!("{} is too long", shown())),
            Some(_) => Ok(()),
        };
        let choice_of = |choices: &[&str], null: &str| match value.as_str() {
            Some(text) if choices.contains(&text) => Ok(()),
            _ => refuse(format!("{} is not one of [{null}'{}']", shown(), choices.join("', '"))),
        };
        match self {
            Holds::TextOrNull(_) | Holds::ChoiceOrNull(_) | Holds::IntegerOrNull if value.is_null() => Ok(()),
            Holds::Text => text_of("'string'", usize::MAX),
            Holds::TextOrNull(max) => text_of("'null', 'string'", max),
            Holds::Id => match value.as_str() {
                None => wrong_type("'string'"),
                Some(text) if super::view::parse_id(text).is_none() => {
                    refuse(format!("{} does not match '{ID_PATTERN}'", shown()))
                }
                Some(_) => Ok(()),
            },
            Holds::Choice(_) if !value.is_string() => wrong_type("'string'"),
            Holds::ChoiceOrNull(_) if !value.is_string() => wrong_type("'null', 'string'"),
            Holds::Choice(choices) => choice_of(choices, ""),
            Holds::ChoiceOrNull(choices) => choice_of(choices, "None, "),
            Holds::Boolean if !value.is_boolean() => wrong_type("'boolean'"),
            Holds::Integer if integral(value).is_none() => wrong_type("'integer'"),
            Holds::IntegerOrNull if integral(value).is_none() => wrong_type("'null', 'integer'"),
            Holds::Boolean | Holds::Integer | Holds::IntegerOrNull => Ok(()),
            Holds::Locations if !value.is_array() => wrong_type("'array'"),
            Holds::Locations => Ok(()),
            Holds::Tags => {
                let Some(tags) = value.as_array() else { return wrong_type("'array'") };
                tags.iter().enumerate().try_for_each(|(i, tag)| {
                    let reason = match tag.as_str() {
                        None => "is not of type 'string'",
                        Some(text) if text.chars().count() > MAX_LENGTH => "is too long",
                        Some(_) => return Ok(()),
                    };
                    Err((format!("{} {reason}", self::shown(tag)), format!("[{i}]")))
                })
            }
        }
    }

    fn schema(self) -> Value {
        match self {
            Holds::Id => json!({"type": "string", "pattern": ID_PATTERN}),
            Holds::Text => json!({"type": "string"}),
            Holds::TextOrNull(max) => json!({"type": ["null", "string"], "maxLength": max}),
            Holds::Choice(choices) => json!({"type": "string", "enum": choices}),
            Holds::ChoiceOrNull(choices) => {
                let choices: Vec<Option<&str>> =
                    std::iter::once(None).chain(choices.iter().copied().map(Some)).collect();
                json!({"type": ["null", "string"], "enum": choices})
            }
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
                    },
                    "required": ["url", "metadata"],
                },
            }),
        }
    }
}

/// A value in an error text as Python writes it, and never more than a line of it.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::String(text) => format!("'{text}'"),
        Value::Array(_) => "[...]".to_owned(),
        Value::Object(_) => "{...}".to_owned(),
        Value::Number(number) => number.to_string(),
    };
    match text.char_indices().nth(300) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// The base properties as a JSON schema has them.
pub fn schemas() -> Map<String, Value> {
    let schema = |property: &Property| {
        let mut schema = property.holds.schema();
        if property.read_only {
            schema["readOnly"] = Value::Bool(true);
        }
        schema["description"] = Value::String(property.description.to_owned());
        (property.name.to_owned(), schema)
    };
    PROPERTIES.iter().map(schema).collect()
}
