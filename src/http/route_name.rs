//! Which route gave an answer, for the figures: the answer carries it outwards.

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;

/// A layer around routes (`route_layer`): each answer bears its route's pattern.
pub async fn name_route(route: MatchedPath, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.extensions_mut().insert(route);
    response
}
