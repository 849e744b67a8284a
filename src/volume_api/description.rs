//! What is true of every operation of this API, for its description.

use std::collections::HashMap;

use axum::http::StatusCode;
use serde_json::{Value, json};
use utoipa::openapi::OpenApi;

use super::fault::name;
use super::paging::PARAMETERS;
use crate::http::description::{Description, Operation, header, reference, say_headers, type_name};

const REQUEST_ID: &str = "X-Openstack-Request-Id";
/// Those of the answers that handlers give.
const VERSIONED: [&str; 4] = [REQUEST_ID, "X-Compute-Request-Id", "OpenStack-API-Version", "Vary"];

/// `open`: what nobody needs a token for.
pub fn complete(document: &OpenApi, open: &OpenApi) -> serde_json::Result<Value> {
    let mut description = Description::of(document)?;
    description.serve_at(&[("/volume", "The common port"), ("/", "A port of its own, where there is one")]);
    define(&mut description);
    description.define_bodies(include_str!("bodies.json"))?;
    repeat_parameters(&mut description);
    for mut operation in description.operations() {
        operation.may_fail();
        if open.paths.paths.contains_key(operation.path) {
            operation.open();
            for (_, answer) in operation.own_answers() {
                say_headers(answer, &[REQUEST_ID]);
            }
        } else {
            complete_versioned(&mut operation);
        }
    }
    Ok(description.finish())
}

/// What takes the parameters of a list says so in its text; programs are told them again.
fn repeat_parameters(description: &mut Description) {
    let operations = description.operations();
    let lists: HashMap<String, Vec<Value>> =
        operations.map(|operation| (operation.id().to_owned(), operation.parameters().to_vec())).collect();
    for mut operation in description.operations() {
        let (list, has_pages) = match operation.id() {
            "list_transfers_by_old_name" | "list_transfers_in_detail_by_old_name" => {
                ("list_transfers".to_owned(), false)
            }
            id if id.contains("_in_detail") => (id.replace("_in_detail", ""), true),
            _ => continue,
        };
        let Some(parameters) = lists.get(&list).filter(|parameters| !parameters.is_empty()) else { continue };
        let is_of_pages = |parameter: &&Value| {
            let name = parameter["name"].as_str().unwrap_or_default();
            PARAMETERS.contains(&name) || name == "with_count"
        };
        let taken = parameters.iter().filter(|parameter| has_pages || !is_of_pages(parameter));
        operation.set_parameters(taken.cloned().collect());
    }
}

fn complete_versioned(operation: &mut Operation<'_>) {
    for parameter in ["Version", "RequestId", "ServiceToken"] {
        operation.takes(parameter);
    }
    operation.may_answer(400, "Malformed");
    operation.may_answer(401, "Unauthorized");
    operation.may_answer(406, "NoSuchVersion");
    if operation.text().starts_with("Since ") {
        operation.may_answer(404, "TooOld");
    }
    if operation.has_body() {
        operation.may_answer(413, "TooLarge");
        operation.may_answer(415, "MediaType");
    }
    for (status, answer) in operation.own_answers() {
        say_headers(answer, &VERSIONED);
        if matches!(status, 413 | 429 | 503) {
            say_headers(answer, &["Retry-After"]);
        }
        // Of a precondition that does not hold there is nothing to say.
        if status >= 400 && status != 412 && answer.get("content").is_none() {
            answer["content"] = content(status);
        }
    }
}

fn define(description: &mut Description) {
    for (name, text) in [
        ("X-Compute-Request-Id", "The same, where there is JSON to read"),
        ("OpenStack-API-Version", "The microversion that the answer is of, for instance `volume 3.27`"),
        ("Vary", "`OpenStack-API-Version`"),
    ] {
        description.define("headers", name, header(text, false));
    }
    for (key, name, text) in [
        ("Version", "OpenStack-API-Version", "`volume 3.x`, or `volume latest`; without it, 3.0"),
        ("RequestId", REQUEST_ID, "What the client calls its request: `req-` and a UUID, for the logs"),
        ("ServiceToken", "X-Service-Token", "The token of a service that asks on a user's behalf"),
    ] {
        let parameter =
            json!({ "name": name, "in": "header", "description": text, "schema": { "type": "string" } });
        description.define("parameters", key, parameter);
    }
    define_faults(description);
    description.define_unauthorized();
    for (key, status, text) in [
        ("Malformed", 400, "The version that is asked for, the path or a parameter cannot be read"),
        ("TooOld", 404, "The version is older than the one that this came with"),
        ("NoSuchVersion", 406, "There is no such microversion"),
        ("MediaType", 415, "The body is no JSON"),
    ] {
        description.define_refusal(key, text, &VERSIONED, content(status));
    }
    let retried: Vec<&str> = VERSIONED.into_iter().chain(["Retry-After"]).collect();
    let busy = "The service has too much to do, or the database, the storage or Keystone do not answer";
    description.define_refusal("Unavailable", busy, &retried, content(503));
    description.define_refusal("Failed", "The service has failed", &VERSIONED, content(500));
    description.define_refusal(
        "TooLarge",
        "The body is larger than `osapi_max_request_body_size`",
        &[REQUEST_ID],
        json!({ "text/plain": { "schema": { "type": "string" } } }),
    );
    description.define_refusal(
        "HeadersTooLarge",
        "Too much stands before the body",
        &[REQUEST_ID],
        Value::Null,
    );
}

/// The body of a refusal: an object whose only key is the name of its status.
fn define_faults(description: &mut Description) {
    for status in [400, 403, 404, 406, 409, 413, 415, 501, 503] {
        let Some((wire, schema)) = names(status) else { continue };
        let text = json!({ "type": "string" });
        let mut fault = json!({
            "type": "object",
            "required": ["code", "message"],
            "properties": { "code": { "type": "integer", "description": "The status" }, "message": text },
        });
        if wire == "overLimit" {
            fault["required"] = json!(["code", "message", "retryAfter"]);
            fault["properties"]["retryAfter"] = json!({ "type": "string", "description": "Seconds" });
        }
        let body = json!({ "type": "object", "required": [wire], "properties": { wire: fault } });
        description.define("schemas", &schema, body);
    }
}

/// What can be read with this status. What a layer before the handlers says is plain text.
fn content(status: u16) -> Value {
    let Some((_, schema)) = names(status) else { return Value::Null };
    let mut content = json!({ "application/json": { "schema": reference("schemas", &schema) } });
    if matches!(status, 413 | 500 | 503) {
        content["text/plain"] = json!({ "schema": { "type": "string" } });
    }
    content
}

/// On the wire, and as a schema: `itemNotFound` and `ItemNotFound`.
fn names(status: u16) -> Option<(&'static str, String)> {
    let name = name(StatusCode::from_u16(status).ok()?);
    Some((name, type_name(name)))
}
