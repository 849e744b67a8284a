//! The body of a request that is no image data, and what it says it is.

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;

/// Why a body was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    TooLarge,
    /// It ended too early.
    Broken,
}

/// All of it. One that is announced to be larger than the limit is not waited for.
pub async fn whole(headers: &HeaderMap, body: Body, limit: u64) -> Result<Bytes, BodyError> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if announced.and_then(|text| text.parse::<u64>().ok()).is_some_and(|length| length > limit) {
        return Err(BodyError::TooLarge);
    }
    let capacity = usize::try_from(limit).unwrap_or(usize::MAX);
    match Limited::new(body, capacity).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge),
        Err(_) => Err(BodyError::Broken),
    }
}

/// The content type without its parameters; empty when there is none.
pub fn media_type(headers: &HeaderMap) -> &str {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().unwrap_or_default().trim()
}

/// PostgreSQL keeps no text with a NUL in it; nothing of ours needs one.
pub fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(map) => map.iter().any(|(key, value)| key.contains('\0') || holds_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_body_is_whole_too_large_or_broken() {
        let none = HeaderMap::new();
        assert_eq!(whole(&none, Body::from("four"), 4).await.unwrap(), "four");
        assert_eq!(whole(&none, Body::from("fives"), 4).await, Err(BodyError::TooLarge));
        let announced = HeaderMap::from_iter([(CONTENT_LENGTH, "5".parse().unwrap())]);
        assert_eq!(whole(&announced, Body::empty(), 4).await, Err(BodyError::TooLarge));
        let broken = Body::from_stream(stream::iter([Ok("a"), Err(std::io::Error::other("gone"))]));
        assert_eq!(whole(&none, broken, 4).await, Err(BodyError::Broken));
    }

    #[test]
    fn a_media_type_has_no_parameters() {
        let given = |value: &'static str| HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]);
        assert_eq!(media_type(&given(" application/json ; charset=UTF-8")), "application/json");
        assert_eq!(media_type(&HeaderMap::new()), "");
    }

    #[test]
    fn a_nul_is_found_wherever_it_is() {
        for with_one in [json!("a\0"), json!([1, {"a": ["\0"]}]), json!({"a\0": null})] {
            assert!(holds_nul(&with_one), "{with_one}");
        }
        assert!(!holds_nul(&json!({"a": [1, true, null, "\\u0000"]})));
    }
}
