//! What a client is told when something is refused: `{"error": {"code": 404, "message": "...", "title": "..."}}`.

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::db::DbError;
use crate::http::RETRY_AFTER_SECONDS;
use crate::identity::Refusal;
use crate::identity::standalone::{LogInError, PasswordError};
use crate::telemetry::chain;

pub(super) type Result<T> = std::result::Result<T, Fault>;

/// Its text is what the client reads. What went wrong inside is logged, and never sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("The request you have made requires authentication.")]
    Unauthorized,
    #[error("Attempted to authenticate with an unsupported method.")]
    UnsupportedMethod,
    #[error(
        "Error authenticating with application credential: Application credentials cannot request a scope."
    )]
    ScopeOfCredential,
    #[error("Too many failed attempts to authenticate. Try again in {0} seconds.")]
    Wait(u64),
    /// The name of the rule.
    #[error("You are not authorized to perform the requested action: {0}.")]
    Forbidden(&'static str),
    /// The text says it all.
    #[error("{0}")]
    Refused(&'static str),
    /// How many there may be.
    #[error("Unable to create additional application credentials, maximum of {0} already exceeded for user.")]
    TooManyCredentials(i64),
    /// What was expected, and where.
    #[error(
        "Expecting to find {0} in {1}. The server could not comply with the request since it is either malformed \
         or otherwise incorrect. The client is assumed to be in error."
    )]
    Expected(&'static str, &'static str),
    #[error("{0}")]
    Invalid(String),
    /// The kind of a thing that is not there, and its id.
    #[error("Could not find {0}: {1}.")]
    Missing(&'static str, String),
    #[error("No token in the request")]
    NoSubject,
    #[error("Could not recognize the token")]
    UnknownToken,
    /// The kind of the thing, and why.
    #[error("Conflict occurred attempting to store {0} - {1}.")]
    Conflict(&'static str, String),
    #[error("Request body is too large.")]
    TooLarge,
    #[error("The requested URL was not found on the server.")]
    NoSuchRoute,
    #[error("The database did not answer. Please try again later.")]
    Unavailable(String),
    #[error("Too many passwords are being compared at once. Please try again later.")]
    Busy,
    #[error("An unexpected error prevented the server from fulfilling your request.")]
    Internal(String),
}

/// An answer that is a refusal.
#[derive(Serialize, ToSchema)]
pub(super) struct FaultBody {
    error: FaultDetail,
}

#[derive(Serialize, ToSchema)]
struct FaultDetail {
    /// The HTTP status.
    code: u16,
    message: String,
    title: &'static str,
}

impl Fault {
    fn status(&self) -> StatusCode {
        use Fault::*;
        match self {
            Unauthorized | UnsupportedMethod | ScopeOfCredential => StatusCode::UNAUTHORIZED,
            Wait(_) => StatusCode::TOO_MANY_REQUESTS,
            Forbidden(_) | Refused(_) | TooManyCredentials(_) => StatusCode::FORBIDDEN,
            Expected(..) | Invalid(_) => StatusCode::BAD_REQUEST,
            Missing(..) | NoSubject | UnknownToken | NoSuchRoute => StatusCode::NOT_FOUND,
            Conflict(..) => StatusCode::CONFLICT,
            TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Unavailable(_) | Busy => StatusCode::SERVICE_UNAVAILABLE,
            Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<DbError> for Fault {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Unavailable(_) => Fault::Unavailable(chain(&error)),
            // Somebody else has deleted it since it was looked at.
            DbError::Reference => {
                Fault::Conflict("a reference", "what it names is not there any more".to_owned())
            }
            other => Fault::Internal(chain(&other)),
        }
    }
}

impl From<PasswordError> for Fault {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Fault::Busy,
            other => Fault::Internal(chain(&other)),
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unauthorized => Fault::Unauthorized,
            Refusal::Unavailable(why) => Fault::Unavailable(why),
        }
    }
}

impl From<LogInError> for Fault {
    fn from(error: LogInError) -> Self {
        match error {
            LogInError::Denied => Fault::Unauthorized,
            LogInError::BadToken => Fault::UnknownToken,
            LogInError::ScopeOfCredential => Fault::ScopeOfCredential,
            LogInError::ScopeOfSystem => Fault::Forbidden(
                "Using a system-scoped token to create a project-scoped or domain-scoped token is not allowed.",
            ),
            LogInError::Wait(seconds) => Fault::Wait(seconds),
            LogInError::Unavailable(why) => Fault::Unavailable(why),
            LogInError::Database(error) => error.into(),
            LogInError::Password(error) => error.into(),
            other => Fault::Internal(chain(&other)),
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        match &self {
            Fault::Unavailable(why) => tracing::warn!(error = why, "an identity request found no database"),
            Fault::Internal(why) => tracing::error!(error = why, "an identity request failed"),
            _ => {}
        }
        let status = self.status();
        let title = status.canonical_reason().unwrap_or_default();
        let error = FaultDetail { code: status.as_u16(), message: self.to_string(), title };
        let mut response = (status, Json(FaultBody { error })).into_response();
        let wait = match self {
            Fault::Wait(seconds) => Some(HeaderValue::from(seconds)),
            Fault::Unavailable(_) | Fault::Busy => Some(HeaderValue::from_static(RETRY_AFTER_SECONDS)),
            _ => None,
        };
        if let Some(wait) = wait {
            response.headers_mut().insert(RETRY_AFTER, wait);
        }
        response
    }
}

pub(super) async fn no_such_route() -> Fault {
    Fault::NoSuchRoute
}

/// Not in the form of the others: the real service's framework answers it.
pub(super) async fn no_such_method() -> Response {
    let body = json!({ "message": "The method is not allowed for the requested URL." });
    (StatusCode::METHOD_NOT_ALLOWED, Json(body)).into_response()
}
