//! What is true of every operation of this API, for its description.

use serde_json::{Value, json};
use utoipa::openapi::OpenApi;

use crate::http::description::{Description, Operation, reference, say_headers};

const REQUEST_ID: &str = "X-Openstack-Request-Id";

/// `open`: what nobody needs a token for.
pub fn complete(document: &OpenApi, open: &OpenApi) -> serde_json::Result<Value> {
    let mut description = Description::of(document)?;
    description.serve_at(&[("/image", "The common port"), ("/", "A port of its own, where there is one")]);
    define(&mut description);
    description.define_bodies(include_str!("bodies.json"))?;
    for mut operation in description.operations() {
        operation.may_fail();
        if open.paths.paths.contains_key(operation.path) {
            operation.open();
        } else {
            complete_closed(&mut operation);
        }
        for (status, answer) in operation.own_answers() {
            say_headers(answer, &[REQUEST_ID]);
            if matches!(status, 429 | 503) {
                say_headers(answer, &["Retry-After"]);
            }
            if status >= 400 {
                answer["content"] = content();
            }
        }
    }
    Ok(description.finish())
}

fn complete_closed(operation: &mut Operation<'_>) {
    for parameter in ["RequestId", "ServiceToken"] {
        operation.takes(parameter);
    }
    operation.may_answer(400, "Malformed");
    operation.may_answer(401, "Unauthorized");
    if operation.has_json_body() {
        operation.may_answer(413, "TooLarge");
    }
}

fn define(description: &mut Description) {
    for (key, name, text, schema) in [
        (
            "RequestId",
            REQUEST_ID,
            "What the client calls its request; the answer and the jobs that it starts have that name",
            json!({ "type": "string", "maxLength": 64 }),
        ),
        (
            "ServiceToken",
            "X-Service-Token",
            "The token of a service that asks on a user's behalf",
            json!({ "type": "string" }),
        ),
    ] {
        let parameter = json!({ "name": name, "in": "header", "description": text, "schema": schema });
        description.define("parameters", key, parameter);
    }
    description.define_unauthorized();
    for (key, text) in [
        ("Malformed", "The address cannot be read"),
        ("TooLarge", "The body is larger than `max_image_body_bytes`"),
        ("HeadersTooLarge", "Too much stands before the body, or the request's name is too long"),
        ("Failed", "The service has failed"),
    ] {
        description.define_refusal(key, text, &[REQUEST_ID], content());
    }
    let busy = "The service has too much to do, or the database, the storage or Keystone do not answer";
    description.define_refusal("Unavailable", busy, &[REQUEST_ID, "Retry-After"], content());
}

/// One of three, as the request's `Accept` says.
fn content() -> Value {
    let text = json!({ "schema": { "type": "string" } });
    json!({
        "application/json": { "schema": reference("schemas", "FaultBody") },
        "text/html": text,
        "text/plain": text,
    })
}
