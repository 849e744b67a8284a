//! Values against JSON schemas: the very ones that `/v2/schemas` shows.
//!
//! Of the language of schemas there is as much as those use.

use std::borrow::Cow;
use std::collections::HashSet;

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use super::fault::{Fault, Result};
use crate::http::holds_nul;

/// The pattern that schemas of ours use.
pub const UUID_PATTERN: &str =
    "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$";

/// Memory for one compiled expression, in bytes.
const LARGEST_EXPRESSION: usize = 1 << 20;

/// What is wrong with a value, and where in it.
struct Flaw {
    depth: usize,
    place: String,
    reason: String,
}

/// A step into a value. Where it leads is written only for the flaw that is told: names may be long, and steps many.
#[derive(Clone, Copy)]
enum Step<'a> {
    Field(&'a str),
    Item(usize),
}

/// Refuses a body that the schema does not allow, or no column takes.
pub fn check(schema: &Value, body: &Value) -> Result<()> {
    let name = schema["name"].as_str().unwrap_or_default();
    check_within(name, schema, body, "")
}

/// Refuses a part of a body; `place` says which, as Python would look for it: `['name']`.
pub fn check_within(name: &str, schema: &Value, value: &Value, place: &str) -> Result<()> {
    match misfit(name, schema, value, place) {
        Some(said) => Err(Fault::BadRequest(said)),
        None => no_nul_in(value),
    }
}

/// What is said of a part of a body that the schema does not allow.
pub fn misfit(name: &str, schema: &Value, value: &Value, place: &str) -> Option<String> {
    let mut check = Check { root: schema, place, steps: Vec::new(), told: None };
    check.schema(schema, value);
    let Flaw { reason, place, .. } = check.told?;
    Some(format!("Provided object does not match schema '{name}': {reason}\n\nOn instance{place}"))
}

/// What a body is told that has no such property.
pub fn lacks(name: &str, property: &str) -> Fault {
    let reason = format!("'{property}' is a required property");
    Fault::BadRequest(format!("Provided object does not match schema '{name}': {reason}\n\nOn instance"))
}

/// Glance takes NUL where MySQL does; PostgreSQL has no way to keep it.
pub fn no_nul(text: &str) -> Result<()> {
    if text.contains('\0') { Err(nul()) } else { Ok(()) }
}

/// Likewise of all texts in a body.
pub fn no_nul_in(body: &Value) -> Result<()> {
    if holds_nul(body) { Err(nul()) } else { Ok(()) }
}

fn nul() -> Fault {
    Fault::BadRequest("The character NUL is not allowed in texts.".to_owned())
}

struct Check<'a> {
    /// What references begin at.
    root: &'a Value,
    /// Of the value as a whole.
    place: &'a str,
    steps: Vec<Step<'a>>,
    /// Of several the outermost is told, as Glance's library has it; of those the first one.
    told: Option<Flaw>,
}

impl<'a> Check<'a> {
    /// What is found from here on would not be told.
    fn is_over(&self) -> bool {
        self.told.as_ref().is_some_and(|told| told.depth <= self.steps.len())
    }

    fn tell(&mut self, reason: String) {
        let mut place = self.place.to_owned();
        for step in &self.steps {
            place += &match step {
                Step::Field(name) => format!("['{name}']"),
                Step::Item(number) => format!("[{number}]"),
            };
        }
        self.told = Some(Flaw { depth: self.steps.len(), place, reason });
    }

