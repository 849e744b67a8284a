//! Values against the schemas of a document: as much of their language as bodies use. A word that is not
//! known here is an error, lest a schema says more than is looked at.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::{Map, Value};

/// Why the value does not fit; `None`: it does.
pub fn flaw(document: &Value, schema: &Value, value: &Value) -> Option<String> {
    let schema = schema.as_object().unwrap();
    schema.iter().find_map(|(word, says)| flaw_by(document, schema, word, says, value))
}

fn flaw_by(
    document: &Value,
    schema: &Map<String, Value>,
    word: &str,
    says: &Value,
    value: &Value,
) -> Option<String> {
    let fits = |schema: &Value| flaw(document, schema, value).is_none();
    let number = says.as_i64();
    let is_good = match word {
        "$ref" => return flaw(document, resolved(document, says), value),
        "type" => match says {
            Value::Array(types) => types.iter().any(|name| is_of(value, name)),
            one => is_of(value, one),
        },
        "enum" => says.as_array().unwrap().contains(value),
        "allOf" => return says.as_array().unwrap().iter().find_map(|part| flaw(document, part, value)),
        "anyOf" => says.as_array().unwrap().iter().any(fits),
        "oneOf" => says.as_array().unwrap().iter().filter(|schema| fits(schema)).count() == 1,
        "required" => {
            let has = |name: &Value| value.get(name.as_str().unwrap()).is_some();
            !value.is_object() || says.as_array().unwrap().iter().all(has)
        }
        "propertyNames" => {
            let names = value.as_object().into_iter().flat_map(|fields| fields.keys());
            return names.into_iter().find_map(|name| flaw(document, says, &Value::from(name.as_str())));
        }
        // Looked at with these.
        "additionalProperties" if schema.contains_key("properties") => true,
        "properties" | "additionalProperties" => return flaw_in_fields(document, schema, value),
        "minProperties" => value.as_object().is_none_or(|fields| fields.len() as i64 >= number.unwrap()),
        "maxProperties" => value.as_object().is_none_or(|fields| fields.len() as i64 <= number.unwrap()),
        "items" => {
            let items = value.as_array().into_iter().flatten();
            return items.into_iter().find_map(|item| flaw(document, says, item));
        }
        "uniqueItems" => value.as_array().is_none_or(|items| {
            items.iter().map(Value::to_string).collect::<BTreeSet<_>>().len() == items.len()
        }),
        "minimum" => value.as_i64().is_none_or(|value| value >= number.unwrap()),
        "maximum" => value.as_i64().is_none_or(|value| value <= number.unwrap()),
        "minLength" => value.as_str().is_none_or(|text| text.chars().count() as i64 >= number.unwrap()),
        "maxLength" => value.as_str().is_none_or(|text| text.chars().count() as i64 <= number.unwrap()),
        "pattern" => value.as_str().is_none_or(|text| matches(says, text)),
        "format" if says == "int32" => {
            !value.is_number() || value.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
        }
        "format" if says == "int64" => !value.is_number() || value.is_i64(),
        "format" if says == "double" => true,
        "format" if says == "uuid" => value.as_str().is_none_or(|text| uuid::Uuid::try_parse(text).is_ok()),
        "title" | "description" | "example" | "x-openstack" => true,
        other => panic!("no schema says {other}: {says}"),
    };
    (!is_good).then(|| format!("{value} is refused by {word} {says}"))
}

/// The fields of an object by their names, and the others.
fn flaw_in_fields(document: &Value, schema: &Map<String, Value>, value: &Value) -> Option<String> {
    let known = schema.get("properties");
    value.as_object()?.iter().find_map(|(name, value)| {
        match known.and_then(|known| known.get(name)).or_else(|| schema.get("additionalProperties")) {
            Some(Value::Bool(false)) => Some(format!("{name} is a stranger")),
            None | Some(Value::Bool(true)) => None,
            Some(schema) => flaw(document, schema, value).map(|flaw| format!("{name}: {flaw}")),
        }
    })
}

pub fn resolved<'a>(document: &'a Value, reference: &Value) -> &'a Value {
    let path = reference.as_str().unwrap().strip_prefix('#').unwrap();
    document.pointer(path).unwrap_or_else(|| panic!("{path} is nowhere"))
}

fn is_of(value: &Value, name: &Value) -> bool {
    match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no value is of type {other}"),
    }
}

fn matches(pattern: &Value, text: &str) -> bool {
    Regex::new(pattern.as_str().unwrap()).unwrap().is_match(text)
}
