//! What a client is told when something is refused: one text, one status and one name each.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use crate::block::BlockError;
use crate::db::DbError;
use crate::http;
use crate::identity::policy::Rule;
use crate::model::{AttachMode, VolumeId};
use crate::telemetry::chain;

/// Its text is what the client reads. What went wrong inside stands in the source of [`Fault::Internal`], which
/// is logged and never sent.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error(
        "The server could not comply with the request since it is either malformed or otherwise incorrect."
    )]
    Malformed,
    #[error("Malformed request body")]
    MalformedBody,
    #[error("Malformed request url")]
    MalformedUrl,
    #[error("API Version String {0} is of invalid format. Must be of format MajorNum.MinorNum.")]
    MalformedVersion(String),
    #[error("Version {0} is not supported by the API. Minimum is 3.0 and maximum is 3.71.")]
    UnsupportedVersion(String),
    #[error("There is no such action: {0}. Verify the request body and Content-Type header and try again.")]
    NoSuchAction(String),
    /// The text says it all.
    #[error("{0}")]
    Invalid(String),
    #[error("Invalid input received: {0}")]
    InvalidInput(String),
    #[error("Invalid volume: {0}")]
    InvalidVolume(String),
    #[error("Invalid snapshot: {0}")]
    InvalidSnapshot(String),
    #[error("Invalid volume type: {0}")]
    InvalidVolumeType(String),
    #[error("Invalid qos specs: {0}")]
    InvalidQosSpecs(String),
    #[error("Invalid auth key: {0}")]
    InvalidAuthKey(String),
    #[error("Invalid attaching mode '{mode}' for volume {volume}.")]
    AttachMode { mode: AttachMode, volume: VolumeId },
    #[error("Availability zone '{0}' is invalid.")]
    AvailabilityZone(String),
    #[error("Unsupported Content-Type")]
    MediaType,
    #[error("Policy doesn't allow {} to be performed.", .0.name())]
    Forbidden(Rule),
    #[error("The resource could not be found.")]
    NotFound,
    /// A thing that has a name and is not there: its kind and the name.
    #[error("{0} {1} could not be found.")]
    Missing(&'static str, String),
    /// The text says what is not there.
    #[error("{0}")]
    NoSuch(String),
    /// The metadata item of a thing: the thing's kind, its id, the key.
    #[error("{0} {1} has no metadata with key {2}.")]
    NoMetadata(&'static str, String, String),
    #[error("Volume attachment could not be found with filter: attachment_id = {0}.")]
    NoAttachment(String),
    #[error("Resource conflict: {0}")]
    Conflict(String),
    /// A server has the volume, empty when it is not known which: only Nova may take it away, lest the host goes on
    /// with a device that belongs to somebody else by then (CVE-2023-2088).
    #[error("Detach volume from instance {0} using the Compute API")]
    InUseByServer(String),
    #[error("Multiple matches found for '{0}', use an ID to be more specific.")]
    Ambiguous(String),
    /// The text says what is there already.
    #[error("{0}")]
    Exists(String),
    /// The text says what stands against it.
    #[error("{0}")]
    Stands(String),
    #[error("VolumeLimitExceeded: Maximum number of volumes allowed ({limit}) exceeded for quota '{name}'.")]
    TooManyVolumes { name: String, limit: i64 },
    #[error(
        "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed {name} quota. Requested \
         {requested}G, quota is {limit}G and {consumed}G has been consumed."
    )]
    TooManyGigabytes { name: String, requested: i64, limit: i64, consumed: i64 },
    #[error("SnapshotLimitExceeded: Maximum number of snapshots allowed ({0}) exceeded")]
    TooManySnapshots(i64),
    #[error("MetadataLimitExceeded: Maximum number of metadata items allowed ({0}) exceeded")]
    TooMuchMetadata(u32),
    #[error("MetadataLimitExceeded: Maximum size of all image metadata allowed ({0} bytes) exceeded")]
    TooLargeMetadata(usize),
    #[error(
        "VolumeSizeExceedsLimit: Requested volume size {size}G is larger than maximum allowed limit {limit}G."
    )]
    TooLarge { size: i64, limit: i64 },
    #[error(
        "Volumes that are kept in a directory cannot be attached: nobody but this service can open them."
    )]
    NotAttachable,
    /// What the real service does and this one does not do yet.
    #[error("{0} is not implemented.")]
    NotImplemented(String),
    /// The store did not say what was asked; the text says for what.
    #[error("{0}")]
    Store(&'static str, #[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("Too many jobs of the project are under way. Please try again later.")]
    TooManyJobs,
    #[error("The service is busy. Please try again later.")]
    Busy,
    #[error("The database did not answer. Please try again later.")]
    Unavailable(#[source] DbError),
    #[error("The storage did not answer. Please try again later.")]
    StorageUnavailable(#[source] BlockError),
    #[error("The server has either erred or is incapable of performing the requested operation.")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Fault {
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Fault::Internal(source.into())
    }

    fn status(&self) -> StatusCode {
        use Fault::*;
        match self {
            Malformed
            | MalformedBody
            | MalformedUrl
            | MalformedVersion(_)
            | NoSuchAction(_)
            | Invalid(_)
            | InvalidInput(_)
            | InvalidVolume(_)
            | InvalidSnapshot(_)
            | InvalidVolumeType(_)
            | InvalidQosSpecs(_)
            | InvalidAuthKey(_)
            | AttachMode { .. }
            | AvailabilityZone(_) => StatusCode::BAD_REQUEST,
            Forbidden(_) => StatusCode::FORBIDDEN,
            NotFound | Missing(..) | NoSuch(_) | NoMetadata(..) | NoAttachment(_) => StatusCode::NOT_FOUND,
            UnsupportedVersion(_) => StatusCode::NOT_ACCEPTABLE,
            Ambiguous(_) | Exists(_) | Conflict(_) | Stands(_) | InUseByServer(_) => StatusCode::CONFLICT,
            TooManyVolumes { .. }
            | TooManyGigabytes { .. }
            | TooManySnapshots(_)
            | TooMuchMetadata(_)
            | TooLargeMetadata(_)
            | TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            TooManyJobs => StatusCode::TOO_MANY_REQUESTS,
            MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            NotImplemented(_) | NotAttachable => StatusCode::NOT_IMPLEMENTED,
            Busy | Unavailable(_) | StorageUnavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Internal(_) | Store(..) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// What a refusal with this status is called in its body.
pub fn name(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "badRequest",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_FOUND => "itemNotFound",
        StatusCode::CONFLICT => "conflictingRequest",
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS => "overLimit",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "badMediaType",
        StatusCode::NOT_IMPLEMENTED => "notImplemented",
        StatusCode::SERVICE_UNAVAILABLE => "serviceUnavailable",
        _ => "computeFault",
    }
}

impl From<DbError> for Fault {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Unavailable(_) => Fault::Unavailable(error),
            DbError::QueueFull { of_project: true } => Fault::TooManyJobs,
            DbError::QueueFull { of_project: false } => Fault::Busy,
            other => Fault::internal(other),
        }
    }
}

impl From<BlockError> for Fault {
    fn from(error: BlockError) -> Self {
        if error.is_transient() { Fault::StorageUnavailable(error) } else { Fault::internal(error) }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let status = self.status();
        let name = name(status);
        match &self {
            Fault::Internal(source) | Fault::Store(_, source) => {
                tracing::error!(error = %chain(&**source), "a volume request failed")
            }
            Fault::Unavailable(source) => {
                tracing::warn!(error = %chain(source), "a volume request found no database");
            }
            Fault::StorageUnavailable(source) => {
                tracing::warn!(error = %source, "a volume request found no storage");
            }
            _ => {}
        }
        let mut fault = json!({ "code": status.as_u16(), "message": self.to_string() });
        let retry_after = match status {
            // As Cinder says it.
            StatusCode::PAYLOAD_TOO_LARGE => Some("0"),
            StatusCode::TOO_MANY_REQUESTS => Some(http::RETRY_AFTER_SECONDS),
            StatusCode::SERVICE_UNAVAILABLE => Some(http::RETRY_AFTER_SECONDS),
            _ => None,
        };
        if let (Some(seconds), "overLimit") = (retry_after, name) {
            fault["retryAfter"] = seconds.into();
        }
        let mut response = answer(status, &json!({ name: fault }));
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        response
    }
}

/// An answer in JSON. Views borrow from rows, so they are written out before the rows go.
pub fn answer(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (status, [(CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(error) => {
            tracing::error!(error = %error, "an answer could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Success without a body. The real service calls it HTML.
pub fn empty(status: StatusCode) -> Response {
    (status, [(CONTENT_TYPE, "text/html; charset=UTF-8")]).into_response()
}

/// Likewise, where the real service calls nothing at all JSON.
pub fn empty_json(status: StatusCode) -> Response {
    (status, [(CONTENT_TYPE, "application/json")]).into_response()
}

/// On answers outside of any API version: they carry no version headers.
#[derive(Clone, Copy)]
pub struct Unversioned;

/// No such path, or no such method on it: there is no 405 in this API.
pub async fn not_found() -> Response {
    unversioned_text(StatusCode::NOT_FOUND, "The resource could not be found.")
}

pub fn body_too_large(limit: u64) -> Response {
    let text = format!("Request is too large. Larger than {limit}");
    unversioned_text(StatusCode::PAYLOAD_TOO_LARGE, &text)
}

fn unversioned_text(status: StatusCode, text: &str) -> Response {
    let body = format!("{status}\n\n{text}\n\n   ");
    let mut response = (status, [(CONTENT_TYPE, "text/plain; charset=UTF-8")], body).into_response();
    response.extensions_mut().insert(Unversioned);
    response
}
