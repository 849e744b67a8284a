//! Values against the schemas of a document: as much of their language as bodies of requests use. A word that is not
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
        "anyOf" => says.as_array().unwrap().iter().any(fits),
        "oneOf" => says.as_array().unwrap().iter().filter(|schema| fits(schema)).count() == 1,
        "required" => {
            let has = |name: &Value| value.get(name.as_str().unwrap()).is_some();
            !value.is_object() || says.as_array().unwrap().iter().all(has)
        }
        "properties" | "patternProperties" => return flaw_in_fields(document, schema, value),
        // Looked at with these two.
        "additionalProperties" if schema.contains_key("properties") => true,
        "additionalProperties" if schema.contains_key("patternProperties") => true,
        "additionalProperties" => return flaw_in_fields(document, schema, value),
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
        "format" if says == "uuid" => value.as_str().is_none_or(|text| uuid::Uuid::try_parse(text).is_ok()),
        "title" | "description" | "x-openstack" => true,
        other => panic!("no schema says {other}: {says}"),
    };
    (!is_good).then(|| format!("{value} is refused by {word} {says}"))
}

/// The fields of an object by their names, by patterns of names, and the others.
fn flaw_in_fields(document: &Value, schema: &Map<String, Value>, value: &Value) -> Option<String> {
    let part = |word: &str| schema.get(word).and_then(Value::as_object).into_iter().flatten();
    value.as_object()?.iter().find_map(|(name, value)| {
        let named = part("properties").filter(|(known, _)| *known == name);
        let alike = part("patternProperties")
            .filter(|(pattern, _)| matches(&Value::String((*pattern).clone()), name));
        let mut schemas: Vec<&Value> = named.chain(alike).map(|(_, schema)| schema).collect();
        if schemas.is_empty() {
            match schema.get("additionalProperties") {
                Some(Value::Bool(false)) => return Some(format!("{name} is a stranger")),
                None | Some(Value::Bool(true)) => {}
                Some(others) => schemas.push(others),
            }
        }
        schemas.into_iter().find_map(|schema| flaw(document, schema, value))
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