    fn schema(&mut self, schema: &'a Value, value: &'a Value) {
        for (keyword, rule) in schema.as_object().into_iter().flatten() {
            if self.is_over() {
                return;
            }
            if let Some(reason) = refused(keyword, rule, value) {
                return self.tell(reason);
            }
            match (keyword.as_str(), value) {
                ("$ref", _) => {
                    let pointer = rule.as_str().and_then(|text| text.strip_prefix('#')).unwrap_or_default();
                    if let Some(referred) = self.root.pointer(pointer) {
                        self.schema(referred, value);
                    }
                }
                ("allOf", _) => {
                    for part in rule.as_array().into_iter().flatten() {
                        self.schema(part, value);
                    }
                }
                ("items", Value::Array(items)) => {
                    for (number, item) in items.iter().enumerate() {
                        self.within(Step::Item(number), rule, item);
                    }
                }
                ("properties", Value::Object(fields)) => {
                    for (name, rule) in rule.as_object().into_iter().flatten() {
                        if let Some(field) = fields.get(name) {
                            self.within(Step::Field(name), rule, field);
                        }
                    }
                }
                ("additionalProperties", Value::Object(fields)) => self.strangers(schema, rule, fields),
                _ => {}
            }
        }
    }

    fn within(&mut self, step: Step<'a>, schema: &'a Value, value: &'a Value) {
        self.steps.push(step);
        self.schema(schema, value);
        self.steps.pop();
    }

    /// Fields that the schema does not name.
    fn strangers(&mut self, schema: &'a Value, rule: &'a Value, fields: &'a Map<String, Value>) {
        let strangers: Vec<_> =
            fields.iter().filter(|(name, _)| schema["properties"].get(name.as_str()).is_none()).collect();
        if *rule == Value::Bool(false) && !strangers.is_empty() {
            let names: Vec<String> = strangers.iter().map(|(name, _)| format!("'{name}'")).collect();
            let verb = if names.len() == 1 { "was" } else { "were" };
            let names = shortened(&names.join(", ")).into_owned();
            self.tell(format!("Additional properties are not allowed ({names} {verb} unexpected)"));
        } else {
            for (name, field) in strangers {
                self.within(Step::Field(name), rule, field);
            }
        }
    }
}

/// What one keyword says against a value without looking into it.
pub fn refused(keyword: &str, rule: &Value, value: &Value) -> Option<String> {
    let reason = |is_fine: bool, reason: String| (!is_fine).then(|| format!("{} {reason}", shown(value)));
    let most = || rule.as_u64().and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    match (keyword, value) {
        ("type", _) => {
            let types = types(rule);
            let is_one = types.iter().any(|kind| is_of(value, kind));
            reason(is_one, format!("is not of type '{}'", types.join("', '")))
        }
        ("enum", _) => {
            let choices = rule.as_array()?;
            let shown: Vec<_> = choices.iter().map(shown).collect();
            reason(choices.contains(value), format!("is not one of [{}]", shown.join(", ")))
        }
        ("pattern", Value::String(text)) if rule == UUID_PATTERN => {
            reason(is_uuid(text), format!("does not match '{UUID_PATTERN}'"))
        }
        ("pattern", Value::String(text)) => {
            let pattern = rule.as_str()?;
            let fits = expression(pattern).is_ok_and(|expression| expression.is_match(text));
            reason(fits, format!("does not match '{}'", pattern.replace('\\', "\\\\")))
        }
        ("maxLength", Value::String(text)) => {
            reason(text.chars().count() <= most(), "is too long".to_owned())
        }
        ("minLength", Value::String(text)) => {
            let least = usize::try_from(rule.as_u64()?).ok()?;
            reason(text.chars().count() >= least, "is too short".to_owned())
        }
        ("minimum", Value::Number(number)) => {
            let least = rule.as_f64()?;
            reason(number.as_f64()? >= least, format!("is less than the minimum of {rule}"))
        }
        ("maximum", Value::Number(number)) => {
            let greatest = rule.as_f64()?;
            reason(number.as_f64()? <= greatest, format!("is greater than the maximum of {rule}"))
        }
        ("maxItems", Value::Array(items)) => reason(items.len() <= most(), "is too long".to_owned()),
        ("minItems", Value::Array(items)) => {
            let least = rule.as_u64()?;
            reason(items.len() as u64 >= least, "is too short".to_owned())
        }
        ("uniqueItems", Value::Array(items)) => {
            let mut seen = HashSet::with_capacity(items.len());
            let is_unique = items.iter().all(|item| seen.insert(item));
            reason(is_unique || *rule == Value::Bool(false), "has non-unique elements".to_owned())
        }
        ("required", Value::Object(fields)) => {
            let missing =
                rule.as_array()?.iter().find(|name| !fields.contains_key(name.as_str().unwrap_or_default()));
            missing.map(|name| format!("{} is a required property", shown(name)))
        }
        _ => None,
    }
}

