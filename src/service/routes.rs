//! All routes with the layers around them, outermost last.

use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;

use super::health;
use crate::http::{App, Kind, assign_request_id, busy, name_of, name_route, pass_gate, say_when};
use crate::identity::Authority;
use crate::telemetry::metrics::{self, Metrics};
use crate::{identity_api, image_api, pumice_api, volume_api};

/// Where each API lies on the common port.
pub(super) const IMAGE: &str = "/image";
pub(super) const VOLUME: &str = "/volume";
pub(super) const IDENTITY: &str = "/identity";

/// The common port: everything; of a process that only works, what tells how it is.
pub(super) fn all(app: &App, figures: Option<Metrics>) -> Router {
    let own = Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .with_state(app.clone());
    let own = match figures {
        Some(figures) => own.route("/metrics", get(async move || figures.render())),
        None => own,
    };
    if !app.config.replica.role.serves() {
        return layered(own.route_layer(from_fn(name_route)), app);
    }
    let routes = own
        .route("/openapi/{document}", get(openapi))
        .route_layer(from_fn(name_route))
        .merge(pumice_api::router(app.clone()))
        // As services and not as nested routes: these would not match `/image/`, with the slash that clients send.
        .nest_service(IMAGE, image_api::router(app.clone(), IMAGE))
        .nest_service(VOLUME, volume_api::router(app.clone(), VOLUME));
    let routes = match &app.authority {
        Authority::Standalone(standalone) => {
            routes.nest_service(IDENTITY, identity_api::router(app.clone(), standalone.clone()))
        }
        Authority::Nobody(_) | Authority::Keystone(_) => routes,
    };
    layered(routes, app)
}

/// For connections beyond those there is room for: how it is, and that it is busy.
pub(super) fn no_room(app: &App) -> Router {
    let routes = Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .fallback(busy)
        .with_state(app.clone());
    layered(routes, app)
}

/// A port of its own, as clients of Glance expect it.
pub(super) fn image(app: &App) -> Router {
    layered(image_api::router(app.clone(), ""), app)
}

/// A port of its own, as clients of Cinder expect it.
pub(super) fn volume(app: &App) -> Router {
    layered(volume_api::router(app.clone(), ""), app)
}

fn layered(routes: Router, app: &App) -> Router {
    routes
        .layer(CatchPanicLayer::custom(|_| internal_error()))
        .layer(from_fn_with_state(app.clone(), bound_in_time))
        .layer(from_fn_with_state(app.clone(), bound_headers))
        .layer(from_fn(to_one_host))
        .layer(from_fn_with_state(app.clone(), pass_gate))
        .layer(from_fn(say_when))
        .layer(from_fn(count))
        .layer(from_fn_with_state(app.clone(), assign_request_id))
}

/// The documents of `openapi/`, which the tests keep equal to the code.
async fn openapi(Path(name): Path<String>) -> Response {
    let text = match name.as_str() {
        "image-v2.json" => include_str!("../../openapi/image-v2.json"),
        "block-storage-v3.json" => include_str!("../../openapi/block-storage-v3.json"),
        "identity.json" => include_str!("../../openapi/identity.json"),
        "pumice.json" => include_str!("../../openapi/pumice.json"),
        _ => return (StatusCode::NOT_FOUND, "There is no such document.\n").into_response(),
    };
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

/// Whatever a handler waits for, its client hears of it in time. Image data take as long as they take, and
/// events have no end.
async fn bound_in_time(State(app): State<App>, request: Request, next: Next) -> Response {
    if matches!(Kind::of(request.uri().path()), Kind::Transfer | Kind::Events) {
        return next.run(request).await;
    }
    match tokio::time::timeout(app.config.api.request_timeout.into(), next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            tracing::warn!("a request was given up: it took too long");
            (StatusCode::SERVICE_UNAVAILABLE, "The request took too long.\n").into_response()
        }
    }
}

/// The server itself takes headers as large as its buffer, which is made for image data.
async fn bound_headers(State(app): State<App>, request: Request, next: Next) -> Response {
    let line = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let headers: usize =
        request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if line + headers > app.config.api.max_header_bytes as usize {
        return StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response();
    }
    next.run(request).await
}

/// Whoever forwarded it may have gone by the other one.
async fn to_one_host(request: Request, next: Next) -> Response {
    if request.headers().get_all(HOST).iter().nth(1).is_some() {
        return (StatusCode::BAD_REQUEST, "The request names two hosts.\n").into_response();
    }
    next.run(request).await
}

fn internal_error() -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, "The server has failed.\n").into_response()
}

async fn count(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = name_of(request.method());
    let response = next.run(request).await;
    // The APIs match routes themselves, and say which in their answer.
    let route = response.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str);
    metrics::request(method, route, response.status().as_u16(), started.elapsed());
    response
}
