//! The Image API, version 2: what Glance answers, from the routes of this room.
//!
//! A folder a resource, a file an endpoint. Routes that are not here are not faked: they are 404, as routes that
//! Glance never had.

mod actions;
mod description;
mod door;
mod fault;
mod images;
mod info;
mod locations;
mod members;
mod metadefs;
mod paging;
mod quota;
mod request;
mod request_id;
mod schema;
mod schemas;
mod stores;
mod tags;
mod tasks;
mod versions;

pub use images::image_schema;
pub(crate) use images::{Dialect, parse_filter};

use axum::{Extension, Router, middleware};
use utoipa::openapi::{InfoBuilder, OpenApiBuilder};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use crate::http::{App, authenticate, name_route};
use versions::Mounted;

/// All routes, with paths relative to their root. `prefix` is where the caller mounts them, for links: `/image`, or
/// nothing on a port of their own.
pub fn router(app: App, prefix: &'static str) -> Router {
    let (open, _) = unauthenticated().split_for_parts();
    let (routes, _) = authenticated().split_for_parts();
    let routes = routes
        .fallback(door::no_such_route)
        .layer(middleware::from_fn(request_id::adopt))
        .layer(middleware::from_fn_with_state(app.clone(), authenticate))
        .merge(open)
        .route_layer(middleware::from_fn(name_route))
        .layer(Extension(Mounted(prefix)))
        .with_state(app);
    Router::new().fallback(door::enter).with_state(routes)
}

pub fn openapi() -> serde_json::Result<serde_json::Value> {
    description::complete(&documented().into_openapi(), &unauthenticated().into_openapi())
}

/// Methods in the order in which Glance's `Allow` names them.
fn documented() -> OpenApiRouter<App> {
    let info = InfoBuilder::new().title("Pumice: Image API").version(env!("CARGO_PKG_VERSION")).build();
    OpenApiRouter::with_openapi(OpenApiBuilder::new().info(info).build())
        .merge(unauthenticated())
        .merge(authenticated())
}

/// Glance knows the path by this method alone: with another one it is no path of its own.
fn by_method_alone(mut route: UtoipaMethodRouter<App>) -> UtoipaMethodRouter<App> {
    route.2 = route.2.fallback(door::no_such_route);
    route
}

/// What clients ask before they have a token.
fn unauthenticated() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(versions::choices))
        .routes(routes!(versions::list))
        .routes(routes!(versions::root))
        .routes(routes!(versions::health))
}

fn authenticated() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(images::list::list, images::create::create))
        .routes(routes!(images::show::show, images::update::update, images::delete::delete))
        .routes(routes!(images::download::download, images::upload::upload))
        .routes(routes!(images::stage::stage))
        .routes(routes!(images::import::import))
        .routes(routes!(locations::list::list, locations::add::add))
        .routes(routes!(members::list::list, members::create::create))
        .routes(routes!(members::show::show, members::update::update, members::delete::delete))
        .routes(routes!(tasks::of_image::of_image))
        .routes(routes!(tags::add::add, tags::remove::remove))
        .routes(routes!(actions::deactivate::deactivate))
        .routes(routes!(actions::reactivate::reactivate))
        .routes(routes!(images::delete_from_store::delete_from_store))
        .routes(routes!(info::import::import))
        .routes(routes!(info::stores::stores))
        .routes(routes!(info::stores::detail))
        .routes(by_method_alone(routes!(info::usage::usage)))
        .routes(routes!(tasks::list::list, tasks::create::create))
        .routes(routes!(tasks::show::show, tasks::delete::delete))
        .merge(metadefs::endpoints())
        .merge(schemas::endpoints())
}
