//! `/os-quota-sets`: how much a project may have; and whether one more fits.

mod account;
mod defaults;
mod delete;
pub mod reserve;
mod show;
mod update;
mod view;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::App;

pub use account::{Account, Resource, class_limits, defaults, rename_type, resources};
pub use view::Set;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(show::show, update::update, delete::delete))
        .routes(routes!(defaults::show))
}
