//! What is true of every operation of this API, for its description.

use serde_json::{Value, json};
use utoipa::openapi::OpenApi;

use crate::http::description::{Description, reference, say_headers};

const REQUEST_ID: &str = "X-Openstack-Request-Id";

pub fn complete(document: &OpenApi) -> serde_json::Result<Value> {
    let mut description = Description::of(document)?;
    description.serve_at(&[("/", "The common port")]);
    description.define_unauthorized();
    description.define_refusal(
        "HeadersTooLarge",
        "Too much stands before the body",
        &[REQUEST_ID],
        Value::Null,
    );
    let text = json!({ "schema": { "type": "string" } });
    let content = json!({
        "application/json": { "schema": reference("schemas", "ErrorBody") },
        "text/plain": text,
    });
    description.define_refusal("Failed", "The service has failed", &[REQUEST_ID], content.clone());
    let busy = "The service has too much to do, or the database or Keystone do not answer";
    description.define_refusal("Unavailable", busy, &[REQUEST_ID, "Retry-After"], content);
    for mut operation in description.operations() {
        operation.may_answer(401, "Unauthorized");
        operation.may_fail();
        for (status, answer) in operation.own_answers() {
            say_headers(answer, &[REQUEST_ID]);
            if status == 503 {
                say_headers(answer, &["Retry-After"]);
                // What a layer before the handlers says.
                answer["content"]["text/plain"] = text.clone();
            }
        }
    }
    Ok(description.finish())
}
