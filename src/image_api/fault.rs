//! What can go wrong in the Image API, and how a client is told.
//!
//! A handler answers a [`Fault`]; which of the three bodies the client gets is settled at the door
//! ([`super::door`]), where its `Accept` header is known.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::block::{BlockError, ErrorKind};
use crate::db::DbError;
use crate::http::RETRY_AFTER_SECONDS;

pub type Result<T, E = Fault> = std::result::Result<T, E>;

/// The texts are public. What is internal is in [`Fault::Internal`] and [`Fault::Unavailable`] and is only logged.
///
/// Glance gives a few reasons as webob's *detail*, below the status's own explanation: these are the variants
/// `...Detail`.
#[derive(Debug)]
pub enum Fault {
    BadRequest(String),
    Forbidden(String),
    ForbiddenDetail(String),
    NotFound(String),
    /// No route, or nothing more to say about it.
    NoSuchResource,
    MethodNotAllowed {
        method: String,
        allow: String,
    },
    Timeout(String),
    Conflict(String),
    ConflictDetail(String),
    Gone(String),
    TooLarge(String),
    UnsupportedMediaType {
        given: String,
        detail: String,
        accept_patch: Option<&'static str>,
    },
    RangeNotSatisfiable(String),
    /// Said in a comment.
    HeadersTooLarge(String),
    Internal(anyhow::Error),
    /// The project has too many jobs under way.
    TooManyJobs,
    /// Everybody together has.
    Busy,
    Unavailable {
        said: String,
        source: anyhow::Error,
    },
    /// Likewise, in the middle of a body. Who is told to come again later (503) may go on with the rest of its file: Nova
    /// does, and gives no length by which that could be seen.
    BrokenOff {
        said: String,
        source: anyhow::Error,
    },
}

/// A fault on its way to the door.
#[derive(Clone)]
pub(super) struct Told {
    status: StatusCode,
    /// With its line break, which differs.
    explanation: Cow<'static, str>,
    detail: String,
}

/// The body of a fault for those who accept JSON. Glance's `code` is a text.
#[derive(Serialize, ToSchema)]
pub struct FaultBody {
    message: String,
    #[schema(example = "404 Not Found")]
    code: String,
    title: &'static str,
}

impl Fault {
    /// A path or query that is not UTF-8, or holds what no column takes.
    pub fn undecodable() -> Self {
        Fault::BadRequest(
            "Error decoding your request. Either the URL or the request body contained characters that could \
             not be decoded by Glance"
                .to_owned(),
        )
    }

