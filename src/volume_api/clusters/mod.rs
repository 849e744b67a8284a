//! `/clusters`: there are none. Our processes share their work without forming one: they are one host.

mod list;
mod show;
mod update;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::fault::Fault;
use super::python::repr_text;
use crate::db::Service;
use crate::http::App;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list::list))
        .routes(routes!(list::detail))
        .routes(routes!(show::show))
        .routes(routes!(update::enable))
        .routes(routes!(update::disable))
}

/// As the real service names the one it did not find.
fn missing(name: &str, binary: Option<&str>) -> Fault {
    let binary = repr_text(binary.unwrap_or(Service::VOLUME));
    Fault::NoSuch(format!("Cluster {{'binary': {binary}, 'name': {}}} could not be found.", repr_text(name)))
}
