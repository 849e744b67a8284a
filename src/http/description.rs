//! The description of an API: what its routes say of themselves, and what is true of all of them, which is written once
//! and not at every handler.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use axum::http::StatusCode;
use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

/// An OpenAPI document in the making.
pub struct Description(Value);

impl Description {
    pub fn of(document: &OpenApi) -> serde_json::Result<Self> {
        let mut description = Self(serde_json::to_value(document)?);
        let document = &mut description.0;
        if let Some(info) = document["info"].as_object_mut() {
            // That of the library which makes the document.
            info.remove("contact");
        }
        document["info"]["license"] = json!({ "name": "Apache-2.0", "identifier": "Apache-2.0" });
        document["security"] = json!([{ "token": [] }]);
        description.define(
            "securitySchemes",
            "token",
            json!({ "type": "apiKey", "in": "header", "name": "X-Auth-Token", "description": "A token of the identity service" }),
        );
        for (name, is_sent_always, text) in [
            ("X-Openstack-Request-Id", true, "What the request is called in logs and jobs"),
            ("Retry-After", false, "Seconds"),
            ("WWW-Authenticate", false, "Where tokens are issued"),
        ] {
            description.define("headers", name, header(text, is_sent_always));
        }
        Ok(description)
    }

    /// The addresses below which its paths lie, from where the document is read, and what is there.
    pub fn serve_at(&mut self, places: &[(&str, &str)]) {
        let servers = places.iter().map(|(url, text)| json!({ "url": url, "description": text }));
        self.0["servers"] = servers.collect();
    }

    /// Something that operations refer to by its kind and name.
    pub fn define(&mut self, kind: &str, name: &str, component: Value) {
        self.0["components"][kind][name] = component;
    }

    /// A refusal that many operations may answer.
    pub fn define_refusal(&mut self, name: &str, text: &str, headers: &[&str], content: Value) {
        let mut response = json!({ "description": text });
        say_headers(&mut response, headers);
        if content.is_object() {
            response["content"] = content;
        }
        self.define("responses", name, response);
    }

    /// What the layer in front of the APIs says to whom it does not know.
    pub fn define_unauthorized(&mut self) {
        let text = json!({ "type": "string" });
        let error = json!({
            "type": "object",
            "required": ["code", "title", "message"],
            "properties": { "code": { "type": "integer" }, "title": text, "message": text },
        });
        let body = json!({ "type": "object", "required": ["error"], "properties": { "error": error } });
        self.define("schemas", "Unauthenticated", body);
        self.define_refusal(
            "Unauthorized",
            "There is no token, or it is not good",
            &["X-Openstack-Request-Id", "WWW-Authenticate"],
            json!({ "application/json": { "schema": reference("schemas", "Unauthenticated") } }),
        );
    }

    /// What handlers read of bodies, from a file of schemas.
    pub fn define_bodies(&mut self, file: &str) -> serde_json::Result<()> {
        let Bodies { schemas, bodies, actions } = serde_json::from_str(file)?;
        for (name, schema) in schemas {
            self.define("schemas", &name, schema);
        }
        let actions = actions.into_iter().map(|(id, actions)| (id, one_of(actions)));
        for (id, schema) in bodies.into_iter().chain(actions) {
            let name = type_name(&id) + "Request";
            for mut operation in self.operations().filter(|operation| operation.id() == id) {
                operation.set_body(&reference("schemas", &name));
            }
            self.define("schemas", &name, schema);
        }
        Ok(())
    }

    pub fn operations(&mut self) -> impl Iterator<Item = Operation<'_>> {
        let paths = self.0["paths"].as_object_mut().into_iter().flatten();
        paths.flat_map(|(path, item)| {
            let operations = item.as_object_mut().into_iter().flatten();
            let operations = operations.filter(|(_, value)| value.get("responses").is_some());
            operations.map(move |(_, value)| Operation { path, value })
        })
    }

    /// The document.
    pub fn finish(mut self) -> Value {
        self.flatten_options();
        for mut operation in self.operations() {
            operation.describe_bytes();
            if let Some(responses) = operation.value["responses"].as_object_mut() {
                responses.sort_keys();
            }
            // Each must have a text.
            for (status, response) in operation.own_answers() {
                if response["description"].as_str().is_none_or(str::is_empty) {
                    let status = StatusCode::from_u16(status).ok();
                    response["description"] = status.and_then(|status| status.canonical_reason()).into();
                }
            }
        }
        mark_versions(&mut self.0);
        self.0
    }

    /// What has the fields of another object, or none of them, has them here as its own, and may lack them. In the
    /// library's words it would have to be null as well.
    fn flatten_options(&mut self) {
        let Some(schemas) = self.0["components"]["schemas"].as_object_mut() else { return };
        let known = schemas.clone();
        let mut merged = BTreeSet::new();
        for schema in schemas.values_mut() {
            let parts = schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
            let options: Vec<&str> = parts.filter_map(option).filter_map(named).collect();
            if !options.is_empty() {
                merged.extend(options.into_iter().map(str::to_owned));
                let mut whole = json!({ "type": "object", "properties": {} });
                gather(schema, true, &known, &mut whole);
                if let Some(text) = schema.get("description") {
                    whole["description"] = text.clone();
                }
                *schema = whole;
            }
        }
        schemas.retain(|name, _| !merged.contains(name));
    }
}

