//! Wire habits that all our APIs share: what a request brings, what every answer carries, limits and paging.

mod app;
mod context;
pub mod images;
mod query;
pub mod range;
mod request_id;
mod route_name;

pub use app::App;
pub use context::RequestContext;
pub use query::Query;
pub use request_id::{REQUEST_ID, RequestId, assign_request_id};
pub use route_name::name_route;
