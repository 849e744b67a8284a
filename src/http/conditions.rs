//! Requests that depend on what the client has already (RFC 9110, 13).

use axum::http::{HeaderMap, HeaderName, header};

/// `If-None-Match`: whether the client has what this strong entity tag, with its quotes, is of.
pub fn has_already(headers: &HeaderMap, tag: &str) -> bool {
    let named = texts(headers, header::IF_NONE_MATCH).flat_map(|tags| tags.split(','));
    // The weak comparison.
    named.map(str::trim).any(|named| named == "*" || named.strip_prefix("W/").unwrap_or(named) == tag)
}

/// `If-Range`: whether a range is of use to the client, or the whole is. A moment proves nothing.
pub fn wants_range(headers: &HeaderMap, tag: Option<&str>) -> bool {
    let mut named = texts(headers, header::IF_RANGE).map(str::trim);
    named.all(|named| Some(named) == tag)
}

fn texts(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    // What is no text is no tag of ours.
    headers.get_all(name).into_iter().map(|value| value.to_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(name: HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn a_client_has_what_it_names() {
        for (values, expected) in [
            (&[][..], false),
            (&["\"a\""], true),
            (&["W/\"a\""], true),
            (&["*"], true),
            (&["\"b\", \"a\""], true),
            (&["\"b\"", "\"a\""], true),
            (&["\"b\""], false),
            (&["a"], false),
            (&[""], false),
        ] {
            assert_eq!(has_already(&headers(header::IF_NONE_MATCH, values), "\"a\""), expected, "{values:?}");
        }
    }

    #[test]
    fn a_range_is_of_use_to_whom_has_the_rest() {
        for (values, expected) in [
            (&[][..], true),
            (&["\"a\""], true),
            (&["\"b\""], false),
            (&["W/\"a\""], false),
            (&["Wed, 21 Oct 2026 07:28:00 GMT"], false),
        ] {
            let headers = headers(header::IF_RANGE, values);
            assert_eq!(wants_range(&headers, Some("\"a\"")), expected, "{values:?}");
        }
        assert!(wants_range(&HeaderMap::new(), None));
        assert!(!wants_range(&headers(header::IF_RANGE, &["\"a\""]), None));
    }
}
