//! A client may say what its request is called, as with Glance: the jobs that it starts and its answer have that name.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::fault::Fault;
use crate::http::{REQUEST_ID, RequestId, note_given_id};

/// Characters of it; Glance's `max_request_id_length`.
const LONGEST: usize = 64;

/// Behind the layer that knows who asks: nobody else is heard.
pub(super) async fn adopt(mut request: Request, next: Next) -> Response {
    let given = match given(request.headers()) {
        Ok(Some(given)) => given,
        Ok(None) => return next.run(request).await,
        Err(fault) => return fault.into_response(),
    };
    note_given_id(&given);
    let echo = if given.starts_with("req-") { given.clone() } else { format!("req-{given}") };
    request.extensions_mut().insert(RequestId(given));
    let mut response = next.run(request).await;
    if let Ok(echo) = HeaderValue::from_str(&echo) {
        response.headers_mut().insert(REQUEST_ID, echo);
    }
    response
}

fn given(headers: &HeaderMap) -> Result<Option<String>, Fault> {
    let Some(value) = headers.get(REQUEST_ID) else { return Ok(None) };
    if value.len() > LONGEST {
        let said = format!("x-openstack-request-id is too long, max size {LONGEST}");
        return Err(Fault::HeadersTooLarge(said));
    }
    Ok(value.to_str().ok().filter(|text| !text.is_empty()).map(str::to_owned))
}
