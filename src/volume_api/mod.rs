//! The Block Storage API v3 (Cinder's): a folder a resource, a file an endpoint.
//!
//! A request passes [`front`], which takes project and `.json` off its path and reads its microversion; then one
//! handler, which takes a [`request::Call`] and, for writes, a [`request::Body`]. Refusals are [`fault::Fault`]s.

mod attachments;
mod availability_zones;
mod capabilities;
mod clusters;
mod connection;
mod default_types;
mod description;
mod extensions;
mod fault;
mod filters;
mod front;
mod hosts;
mod limits;
mod links;
mod manageable;
mod manageable_snapshots;
mod manageable_volumes;
mod messages;
mod metadata;
pub(crate) mod microversion;
mod nothing;
mod paging;
mod placement;
mod pools;
mod python;
mod qos_specs;
mod quota_classes;
mod quotas;
mod request;
mod resource_filters;
mod schema;
mod services;
mod snapshots;
mod transfers;
mod twins;
mod types;
mod versions;
mod volumes;
mod workers;

pub(crate) use filters::{comparisons, texts};
pub(crate) use python::{literal, repr};

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use tower::Layer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::{App, authenticate, name_route};

/// The whole API, with paths relative to its root. `mount` is the path at which the caller nests it, for the links
/// in answers: empty for the root.
pub fn router(app: App, mount: &'static str) -> Router {
    let (open, _) = unauthenticated().split_for_parts();
    let (routes, _) = authenticated().split_for_parts();
    let routes = routes
        .fallback(fault::not_found)
        .layer(from_fn_with_state(app.clone(), authenticate))
        .merge(open)
        .method_not_allowed_fallback(fault::not_found)
        .route_layer(from_fn(name_route))
        .with_state(app.clone());
    // Around the routes and not within: it changes the path by which they are chosen.
    let front = from_fn_with_state(front::Front { app, mount }, front::front);
    Router::new().fallback_service(front.layer(routes))
}

/// The description of the routes, made from the routes.
pub fn openapi() -> serde_json::Result<serde_json::Value> {
    let mut document = documented().into_openapi();
    document.info.title = "Block Storage API".to_owned();
    document.info.version = "3.71".to_owned();
    document.info.description = Some(
        "Every path below `/v3` exists as `/v3/{project_id}` as well. The header \
         `OpenStack-API-Version: volume 3.x` chooses the microversion; without it, it is 3.0. What came with a later \
         one is marked so: `x-openstack` has its `min-ver`, and its `max-ver` where it went again."
            .to_owned(),
    );
    description::complete(&document, &unauthenticated().into_openapi())
}

fn documented() -> OpenApiRouter<App> {
    unauthenticated().merge(authenticated())
}

/// What clients ask before they have a token.
fn unauthenticated() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(versions::choices))
        .routes(routes!(versions::v3))
        .routes(routes!(versions::moved))
        .routes(routes!(versions::health))
}

fn authenticated() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(availability_zones::list))
        .routes(routes!(extensions::list))
        .routes(routes!(extensions::show))
        .routes(routes!(limits::show))
        .routes(routes!(resource_filters::list))
        .merge(volumes::router())
        .merge(snapshots::router())
        .merge(attachments::router())
        .merge(transfers::router())
        .merge(messages::router())
        .merge(nothing::router())
        .merge(manageable_volumes::router())
        .merge(manageable_snapshots::router())
        .merge(types::router())
        .merge(default_types::router())
        .merge(qos_specs::router())
        .merge(quotas::router())
        .merge(quota_classes::router())
        .merge(services::router())
        .merge(hosts::router())
        .merge(clusters::router())
        .routes(routes!(pools::list))
        .routes(routes!(capabilities::show))
        .routes(routes!(workers::cleanup))
}
