//! What is true of every operation of this API, for its description.

use serde_json::{Value, json};
use utoipa::openapi::OpenApi;

use crate::http::description::{Description, header, reference, say_headers};

const USUAL: [&str; 2] = ["X-Openstack-Request-Id", "Vary"];

/// What needs no token: it is what tokens come from, or what leads there.
const OPEN: [&str; 5] = ["choices", "v3", "v3_with_slash", "issue_token", "change_password"];

pub fn complete(document: &OpenApi) -> serde_json::Result<Value> {
    let mut description = Description::of(document)?;
    description.serve_at(&[("/identity", "The common port")]);
    define(&mut description);
    description.define_bodies(include_str!("bodies.json"))?;
    for mut operation in description.operations() {
        operation.may_answer(400, "Malformed");
        if OPEN.contains(&operation.id()) {
            operation.open();
        } else {
            operation.may_answer(401, "Unauthorized");
        }
        if operation.has_body() {
            operation.may_answer(413, "TooLarge");
        }
        operation.may_fail();
        for (status, answer) in operation.own_answers() {
            say_headers(answer, &USUAL);
            match status {
                401 => say_headers(answer, &["WWW-Authenticate"]),
                429 => say_headers(answer, &["Retry-After"]),
                _ => {}
            }
        }
    }
    Ok(description.finish())
}

fn define(description: &mut Description) {
    description.define("headers", "Vary", header("`X-Auth-Token`", false));
    let fault = json!({ "application/json": { "schema": reference("schemas", "FaultBody") } });
    let mut fault_or_text = fault.clone();
    fault_or_text["text/plain"] = json!({ "schema": { "type": "string" } });
    let [id, vary] = USUAL;
    for (key, text, headers, content) in [
        ("Malformed", "The address or the body cannot be read", &[id, vary][..], &fault),
        ("Unauthorized", "There is no token, or it is not good", &[id, vary, "WWW-Authenticate"], &fault),
        ("TooLarge", "The body is larger than `osapi_max_request_body_size`", &[id, vary], &fault),
        ("HeadersTooLarge", "Too much stands before the body", &[id], &Value::Null),
        ("Failed", "The service has failed", &[id, vary], &fault_or_text),
        (
            "Unavailable",
            "The service has too much to do, or the database does not answer",
            &[id, vary, "Retry-After"],
            &fault_or_text,
        ),
    ] {
        description.define_refusal(key, text, headers, content.clone());
    }
}