    fn told(&self) -> Told {
        const NOTHING: String = String::new();
        let plain = |status, said: &str| (status, Cow::Owned(said.to_owned()), NOTHING);
        let detailed =
            |status, explanation, said: &str| (status, Cow::Borrowed(explanation), said.to_owned());
        let (status, explanation, detail): (StatusCode, Cow<'static, str>, String) = match self {
            Fault::BadRequest(said) => plain(StatusCode::BAD_REQUEST, said),
            Fault::Forbidden(said) => plain(StatusCode::FORBIDDEN, said),
            Fault::ForbiddenDetail(said) => {
                detailed(StatusCode::FORBIDDEN, "Access was denied to this resource.", said)
            }
            Fault::NotFound(said) => plain(StatusCode::NOT_FOUND, said),
            Fault::NoSuchResource => plain(StatusCode::NOT_FOUND, "The resource could not be found."),
            Fault::MethodNotAllowed { method, .. } => plain(
                StatusCode::METHOD_NOT_ALLOWED,
                &format!("The method {method} is not allowed for this resource. "),
            ),
            Fault::Timeout(said) => plain(StatusCode::REQUEST_TIMEOUT, said),
            Fault::Conflict(said) => plain(StatusCode::CONFLICT, said),
            Fault::ConflictDetail(said) => detailed(
                StatusCode::CONFLICT,
                "There was a conflict when trying to complete your request.",
                said,
            ),
            Fault::Gone(said) => plain(StatusCode::GONE, said),
            Fault::TooLarge(said) => plain(StatusCode::PAYLOAD_TOO_LARGE, said),
            Fault::UnsupportedMediaType { given, detail, .. } => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                Cow::Owned(format!("The request media type {given} is not supported by this server.\n")),
                detail.clone(),
            ),
            Fault::RangeNotSatisfiable(said) => {
                detailed(StatusCode::RANGE_NOT_SATISFIABLE, "The Range requested is not available.", said)
            }
            Fault::HeadersTooLarge(said) => detailed(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "The request header fields were too large",
                said,
            ),
            Fault::TooManyJobs => plain(
                StatusCode::TOO_MANY_REQUESTS,
                "Too many jobs of the project are under way. Please try again later.",
            ),
            Fault::Busy => {
                plain(StatusCode::SERVICE_UNAVAILABLE, "The service is busy. Please try again later.")
            }
            Fault::Internal(_) => plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "The server has either erred or is incapable of performing the requested operation.",
            ),
            Fault::Unavailable { said, .. } => plain(StatusCode::SERVICE_UNAVAILABLE, said),
            Fault::BrokenOff { said, .. } => plain(StatusCode::BAD_GATEWAY, said),
        };
        Told { status, explanation, detail }
    }

    fn header(&self) -> Option<(HeaderName, Cow<'static, str>)> {
        match self {
            Fault::MethodNotAllowed { allow, .. } => Some((header::ALLOW, Cow::Owned(allow.clone()))),
            Fault::UnsupportedMediaType { accept_patch: Some(types), .. } => {
                Some((HeaderName::from_static("accept-patch"), Cow::Borrowed(types)))
            }
            Fault::TooManyJobs | Fault::Busy | Fault::Unavailable { .. } => {
                Some((header::RETRY_AFTER, Cow::Borrowed(RETRY_AFTER_SECONDS)))
            }
            _ => None,
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        match &self {
            Fault::Internal(error) => tracing::error!(error = format!("{error:#}"), "a request failed"),
            Fault::Unavailable { source, .. } | Fault::BrokenOff { source, .. } => {
                tracing::warn!(error = format!("{source:#}"), "a request found the storage unavailable")
            }
            _ => {}
        }
        let told = self.told();
        let mut response = told.status.into_response();
        if let Some((name, text)) = self.header()
            && let Ok(value) = HeaderValue::from_str(&text)
        {
            response.headers_mut().insert(name, value);
        }
        response.extensions_mut().insert(told);
        response
    }
}

impl From<DbError> for Fault {
    fn from(error: DbError) -> Self {
        match error {
            DbError::QueueFull { of_project: true } => Fault::TooManyJobs,
            DbError::QueueFull { of_project: false } => Fault::Busy,
            DbError::Unavailable(_) => Fault::Unavailable {
                said: "The database did not answer. Please try again later.".to_owned(),
                source: error.into(),
            },
            other => Fault::Internal(other.into()),
        }
    }
}

impl From<BlockError> for Fault {
    fn from(error: BlockError) -> Self {
        match error.kind {
            ErrorKind::TimedOut | ErrorKind::Disconnected => Fault::Unavailable {
                said: "The image storage did not answer. Please try again later.".to_owned(),
                source: error.into(),
            },
            _ => Fault::Internal(error.into()),
        }
    }
}

impl Told {
    /// The whole answer, in the kind of body that the client accepts; `headers` are those of the fault itself.
    pub(super) fn render(&self, accept: Option<&str>, headers: HeaderMap) -> Response {
        let title = title(self.status);
        let code = format!("{} {title}", self.status.as_u16());
        let (kind, body) = match accepted(accept) {
            Some(Kind::Html) => ("text/html; charset=UTF-8", html(&code, &self.body(escaped))),
            Some(Kind::Json) => {
                let body = FaultBody { message: self.body(str::to_owned), code, title };
                ("application/json", serde_json::to_string(&body).unwrap_or_default())
            }
            None => ("text/plain; charset=UTF-8", format!("{code}\n\n{}", plain(&self.body(str::to_owned)))),
        };
        let mut response = (self.status, headers, [(header::CONTENT_TYPE, kind)], body).into_response();
        if self.status.canonical_reason() != Some(title) {
            response.extensions_mut().insert(hyper::ext::ReasonPhrase::from_static(title.as_bytes()));
        }
        response
    }

    fn body(&self, written: fn(&str) -> String) -> String {
        let (explanation, detail) = (written(&self.explanation), written(&self.detail));
        match self.status {
            // These two have forms of their own, without the line for a comment.
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                format!("{explanation}<br /><br />\n{detail}")
            }
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
                format!("{explanation}<br /><br />\n\n<!-- {detail} -->\n")
            }
            _ => format!("{explanation}<br /><br />\n{detail}\n\n"),
        }
    }
}

