//! Identity v3 (Keystone's), as far as clients of the other two APIs need it: a folder a resource, a file an
//! endpoint. Only with `identity.mode = "standalone"`.

mod application_credentials;
mod asker;
mod assignments;
mod auth;
mod body;
mod catalogue;
mod description;
mod domains;
mod fault;
mod front;
mod links;
mod projects;
mod roles;
mod users;
mod versions;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::{App, name_route};
use crate::identity::standalone::Standalone;

/// What every handler gets.
#[derive(Clone)]
struct Api {
    app: App,
    standalone: Standalone,
}

#[derive(OpenApi)]
#[openapi(info(
    title = "Identity API",
    description = "Tokens, and who there is: the part of Keystone's API that clients of images and volumes use. \
        Below `/identity`.",
    version = "3.14"
))]
struct Document;

pub fn router(app: App, standalone: Standalone) -> Router {
    let (routes, _) = documented().split_for_parts();
    routes
        .fallback(fault::no_such_route)
        .method_not_allowed_fallback(fault::no_such_method)
        .route_layer(from_fn(name_route))
        .layer(from_fn_with_state(app.clone(), front::front))
        .with_state(Api { app, standalone })
}

pub fn openapi() -> serde_json::Result<serde_json::Value> {
    description::complete(&documented().into_openapi())
}

fn documented() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(versions::choices))
        .routes(routes!(versions::v3))
        .routes(routes!(versions::v3_with_slash))
        .merge(auth::router())
        .merge(users::router())
        .merge(application_credentials::router())
        .merge(projects::router())
        .merge(domains::router())
        .merge(roles::router())
        .merge(assignments::router())
        .merge(catalogue::router())
}
