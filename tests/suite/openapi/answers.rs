//! What any test is answered is what the document of its API says of it.

use std::sync::LazyLock;

use axum::extract::MatchedPath;
use axum::http::header::CONTENT_TYPE;
use axum::http::response::Parts;
use serde_json::Value;

use super::schema::flaw;
use super::{parsed, response};

static DOCUMENTS: LazyLock<Vec<(&str, Value)>> = LazyLock::new(parsed);

const JSON: &str = "application/json";

/// What is of no API.
const OTHERS: [&str; 4] = ["/healthz", "/readyz", "/metrics", "/openapi/{document}"];

/// Panics when it is something else. What no route gave is not looked at.
pub fn hold(method: &str, parts: &Parts, body: &[u8]) {
    let Some(route) = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str) else { return };
    // To HEAD the router answers with what it would say to GET.
    if method == "HEAD" || OTHERS.contains(&route) {
        return;
    }
    // Two APIs have a root.
    let flaws: Vec<Option<String>> = described(method, route)
        .map(|(document, operation)| flaw_of_answer(document, operation, parts, body))
        .collect();
    // Of methods that a route does not have nothing is said: it refuses them, but to ask how it is takes any.
    let is_of_no_method = flaws.is_empty() && (!parts.status.is_success() || route.ends_with("/healthcheck"));
    assert!(
        is_of_no_method || flaws.iter().any(Option::is_none),
        "{method} {route} is not as it is described: {} {}\n{flaws:#?}",
        parts.status,
        String::from_utf8_lossy(&body[..body.len().min(4096)]),
    );
}

/// Documents and what they say of a method of a route, below one of their servers.
fn described(method: &str, route: &str) -> impl Iterator<Item = (&'static Value, &'static Value)> {
    let (method, route) = (method.to_lowercase(), route.replace("//", "/"));
    DOCUMENTS.iter().flat_map(move |(_, document)| {
        let servers = document["servers"].as_array().unwrap().iter();
        let paths = servers
            .filter_map(|server| route.strip_prefix(server["url"].as_str().unwrap().trim_end_matches('/')));
        let operations = paths.map(|path| &document["paths"][path][&method]);
        let known: Vec<_> = operations.filter(|operation| operation.is_object()).collect();
        known.into_iter().map(move |operation| (document, operation))
    })
}

fn flaw_of_answer(document: &Value, operation: &Value, parts: &Parts, body: &[u8]) -> Option<String> {
    let Some(described) = response(document, operation, parts.status.as_u16()) else {
        return Some("no such status".to_owned());
    };
    let content = described["content"].as_object();
    if body.is_empty() {
        // Of actions only some tell something.
        let may_be_empty = operation["operationId"].as_str().unwrap().starts_with("act_on_");
        let is_told = content.is_some_and(|content| content.contains_key(JSON));
        return (is_told && !may_be_empty).then(|| "nothing".to_owned());
    }
    let kind = parts.headers.get(CONTENT_TYPE).map_or("", |kind| kind.to_str().unwrap());
    let kind = kind.split(';').next().unwrap();
    let Some(described) = content.and_then(|content| content.get(kind)) else {
        return Some(format!("no such content: {kind}"));
    };
    if kind != JSON {
        return None;
    }
    match serde_json::from_slice(body) {
        Ok(value) => flaw(document, &described["schema"], &value),
        Err(error) => Some(error.to_string()),
    }
}