/// Where webob's titles are older than the `http` crate's.
fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large",
        StatusCode::RANGE_NOT_SATISFIABLE => "Request Range Not Satisfiable",
        other => other.canonical_reason().unwrap_or("Error"),
    }
}

fn html(code: &str, body: &str) -> String {
    format!(
        "<html>\n <head>\n  <title>{code}</title>\n </head>\n <body>\n  <h1>{code}</h1>\n  {body}\n </body>\n</html>"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Line breaks are those of `<br />` alone; what is in a comment stays, and no tag, not even one that a client sent.
fn plain(body: &str) -> String {
    let body = body.replace('\r', "").replace('\n', " ").replace("<br /><br />", "\n\n");
    let body = body.replace("<!--", "").replace("-->", "");
    let mut kept = String::with_capacity(body.len());
    let mut rest = body.as_str();
    while let Some((before, tag)) = rest.split_once('<') {
        kept.push_str(before);
        match tag.split_once('>') {
            Some((_, after)) => rest = after,
            // Nor does any later one end.
            None => {
                kept.push('<');
                rest = tag;
                break;
            }
        }
    }
    kept.push_str(rest);
    kept
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Html,
    Json,
}

/// Plain text for who accepts neither of the two, or says nothing. HTML wins a draw, and so `*/*`. An empty header is what
/// openstacksdk uploads with, which reads the reason of a refusal from HTML and JSON alone: Glance's, which is plain text
/// then, its users never see.
fn accepted(accept: Option<&str>) -> Option<Kind> {
    let accept = accept.map(str::trim).map(|accept| if accept.is_empty() { "*/*" } else { accept });
    let accept = accept?.to_ascii_lowercase();
    let quality = |kind: &str| {
        let (family, _) = kind.split_once('/').unwrap_or((kind, ""));
        let family = format!("{family}/*");
        [kind, family.as_str(), "*/*"].into_iter().find_map(|wanted| {
            accept
                .split(',')
                .filter_map(weighed)
                .find(|(range, _)| *range == wanted)
                .map(|(_, weight)| weight)
        })
    };
    let weight = |kind| quality(kind).unwrap_or(0.0);
    let (html, json) = (weight("text/html"), weight("application/json"));
    if html <= 0.0 && json <= 0.0 {
        None
    } else if html >= json {
        Some(Kind::Html)
    } else {
        Some(Kind::Json)
    }
}

/// `application/json;q=0.5` as its parts. One with other parameters is another type.
fn weighed(range: &str) -> Option<(&str, f32)> {
    match range.split_once(';') {
        None => Some((range.trim(), 1.0)),
        Some((kind, parameter)) => {
            let weight = parameter.trim().strip_prefix("q=")?.trim().parse().ok()?;
            Some((kind.trim(), weight))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_has_no_tags() {
        assert_eq!(plain("a<br /><br />b <i>c</i>"), "a\n\nb c");
        assert_eq!(plain("1 < 2"), "1 < 2");
        assert_eq!(plain("<b>1 < 2 < 3"), "1 < 2 < 3");
    }

    #[test]
    fn the_body_is_the_one_that_is_accepted() {
        let html = Some(Kind::Html);
        let json = Some(Kind::Json);
        for (accept, kind) in [
            (None, None),
            (Some(""), html),
            (Some(" "), html),
            (Some("*/*"), html),
            (Some("image/png"), None),
            (Some("application/json"), json),
            (Some("Application/JSON"), json),
            (Some("text/html"), html),
            (Some("application/json, text/html"), html),
            (Some("text/html;q=0.5, application/json"), json),
            (Some("*/*;q=0.1, application/json"), json),
            (Some("application/*"), json),
            (Some("application/json;q=0"), None),
            (Some("application/json;q=0, */*"), html),
            (Some("text/html;level=1"), None),
        ] {
            assert!(accepted(accept) == kind, "{accept:?}");
        }
    }

    #[test]
    fn tags_of_a_client_do_not_come_back() {
        assert_eq!(plain("z<b>&z<br /><br />\n\n\n"), "z&z\n\n   ");
        assert_eq!(plain("<<<>a<"), "a<");
        assert_eq!(escaped("<b a=\"1\">&"), "&lt;b a=&quot;1&quot;&gt;&amp;");
    }
}
