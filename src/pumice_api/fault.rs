//! Errors of these routes: `{"error": {"code": 404, "message": "..."}}`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::db::DbError;
use crate::identity::policy::Rule;
use crate::telemetry::chain;

#[derive(Debug)]
pub(super) enum Fault {
    /// By this rule.
    Forbidden(Rule),
    NotFound(String),
    Conflict(String),
    Invalid(String),
    Database(DbError),
}

/// What went wrong.
#[derive(Serialize, ToSchema)]
pub(super) struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Serialize, ToSchema)]
struct ErrorDetail {
    /// The HTTP status.
    code: u16,
    message: String,
}

impl From<DbError> for Fault {
    fn from(error: DbError) -> Self {
        Fault::Database(error)
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Fault::Forbidden(rule) => {
                (StatusCode::FORBIDDEN, format!("The rule {} does not allow this.", rule.name()))
            }
            Fault::NotFound(message) => (StatusCode::NOT_FOUND, message),
            Fault::Conflict(message) => (StatusCode::CONFLICT, message),
            Fault::Invalid(message) => (StatusCode::BAD_REQUEST, message),
            Fault::Database(error) => {
                tracing::error!(error = %chain(&error), "a request failed");
                match error {
                    DbError::Unavailable(_) => {
                        (StatusCode::SERVICE_UNAVAILABLE, "The database does not answer.".to_owned())
                    }
                    _ => (StatusCode::INTERNAL_SERVER_ERROR, "The server has failed.".to_owned()),
                }
            }
        };
        let error = ErrorDetail { code: status.as_u16(), message };
        (status, Json(ErrorBody { error })).into_response()
    }
}
