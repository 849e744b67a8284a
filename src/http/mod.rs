//! What our APIs have in common on the wire: how a request gets in, who asks, what it brings along, ranges and conditions,
//! and the form in which an API describes itself. Faults, versions and paging are each API's own.

mod address;
mod app;
mod authentication;
mod body;
pub mod conditions;
mod context;
pub mod description;
mod gate;
mod image_schema;
pub mod images;
mod query;
pub mod range;
mod request_id;
mod route_name;

pub use address::host;
pub use app::{App, Shared};
pub use authentication::{Admission, Unauthenticated, authenticate};
pub use body::{BodyError, holds_nul, media_type, whole};
pub use context::RequestContext;
pub use gate::{Gates, Kind, RETRY_AFTER_SECONDS, busy, pass_gate, say_when};
pub use image_schema::ImageSchema;
pub use query::{Query, truth};
pub use request_id::{REQUEST_ID, RequestId, assign_request_id, name_of, note_given_id, note_global_id};
pub use route_name::name_route;
