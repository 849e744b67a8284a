//! What the handlers take from a request, with Glance's answers to what cannot be taken.

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::fault::{Fault, Result};
use crate::http::App;

/// Variables of the path.
pub(super) struct InPath<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for InPath<T> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let found: Result<Path<T>, PathRejection> = Path::from_request_parts(parts, app).await;
        found.map(|Path(variables)| InPath(variables)).map_err(|_| Fault::undecodable())
    }
}

/// Nothing: a body is an error.
pub(super) struct NoBody;

impl FromRequest<App> for NoBody {
    type Rejection = Fault;

    async fn from_request(request: Request, _: &App) -> Result<Self> {
        if request.body().is_end_stream() {
            Ok(NoBody)
        } else {
            Err(Fault::BadRequest("A body is not expected with this request.".to_owned()))
        }
    }
}

/// A list or an object. Whatever its content type says: Glance does not look.
pub(super) struct JsonBody(pub Value);

impl FromRequest<App> for JsonBody {
    type Rejection = Fault;

    async fn from_request(request: Request, app: &App) -> Result<Self> {
        let body = request.into_body();
        if body.is_end_stream() {
            return Err(Fault::BadRequest("Body expected in request.".to_owned()));
        }
        let bytes = whole(body, app.config.api.max_image_body_bytes).await?;
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|_| Fault::BadRequest("Malformed JSON in request body.".to_owned()))?;
        if value.is_object() || value.is_array() {
            Ok(JsonBody(value))
        } else {
            Err(Fault::BadRequest("Unexpected body type. Expected list/dict.".to_owned()))
        }
    }
}

async fn whole(body: Body, limit: u64) -> Result<bytes::Bytes> {
    let too_large = || Fault::TooLarge(format!("The request body is larger than {limit} bytes."));
    if body.size_hint().lower() > limit {
        return Err(too_large());
    }
    match Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX)).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Fault::BadRequest("The request body ended too early.".to_owned())),
    }
}

/// Without its parameters; empty when there is none.
pub(super) fn content_type(headers: &HeaderMap) -> &str {
    let whole = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    whole.split(';').next().unwrap_or_default().trim()
}