const TYPES: [&str; 7] = ["null", "boolean", "string", "array", "object", "number", "integer"];

/// Refuses a schema that says what is not understood here, or nothing that makes sense.
pub fn check_language(schema: &Value) -> Result<(), String> {
    let Value::Object(keywords) = schema else { return Err("a schema must be an object".to_owned()) };
    keywords.iter().try_for_each(|(keyword, rule)| check_keyword(keyword, rule))
}

fn check_keyword(keyword: &str, rule: &Value) -> Result<(), String> {
    let must_be = |is_fine: bool, what: &str| match is_fine {
        true => Ok(()),
        false => Err(format!("{keyword} must be {what}")),
    };
    let texts = |rule: &Value| rule.as_array().is_some_and(|items| items.iter().all(Value::is_string));
    let has_any = |rule: &Value| rule.as_array().is_some_and(|items| !items.is_empty());
    match keyword {
        "title" | "description" | "$comment" | "format" => must_be(rule.is_string(), "a text"),
        "default" | "examples" => Ok(()),
        "readOnly" | "writeOnly" | "is_base" | "uniqueItems" => must_be(rule.is_boolean(), "true or false"),
        "type" => {
            must_be(rule.is_string() || texts(rule) && has_any(rule), "a text, or a list of texts")?;
            match types(rule).into_iter().find(|kind| !TYPES.contains(kind)) {
                Some(kind) => Err(format!("there is no type {kind:?}")),
                None => Ok(()),
            }
        }
        "enum" => must_be(has_any(rule), "a list of values"),
        "pattern" => {
            let pattern = rule.as_str().unwrap_or_default();
            must_be(rule.is_string(), "a text")?;
            expression(pattern).map(drop).map_err(|error| {
                let error = error.to_string().replace('\n', " ");
                format!("{pattern:?} is no regular expression that is known here: {error}")
            })
        }
        "maxLength" | "minLength" | "maxItems" | "minItems" => {
            must_be(rule.is_u64(), "a whole number, 0 or more")
        }
        "minimum" | "maximum" => must_be(rule.is_number(), "a number"),
        "required" => must_be(texts(rule), "a list of texts"),
        "items" => check_language(rule),
        "additionalProperties" if rule.is_boolean() => Ok(()),
        "additionalProperties" => check_language(rule),
        "allOf" => {
            must_be(has_any(rule), "a list of schemas")?;
            rule.as_array().into_iter().flatten().try_for_each(check_language)
        }
        "properties" => {
            must_be(rule.is_object(), "an object")?;
            rule.as_object().into_iter().flatten().try_for_each(|(_, rule)| check_language(rule))
        }
        other => Err(format!("the keyword {other:?} is not known here")),
    }
}

/// In a time that grows with the text alone, and in little memory, whoever wrote it.
fn expression(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(LARGEST_EXPRESSION).build()
}

fn types(rule: &Value) -> Vec<&str> {
    match rule {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    }
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => integral(value).is_some(),
        _ => false,
    }
}

/// A JSON schema calls 1.0 an integer.
pub fn integral(value: &Value) -> Option<i128> {
    if let Some(number) = value.as_i64() {
        return Some(number.into());
    }
    let number = value.as_f64()?;
    (number.fract() == 0.0).then_some(number as i128)
}

/// With hyphens only, as Glance compares texts; unlike there, case does not matter.
fn is_uuid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
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
    shortened(&text).into_owned()
}

fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(300) {
        Some((end, _)) => Cow::Owned(format!("{}...", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// It takes minutes where each is compared with all others.
    #[test]
    fn many_items_are_soon_known_to_be_unique() {
        let mut items: Vec<Value> = (0..150_000).map(|number| json!(number.to_string())).collect();
        let is_refused = |items: &[Value]| refused("uniqueItems", &json!(true), &json!(items)).is_some();
        assert!(!is_refused(&items));
        items.push(json!("0"));
        assert!(is_refused(&items));
        let fields = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert!(is_refused(&[fields(r#"{"a": 1, "b": 2}"#), fields(r#"{"b": 2, "a": 1}"#)]));
    }

    /// It takes more memory than there is where each is written down, and minutes where each place is.
    #[test]
    fn of_many_flaws_one_is_written_down() {
        let schema = json!({
            "name": "thing", "additionalProperties": {"type": "array", "items": {"type": "string", "maxLength": 1}},
        });
        let name = "x".repeat(100_000);
        for item in [json!(0), json!("fine")] {
            let many = Value::Array(vec![item; 100_000]);
            assert!(check(&schema, &json!({ &name: many })).is_err());
        }
        let many = Value::Array(vec![json!("x"); 100_000]);
        assert!(check(&schema, &json!({ &name: many })).is_ok());
    }

    #[test]
    fn a_value_fits_or_the_outermost_flaw_is_told() {
        let schema = json!({
            "name": "thing",
            "properties": {
                "name": {"type": "string", "maxLength": 3},
                "kind": {"type": ["null", "string"], "enum": [null, "a", "b"]},
                "count": {"$ref": "#/definitions/count"},
                "list": {"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": true},
                "more": {
                    "type": "object",
                    "additionalProperties": {"type": "object", "required": ["x"], "properties": {"x": {"type": "number"}}},
                },
            },
            "additionalProperties": false,
            "definitions": {"count": {"allOf": [{"type": "integer", "minimum": 0}, {"default": 0}]}},
            "required": ["name"],
        });
        let said = |body: Value| match check(&schema, &body) {
            Ok(()) => String::new(),
            Err(Fault::BadRequest(said)) => {
                let said =
                    said.strip_prefix("Provided object does not match schema 'thing': ").unwrap_or(&said);
                said.replace("\n\nOn instance", " at ")
            }
            Err(other) => panic!("{other:?}"),
        };
        for fine in [
            json!({"name": "abc"}),
            json!({"name": "äöü", "kind": null, "count": 1.0, "list": ["a", "b"], "more": {}}),
            json!({"name": "", "kind": "b", "count": 0, "more": {"p": {"x": 1.5, "y": 1}}}),
        ] {
            assert_eq!(said(fine.clone()), "", "{fine}");
        }
        for (body, expected) in [
            (json!({}), "'name' is a required property at "),
            (json!({"name": 5}), "5 is not of type 'string' at ['name']"),
            (json!({"name": "abcd"}), "'abcd' is too long at ['name']"),
            (json!({"name": "a", "kind": "c"}), "'c' is not one of [None, 'a', 'b'] at ['kind']"),
            (json!({"name": "a", "count": -1}), "-1 is less than the minimum of 0 at ['count']"),
            (json!({"name": "a", "count": 1.5}), "1.5 is not of type 'integer' at ['count']"),
            (json!({"name": "a", "list": []}), "[...] is too short at ['list']"),
            (json!({"name": "a", "list": ["b", "b"]}), "[...] has non-unique elements at ['list']"),
            (json!({"name": "a", "list": ["b", true]}), "True is not of type 'string' at ['list'][1]"),
            (json!({"name": "a", "more": {"p": {}}}), "'x' is a required property at ['more']['p']"),
            (
                json!({"name": "a", "more": {"p": {"x": "y"}}}),
                "'y' is not of type 'number' at ['more']['p']['x']",
            ),
            (json!({"name": 5, "z": 1}), "Additional properties are not allowed ('z' was unexpected) at "),
            (json!({"y": 1, "z": 1}), "Additional properties are not allowed ('y', 'z' were unexpected) at "),
            (json!({"name": "a\0"}), "The character NUL is not allowed in texts."),
            (json!({"name": "a", "more": {"\0": {"x": 1}}}), "The character NUL is not allowed in texts."),
        ] {
            assert_eq!(said(body.clone()), expected, "{body}");
        }
    }
}
