//! The API beside a published description of it: nothing of that is missing, and no answer looks otherwise, without a
//! reason.
//!
//! `published.json` holds the shapes of its answers, a list a route: one of them must fit. `since` is the microversion that
//! a field came with. `differences.txt` says where ours differ, and why.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::policy::gate::{request, routes};
use crate::policy::stage::{ADMIN, Api, MEMBER, OURS, Player, Stage};
use crate::wire::image::published::assert_served;

/// Those in which answers changed, and the ends.
const VERSIONS: [u16; 6] = [0, 27, 48, 55, 64, 71];

#[test]
fn every_published_route_is_served_or_has_a_reason() {
    let published = include_str!("published.txt");
    assert_eq!(published.lines().filter(|line| !line.starts_with(['#', '+'])).count(), 174);
    assert_served(published, &pumice::volume_api::openapi(), "/v3/");
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
fn differences(answer: &Value, shapes: &[Value], version: u16) -> BTreeSet<String> {
    let looks = shapes.iter().map(|shape| {
        let mut look = Look { version, found: BTreeSet::new() };
        look.at(answer, shape, "");
        look.found
    });
    looks.min_by_key(BTreeSet::len).unwrap_or_default()
}

/// The published name of a route of ours: how a variable is called does not matter.
fn anonymous(line: &str) -> String {
    let parts = line.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn every_answer_is_of_its_published_shape_or_has_a_reason() {
    let shapes: BTreeMap<String, Vec<Value>> = serde_json::from_str(include_str!("published.json")).unwrap();
    let shapes: BTreeMap<String, Vec<Value>> =
        shapes.into_iter().map(|(route, shapes)| (anonymous(&route), shapes)).collect();
    let reasons: BTreeMap<&str, &str> = include_str!("differences.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once(": ").unwrap())
        .collect();
    let stage = Stage::new().await;
    // Everything may be asked for by an administrator, and things of ours by a member.
    let ours = Player { project: OURS, ..ADMIN };
    let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for route in routes().into_iter().filter(|route| matches!(route.api, Api::Volume)) {
        let name = anonymous(&format!("{} {}", route.method, route.path));
        let Some(shapes) = shapes.get(&name) else { continue };
        for (version, player) in VERSIONS.into_iter().flat_map(|version| [(version, ours), (version, MEMBER)])
        {
            let answer = request(&stage, &route, player).await.version(version).send().await;
            // Others have no body, or came later than that version.
            if !answer.status.is_success() || answer.body.is_empty() || answer.text() == "null" {
                continue;
            }
            seen.insert(name.clone());
            match serde_json::from_slice(&answer.body) {
                Ok(body) => found.extend(differences(&body, shapes, version)),
                Err(_) => {
                    found.insert(format!("{name} is no JSON"));
                }
            }
        }
    }
    let unseen = shapes.keys().filter(|route| !seen.contains(*route));
    found.extend(unseen.map(|route| format!("{route} tells nothing")));
    let unexplained: Vec<&String> =
        found.iter().filter(|difference| !reasons.contains_key(difference.as_str())).collect();
    let past: Vec<&&str> = reasons.keys().filter(|reason| !found.contains(**reason)).collect();
    assert!(
        unexplained.is_empty() && past.is_empty(),
        "no reason is given for {unexplained:#?}\nthere is no such difference any more: {past:#?}"
    );
}
