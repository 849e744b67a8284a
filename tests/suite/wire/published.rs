//! An API beside a published description of it: which routes are there, what answers look like, and the reasons for what
//! differs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// `GET /v2/images/{}`: how a variable is called does not matter.
pub fn anonymous(route: &str) -> String {
    let parts = route.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// `published` holds a route a line, with a reason where we do not serve it, or where it is ours alone (`+`).
pub fn assert_served(published: &str, document: &impl serde::Serialize, under: &str) {
    let lines = published.lines().filter(|line| !line.starts_with('#'));
    let published: BTreeMap<String, Option<&str>> = lines
        .map(|line| match line.split_once(": ") {
            Some((route, reason)) => (anonymous(route), Some(reason)),
            None => (anonymous(line), None),
        })
        .collect();
    let document = serde_json::to_value(document).unwrap();
    let mut ours = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        // The others are of no version.
        if path.starts_with(under) {
            let methods = methods.as_object().unwrap().keys().map(|method| method.to_uppercase());
            ours.extend(methods.map(|method| anonymous(&format!("{method} {path}"))));
        }
    }
    for (route, reason) in &published {
        match (route.strip_prefix('+'), reason) {
            (Some(route), _) => assert!(ours.iter().any(|of| of == route), "{route} is not served"),
            (None, None) => assert!(ours.contains(route), "{route} is not served, and nothing says why"),
            (None, Some(reason)) => {
                assert!(!ours.contains(route), "{route} is served, though it is said that {reason}");
            }
        }
    }
    let is_known =
        |route: &String| published.contains_key(route) || published.contains_key(&format!("+{route}"));
    let invented: Vec<&String> = ours.iter().filter(|route| !is_known(route)).collect();
    assert!(invented.is_empty(), "{invented:?}");
}

/// How an answer differs from a shape.
struct Look {
    version: u16,
    found: BTreeSet<String>,
}

impl Look {
    fn at(&mut self, value: &Value, shape: &Value, place: &str) {
        if let Some(types) = shape.get("type") {
            let types: Vec<&str> = match types {
                Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
                one => one.as_str().into_iter().collect(),
            };
            let is = kind(value);
            let fits = types.contains(&is) || is == "integer" && types.contains(&"number");
            if !fits {
                self.note(format!("{place} is {is}, not {}", types.join(" or ")));
                return;
            }
        }
        if let Some(known) = shape["enum"].as_array()
            && !known.contains(value)
        {
            self.note(format!("{place} is {value}"));
        }
        match value {
            Value::Object(fields) => self.fields(fields, shape, place),
            Value::Array(items) => {
                for item in items {
                    self.at(item, &shape["items"], &format!("{place}[]"));
                }
            }
            Value::String(text) => self.text(text, shape, place),
            _ => {}
        }
    }

    fn fields(&mut self, fields: &Map<String, Value>, shape: &Value, place: &str) {
        let known = shape["properties"].as_object();
        let since = |key: &str| shape["properties"][key]["since"].as_u64().unwrap_or(0);
        for key in shape["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(key) && since(key) <= u64::from(self.version) {
                self.note(format!("{place}.{key} is not there"));
            }
        }
        let others = shape["patternProperties"].as_object().and_then(|patterns| patterns.values().next());
        let others = others.or(shape.get("additionalProperties").filter(|of| of.is_object()));
        for (key, value) in fields {
            let place = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
            match (known.and_then(|known| known.get(key)), others) {
                (Some(shape), _) => {
                    if since(key) > u64::from(self.version) {
                        self.note(format!("{place} is there before 3.{}", since(key)));
                    }
                    self.at(value, shape, &place);
                }
                // Keys of users.
                (None, Some(shape)) => self.at(value, shape, &format!("{}.*", parent(&place))),
                (None, None) if shape["additionalProperties"] == false => {
                    self.note(format!("{place} is not published"));
                }
                (None, None) => {}
            }
        }
    }

    fn text(&mut self, text: &str, shape: &Value, place: &str) {
        let fits = match shape["format"].as_str() {
            Some("uuid") => uuid::Uuid::parse_str(text).is_ok(),
            Some("date-time") => text.len() >= 19 && text.as_bytes()[10] == b'T',
            Some("uri") => text.starts_with("http://"),
            _ => true,
        };
        if !fits {
            self.note(format!("{place} is no {}", shape["format"].as_str().unwrap_or_default()));
        }
        if shape["maxLength"].as_u64().is_some_and(|most| text.chars().count() as u64 > most) {
            self.note(format!("{place} is too long"));
        }
    }

    fn note(&mut self, difference: String) {
        self.found.insert(difference);
    }
}

fn parent(place: &str) -> &str {
    place.rsplit_once('.').map_or("", |(parent, _)| parent)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// How it differs from the shape that it is nearest to.
pub fn differences(answer: &Value, shapes: &[Value], version: u16) -> BTreeSet<String> {
    let looks = shapes.iter().map(|shape| {
        let mut look = Look { version, found: BTreeSet::new() };
        look.at(answer, shape, "");
        look.found
    });
    looks.min_by_key(BTreeSet::len).unwrap_or_default()
}

/// Each difference has a reason, and each reason a difference: `reasons` holds one a line.
pub fn assert_explained(found: &BTreeSet<String>, reasons: &str) {
    let reasons: BTreeMap<&str, &str> = reasons
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once(": ").unwrap())
        .collect();
    let unexplained: Vec<&String> =
        found.iter().filter(|difference| !reasons.contains_key(difference.as_str())).collect();
    let past: Vec<&&str> = reasons.keys().filter(|reason| !found.contains(**reason)).collect();
    assert!(
        unexplained.is_empty() && past.is_empty(),
        "no reason is given for {unexplained:#?}\nthere is no such difference any more: {past:#?}"
    );
}
