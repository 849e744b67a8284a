//! `/manageable_volumes`, and `/os-volume-manage`, which is its name before 3.8: images on the pool, and how they become
//! volumes.

mod list;
mod manage;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::twins::also;
use crate::http::App;

const NAME: &str = "/v3/manageable_volumes";
const OLD_NAME: &str = "/v3/os-volume-manage";

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(also(routes!(list::list, manage::manage), NAME, OLD_NAME)).routes(also(
        routes!(list::detail),
        NAME,
        OLD_NAME,
    ))
}
