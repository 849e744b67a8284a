//! What happens to a request before its route is looked for, and to an answer after: versions in the path,
//! methods that a path does not have, and the body of a fault.

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tower::ServiceExt;

use super::fault::{Fault, Told};
use super::versions::{self, Wanted};

pub(super) async fn enter(State(routes): State<Router>, mut request: Request) -> Response {
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let accept = accept.map(str::to_owned);
    let wanted = versions::wanted(request.uri().path(), accept.as_deref());
    let path = match &wanted {
        Wanted::Versions => "/versions",
        Wanted::Choices => "/",
        Wanted::Health => "/healthcheck",
        Wanted::Root => "/v2",
        Wanted::Route(path) => path.as_str(),
    };
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    match format!("{path}{query}").parse::<Uri>() {
        Ok(uri) => *request.uri_mut() = uri,
        Err(_) => return finish(Fault::undecodable().into_response(), accept.as_deref(), false),
    }
    let method = request.method().clone();
    let is_head = method == Method::HEAD;
    if !matches!(wanted, Wanted::Route(_)) {
        // Glance answers these whatever the method.
        *request.method_mut() = Method::GET;
    } else if is_head {
        // Glance has no HEAD; axum would answer it wherever there is GET. No route of ours has TRACE.
        *request.method_mut() = Method::TRACE;
    }
    let response = match routes.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let response = if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let allow = response.headers().get(header::ALLOW).and_then(|allow| allow.to_str().ok());
        let allow: Vec<&str> =
            allow.unwrap_or_default().split(',').map(str::trim).filter(|name| *name != "HEAD").collect();
        Fault::MethodNotAllowed { method: method.to_string(), allow: allow.join(", ") }.into_response()
    } else {
        response
    };
    finish(response, accept.as_deref(), is_head)
}

pub(super) async fn no_such_route() -> Fault {
    Fault::NoSuchResource
}

fn finish(mut response: Response, accept: Option<&str>, is_head: bool) -> Response {
    if let Some(told) = response.extensions_mut().remove::<Told>() {
        let mut headers = std::mem::take(response.headers_mut());
        headers.remove(header::CONTENT_LENGTH);
        let path = response.extensions_mut().remove::<MatchedPath>();
        response = told.render(accept, headers);
        if let Some(path) = path {
            response.extensions_mut().insert(path);
        }
    }
    if is_head {
        *response.body_mut() = Body::empty();
    }
    response
}
