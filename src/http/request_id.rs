//! Every request has an id, `req-<uuid>`, in its answer's header, in logs and in the jobs it starts.

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

use super::App;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");

#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// The outermost layer: gives the request its id and the answer its header, and puts both into a span.
pub async fn assign_request_id(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let id = format!("req-{}", app.world.ids.random());
    let span = tracing::info_span!("request", request.id = %id, http.method = %request.method(),
        http.path = %request.uri().path());
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).instrument(span).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}
