//! Every request has an id, `req-<uuid>`, in its answer's header, in logs and in the jobs it starts. What a client calls
//! it is in the logs beside that.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use tracing::{Instrument, Span, field};
use uuid::Uuid;

use super::App;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");

#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// The outermost layer: gives the request its id and the answer its header, and puts both into a span.
pub async fn assign_request_id(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let id = format!("req-{}", app.world.ids.random());
    let span = tracing::info_span!("request", request.id = %id, request.given_id = field::Empty,
        http.method = name_of(request.method()), http.path = %request.uri().path());
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).instrument(span).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        // An API may have let the client say.
        response.headers_mut().entry(REQUEST_ID).or_insert(value);
    }
    response
}

/// Clients may make up methods, of any length: what is kept of them, and logged, has few names.
pub fn name_of(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

/// Says in the logs what the client calls this request, if that can do no harm there.
pub fn note_given_id(id: &str) {
    let is_harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if id.len() <= 64 && id.bytes().all(is_harmless) {
        Span::current().record("request.given_id", id);
    }
}

/// Likewise, of an API that hears only of ids like its own: those of other services, on whose behalf it is asked.
pub fn note_global_id(headers: &HeaderMap) {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    if let Some(given) = given.filter(|id| is_global(id)) {
        note_given_id(given);
    }
}

fn is_global(id: &str) -> bool {
    let text = id.strip_prefix("req-").unwrap_or_default();
    Uuid::parse_str(text).is_ok_and(|uuid| uuid.hyphenated().to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_have_few_names() {
        assert_eq!(name_of(&Method::PATCH), "PATCH");
        let made_up = Method::from_bytes(&[b'X'; 100_000]).unwrap();
        assert_eq!(name_of(&made_up), "other");
    }

    #[test]
    fn ids_of_services_have_one_shape() {
        let uuid = "0c5e1dd4-27c5-4d07-b9f4-0a3b5f4f6e15";
        assert!(is_global(&format!("req-{uuid}")));
        for other in [uuid, "", "req-", &format!("req-{}", uuid.to_uppercase()), &format!("req-{uuid}x")] {
            assert!(!is_global(other), "{other}");
        }
    }
}
