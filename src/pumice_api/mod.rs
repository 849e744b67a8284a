//! Our own extensions, under `/pumice/v1`: jobs and how far they are.

mod description;
mod fault;
mod jobs;
mod request;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::{App, authenticate, name_route};

#[derive(OpenApi)]
#[openapi(info(
    title = "Pumice",
    description = "Jobs of a Pumice service: what works on images and volumes, how far it is, and a way to stop it.",
    version = "1"
))]
struct Document;

fn documented() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(jobs::list::list_jobs))
        .routes(routes!(jobs::events::job_events))
        .routes(routes!(jobs::show::show_job, jobs::cancel::cancel_job))
}

pub fn router(app: App) -> Router {
    let routes = documented().split_for_parts().0;
    let routes = routes.route_layer(from_fn_with_state(app.clone(), authenticate));
    routes.route_layer(from_fn(name_route)).with_state(app)
}

pub fn openapi() -> serde_json::Result<serde_json::Value> {
    description::complete(&documented().into_openapi())
}