/// What may be there, as the library writes it.
fn option(part: &Value) -> Option<&Value> {
    let [schema, null] = part.get("oneOf")?.as_array()?.as_slice() else { return None };
    (null["type"] == "null").then_some(schema)
}

/// The schema that a reference names.
fn named(part: &Value) -> Option<&str> {
    part.get("$ref")?.as_str()?.rsplit('/').next()
}

/// All fields of a schema that has those of others; which must be there, unless the whole of it need not.
fn gather(schema: &Value, is_there: bool, known: &Map<String, Value>, whole: &mut Value) {
    let (schema, is_there) = option(schema).map_or((schema, is_there), |schema| (schema, false));
    let schema = named(schema).and_then(|name| known.get(name)).unwrap_or(schema);
    for part in schema["allOf"].as_array().into_iter().flatten() {
        gather(part, is_there, known, whole);
    }
    for (name, form) in schema["properties"].as_object().into_iter().flatten() {
        whole["properties"][name] = form.clone();
    }
    for name in schema["required"].as_array().into_iter().flatten().filter(|_| is_there) {
        match whole["required"].as_array_mut() {
            Some(names) => names.push(name.clone()),
            None => whole["required"] = json!([name]),
        }
    }
}

/// A file of them.
#[derive(Deserialize)]
struct Bodies {
    /// What they have in common.
    #[serde(default)]
    schemas: Map<String, Value>,
    /// By the operation's id.
    bodies: Map<String, Value>,
    /// Likewise, where the only key of a body is the name of what is to be done.
    #[serde(default)]
    actions: BTreeMap<String, Map<String, Value>>,
}

fn one_of(actions: Map<String, Value>) -> Value {
    let choices = actions.into_iter().map(|(name, schema)| {
        let mut choice = json!({ "title": name, "type": "object", "required": [name] });
        if let Some(text) = schema.get("description") {
            choice["description"] = text.clone();
        }
        choice["properties"] = json!({ name: schema });
        choice["additionalProperties"] = json!(false);
        choice
    });
    json!({ "oneOf": choices.collect::<Vec<_>>() })
}

/// `create_volume` as `CreateVolume`
pub fn type_name(name: &str) -> String {
    let words = name.split('_').filter_map(|word| word.split_at_checked(1));
    words.flat_map(|(first, rest)| [first.to_uppercase(), rest.to_owned()]).collect()
}

pub struct Operation<'a> {
    pub path: &'a str,
    value: &'a mut Value,
}

