//! Custom properties that have a form: the file that Glance calls `schema-image.json`. Without one they are those that
//! Glance is packaged with.
//!
//! They are kept as texts, like all custom properties. A null is kept as an empty one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::property;
use crate::config;
use crate::http::ImageSchema;
use crate::image_api::schema::{self, UUID_PATTERN};

/// Longer than any that anybody keeps.
const LARGEST: u64 = 1 << 20;

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum SchemaFault {
    #[error("{}: cannot be read: {source}", .path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{}: {reason}", .path.display())]
    Wrong { path: PathBuf, reason: String },
}

/// The schema of images, of these options and of the file that they name.
pub fn image_schema(options: &config::Images) -> Result<ImageSchema, SchemaFault> {
    let Some(path) = &options.schema_file else {
        return Ok(ImageSchema::new(with_base(options, packaged()), Vec::new(), misfit));
    };
    let wrong = |reason| SchemaFault::Wrong { path: path.clone(), reason };
    let (custom, required) = parse(&read(path)?).map_err(wrong)?;
    Ok(ImageSchema::new(with_base(options, custom), required, misfit))
}

fn read(path: &Path) -> Result<String, SchemaFault> {
    let unreadable = |source| SchemaFault::Unreadable { path: path.to_owned(), source };
    if fs::metadata(path).map_err(unreadable)?.len() > LARGEST {
        let reason = format!("the file is larger than {LARGEST} bytes");
        return Err(SchemaFault::Wrong { path: path.to_owned(), reason });
    }
    fs::read_to_string(path).map_err(unreadable)
}

fn with_base(options: &config::Images, custom: Map<String, Value>) -> Map<String, Value> {
    let mut properties = property::schemas(options);
    properties.extend(custom.into_iter().map(|(name, mut form)| {
        form["is_base"] = Value::Bool(false);
        (name, form)
    }));
    properties
}

/// Properties by name, or these as `properties`, and as `required` the names of those that a new image must have.
fn parse(text: &str) -> Result<(Map<String, Value>, Vec<String>), String> {
    let whole: Value = serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
    let Value::Object(mut whole) = whole else { return Err("must be an object".to_owned()) };
    if !whole.contains_key("properties") {
        return Ok((properties(whole)?, Vec::new()));
    }
    let Some(Value::Object(custom)) = whole.remove("properties") else {
        return Err("\"properties\" must be an object".to_owned());
    };
    let required = match whole.remove("required") {
        None | Some(Value::Null) => Vec::new(),
        Some(required) => {
            serde_json::from_value(required).map_err(|_| "\"required\" must be a list of names".to_owned())?
        }
    };
    if let Some(name) = whole.keys().next() {
        return Err(format!("has only \"properties\" and \"required\", not {name:?}"));
    }
    let custom = properties(custom)?;
    let may_be_given =
        |name: &str| custom.contains_key(name) || property::is_base(name) && !property::is_read_only(name);
    match required.iter().find(|name: &&String| !may_be_given(name)) {
        Some(name) => Err(format!("requires {name:?}, which no request may give")),
        None => Ok((custom, required)),
    }
}

fn properties(custom: Map<String, Value>) -> Result<Map<String, Value>, String> {
    for (name, form) in &custom {
        if property::is_base(name) || property::is_reserved(name) {
            return Err(format!("{name:?} is no custom property: its form is given"));
        }
        if name.is_empty() || property::check_custom_name(name).is_err() {
            return Err(format!("{name:?} is no name that a property may have"));
        }
        schema::check_language(form).map_err(|reason| format!("{name:?}: {reason}"))?;
    }
    Ok(custom)
}

/// What Glance comes with.
fn packaged() -> Map<String, Value> {
    let text = |description: &str| json!({"type": "string", "description": description});
    let image = |description: &str| json!({"type": ["null", "string"], "pattern": UUID_PATTERN, "description": description});
    let key = "cinder_encryption_key_id";
    [
        ("kernel_id", image("UUID of the image with the kernel that this one boots with")),
        ("ramdisk_id", image("UUID of the image with the ramdisk that this one boots with")),
        ("instance_uuid", text("Server that the image was made of; nothing is done with it")),
        ("architecture", text("Processor that the system in the image is for")),
        ("os_distro", text("Distribution of the operating system, in short")),
        ("os_version", text("Version of the operating system, as its distribution has it")),
        ("description", text("What the image is, for people")),
        (key, text("Key in Barbican that volumes from the image are opened with")),
        (
            "cinder_encryption_key_deletion_policy",
            json!({
                "type": "string",
                "enum": ["on_image_deletion", "do_not_delete"],
                "description": format!("Whether the key of {key} is deleted with the image; left out: it is not"),
            }),
        ),
    ]
    .map(|(name, form)| (name.to_owned(), form))
    .into_iter()
    .collect()
}

