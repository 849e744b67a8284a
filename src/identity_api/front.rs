//! What happens around every route.

use axum::extract::{Request, State};
use axum::http::header::{HeaderName, VARY, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::fault::Fault;
use super::links::Base;
use crate::http::App;

const TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

pub(super) async fn front(State(app): State<App>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let base = Base(app.identity_address(&parts));
    parts.extensions.insert(base.clone());
    // No text of ours holds one, and PostgreSQL takes none.
    let mut response = if parts.uri.to_string().contains("%00") {
        Fault::Invalid("A NUL in the address.".to_owned()).into_response()
    } else {
        next.run(Request::from_parts(parts, body)).await
    };
    let is_unauthorized = response.status() == StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from(TOKEN));
    if is_unauthorized
        && let Ok(challenge) = HeaderValue::from_str(&format!("Keystone uri=\"{}/v3\"", base.0))
    {
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    response
}