impl Operation<'_> {
    pub fn id(&self) -> &str {
        self.value["operationId"].as_str().unwrap_or_default()
    }

    /// What it says of itself.
    pub fn text(&self) -> &str {
        self.value["description"].as_str().unwrap_or_default()
    }

    pub fn parameters(&self) -> &[Value] {
        self.value["parameters"].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    pub fn set_parameters(&mut self, parameters: Vec<Value>) {
        self.value["parameters"] = parameters.into();
    }

    pub fn has_body(&self) -> bool {
        self.value.get("requestBody").is_some()
    }

    /// Of all its forms that are JSON.
    fn set_body(&mut self, schema: &Value) {
        let content = self.value["requestBody"]["content"].as_object_mut().into_iter().flatten();
        for (_, of_kind) in content.filter(|(kind, _)| kind.contains("json")) {
            of_kind["schema"] = schema.clone();
        }
    }

    /// Whether its body is JSON, of whatever kind.
    pub fn has_json_body(&self) -> bool {
        let content = self.value.pointer("/requestBody/content").and_then(Value::as_object);
        content.is_some_and(|content| content.keys().any(|kind| kind.contains("json")))
    }

    /// What comes or goes as it is.
    fn describe_bytes(&mut self) {
        const BYTES: &str = "application/octet-stream";
        let schema = json!({ "type": "string", "format": "binary" });
        if let Some(body) = self.value.get_mut("requestBody")
            && body["content"].get(BYTES).is_some()
        {
            body["content"][BYTES]["schema"] = schema.clone();
            body["required"] = json!(true);
        }
        for (_, answer) in self.own_answers().filter(|(_, answer)| answer["content"].get(BYTES).is_some()) {
            answer["content"][BYTES]["schema"] = schema.clone();
        }
    }

    /// Nobody is asked for a token.
    pub fn open(&mut self) {
        self.value["security"] = json!([]);
    }

    pub fn takes(&mut self, parameter: &str) {
        let parameter = reference("parameters", parameter);
        match self.value["parameters"].as_array_mut() {
            Some(parameters) => parameters.push(parameter),
            None => self.value["parameters"] = json!([parameter]),
        }
    }

    /// Something that was defined, unless the operation itself says what that status means.
    pub fn may_answer(&mut self, status: u16, response: &str) {
        let responses = &mut self.value["responses"];
        let status = status.to_string();
        if responses.get(&status).is_none() {
            responses[status] = reference("responses", response);
        }
    }

    /// What any request to any API may come to, before a handler has it or after. The API says what is in it.
    pub fn may_fail(&mut self) {
        for (status, response) in [(431, "HeadersTooLarge"), (500, "Failed"), (503, "Unavailable")] {
            self.may_answer(status, response);
        }
    }

    /// The answers that the operation itself describes.
    pub fn own_answers(&mut self) -> impl Iterator<Item = (u16, &mut Value)> {
        let responses = self.value["responses"].as_object_mut().into_iter().flatten();
        let own = responses.filter(|(_, response)| response.get("$ref").is_none());
        own.filter_map(|(status, response)| Some((status.parse().ok()?, response)))
    }
}

/// Headers that were defined.
pub fn say_headers(response: &mut Value, names: &[&str]) {
    for name in names {
        response["headers"][*name] = reference("headers", name);
    }
}

pub fn header(text: &str, is_sent_always: bool) -> Value {
    json!({ "description": text, "required": is_sent_always, "schema": { "type": "string" } })
}

pub fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

/// Where a text begins with the microversion that something came with, or went after, programs are told as well.
fn mark_versions(value: &mut Value) {
    static BOUNDS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"^(?:Since (?<min>3\.[0-9]+))?(?:(?:, u|U)ntil (?<max>3\.[0-9]+))?\b").ok()
    });
    match value {
        Value::Array(items) => items.iter_mut().for_each(mark_versions),
        Value::Object(fields) => {
            fields.values_mut().for_each(mark_versions);
            let text = fields.get("description").and_then(Value::as_str);
            let Some(found) = text.zip(BOUNDS.as_ref()).and_then(|(text, bounds)| bounds.captures(text))
            else {
                return;
            };
            let mut bounds = json!({});
            for (group, key) in [("min", "min-ver"), ("max", "max-ver")] {
                if let Some(version) = found.name(group) {
                    bounds[key] = version.as_str().into();
                }
            }
            if bounds != json!({}) {
                fields.insert("x-openstack".to_owned(), bounds);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_option_is_flattened_from_may_be_missing() {
        let text = json!({ "type": "string" });
        let of_names = |names: &[&str]| {
            let fields: Map<String, Value> =
                names.iter().map(|name| ((*name).to_owned(), text.clone())).collect();
            json!({ "type": "object", "required": names, "properties": fields })
        };
        let option = json!({ "oneOf": [reference("schemas", "More"), { "type": "null" }] });
        let description = Description(json!({ "components": { "schemas": {
            "Whole": { "allOf": [option, of_names(&["id"])], "description": "It" },
            "More": { "allOf": [reference("schemas", "Least"), of_names(&["b"])] },
            "Least": of_names(&["a"]),
        } } }));
        let fields = json!({ "a": text, "b": text, "id": text });
        let whole =
            json!({ "type": "object", "required": ["id"], "properties": fields, "description": "It" });
        let expected = json!({ "Whole": whole, "Least": of_names(&["a"]) });
        assert_eq!(description.finish()["components"]["schemas"], expected);
    }

    #[test]
    fn versions_in_texts_are_told_to_programs() {
        for (text, expected) in [
            ("Since 3.27.", json!({ "min-ver": "3.27" })),
            ("Since 3.45, when asked for", json!({ "min-ver": "3.45" })),
            ("Until 3.52", json!({ "max-ver": "3.52" })),
            ("Since 3.8, until 3.15: a host", json!({ "min-ver": "3.8", "max-ver": "3.15" })),
            ("A name", Value::Null),
            ("A name, since 3.1", Value::Null),
            ("", Value::Null),
        ] {
            let mut value = json!([{ "description": text }]);
            mark_versions(&mut value);
            assert_eq!(value[0]["x-openstack"], expected, "{text}");
        }
    }
}