/// What is kept of a value.
pub fn kept(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// And back. A text that is nothing that the property may be was there before it had this form: it is shown as it is.
pub fn shown(form: Option<&Value>, text: String) -> Value {
    let Some(form) = form else { return Value::String(text) };
    let may_be = |value: &Value| refused_type(form, value).is_none();
    if text.is_empty() && form.get("type").is_some() && may_be(&Value::Null) {
        return Value::Null;
    }
    let text = Value::String(text);
    if may_be(&text) {
        return text;
    }
    let value = text.as_str().and_then(|text| serde_json::from_str(text).ok());
    value.filter(may_be).unwrap_or(text)
}

fn misfit(name: &str, form: &Value, text: &str) -> Option<String> {
    schema::misfit("image", form, &shown(Some(form), text.to_owned()), &format!("['{name}']"))
}

fn refused_type(form: &Value, value: &Value) -> Option<String> {
    form.get("type").and_then(|kind| schema::refused("type", kind, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_file_are_read() {
        let flat = r#"{"a": {"type": "string"}, "b": {"type": ["null", "integer"], "minimum": 1}}"#;
        let (custom, required) = parse(flat).unwrap();
        assert_eq!((custom.len(), required.len()), (2, 0));
        let extended = format!(r#"{{"properties": {flat}, "required": ["a", "disk_format"]}}"#);
        assert_eq!(parse(&extended).unwrap(), (custom, vec!["a".to_owned(), "disk_format".to_owned()]));
        for nothing in ["{}", r#"{"properties": {}}"#, r#"{"properties": {}, "required": null}"#] {
            assert_eq!(parse(nothing).unwrap(), (Map::new(), Vec::new()), "{nothing}");
        }
        let (custom, _) = parse(&Value::Object(packaged()).to_string()).unwrap();
        assert_eq!(custom.len(), 9);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told() {
        let long = "x".repeat(256);
        for (text, reason) in [
            ("", "is no JSON: EOF while parsing a value at line 1 column 0"),
            ("[]", "must be an object"),
            (r#"{"properties": []}"#, "\"properties\" must be an object"),
            (r#"{"properties": {}, "required": "a"}"#, "\"required\" must be a list of names"),
            (r#"{"properties": {}, "b": 1}"#, "has only \"properties\" and \"required\", not \"b\""),
            (
                r#"{"properties": {}, "required": ["status"]}"#,
                "requires \"status\", which no request may give",
            ),
            (r#"{"properties": {}, "required": ["a"]}"#, "requires \"a\", which no request may give"),
            (r#"{"size": {"type": "integer"}}"#, "\"size\" is no custom property: its form is given"),
            (r#"{"os_glance_x": {}}"#, "\"os_glance_x\" is no custom property: its form is given"),
            (r#"{"": {}}"#, "\"\" is no name that a property may have"),
            (&format!(r#"{{"{long}": {{}}}}"#), &format!("{long:?} is no name that a property may have")),
            (r#"{"a": 1}"#, "\"a\": a schema must be an object"),
            (r#"{"a": {"type": "text"}}"#, "\"a\": there is no type \"text\""),
        ] {
            assert_eq!(parse(text).unwrap_err(), reason, "{text}");
        }
    }

    #[test]
    fn values_come_back_as_they_were_given() {
        for (form, value, text) in [
            (json!({"type": "string"}), json!("5"), "5"),
            (json!({"type": "string"}), json!(""), ""),
            (json!({"type": "integer"}), json!(5), "5"),
            (json!({"type": "boolean"}), json!(true), "true"),
            (json!({"type": "array"}), json!(["a", 1]), r#"["a",1]"#),
            (json!({"type": ["null", "object"]}), json!({"a": null}), r#"{"a":null}"#),
            (json!({"type": ["null", "string"]}), Value::Null, ""),
            (json!({}), json!("5"), "5"),
            (json!({}), json!(""), ""),
        ] {
            assert_eq!(kept(value.clone()), text);
            assert_eq!(shown(Some(&form), text.to_owned()), value, "{form}");
        }
        assert_eq!(shown(None, "5".to_owned()), json!("5"));
        // There before it had a form.
        assert_eq!(shown(Some(&json!({"type": "integer"})), "many".to_owned()), json!("many"));
        assert_eq!(shown(Some(&json!({"type": "boolean"})), "5".to_owned()), json!("5"));
    }
}
