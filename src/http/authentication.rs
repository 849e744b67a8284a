//! Nobody comes in whom nobody knows: the layer in front of the APIs.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::App;
use super::gate::pass_share;
use crate::identity::{Authority, Caller, Refusal, Tokens};

/// On answers of this layer: no API made them.
#[derive(Clone, Copy)]
pub struct Unauthenticated;

/// Finds out who asks, once: a token that is good when a request starts is good until its end, unless the answer has none
/// (see [`Admission`]). The caller is put into the request's extensions, from where [`super::RequestContext`] takes it.
pub async fn authenticate(State(app): State<App>, mut request: Request, next: Next) -> Response {
    match app.authority.caller(tokens(request.headers())).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller.clone());
            match (&app.authority, &caller.project_id) {
                // Without identities all are of one project, and there is no other one to leave places to.
                (Authority::Nobody(_), _) | (_, None) => next.run(request).await,
                (_, Some(project)) => pass_share(&app, project, request, next).await,
            }
        }
        Err(refusal) => refused(&app, request, &refusal),
    }
}

/// What somebody was let in with, for an answer without an end: that must not outlive it.
pub struct Admission {
    authority: Authority,
    headers: HeaderMap,
    caller: Arc<Caller>,
}

impl Admission {
    /// Whether the same tokens would let the same caller in now. `Unavailable`: nobody can tell at the moment.
    pub async fn holds(&self) -> Result<bool, Refusal> {
        match self.authority.caller(tokens(&self.headers)).await {
            Ok(caller) => Ok(caller == self.caller),
            Err(Refusal::Unauthorized) => Ok(false),
            Err(unavailable @ Refusal::Unavailable(_)) => Err(unavailable),
        }
    }
}

impl FromRequestParts<App> for Admission {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let caller = parts.extensions.get::<Arc<Caller>>().cloned().unwrap_or_default();
        Ok(Self { authority: app.authority.clone(), headers: parts.headers.clone(), caller })
    }
}

fn tokens(headers: &HeaderMap) -> Tokens<'_> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty());
    Tokens { subject: text("x-auth-token"), service: text("x-service-token") }
}

/// The answers of the middleware that stands in front of the real services, to the byte.
fn refused(app: &App, request: Request, refusal: &Refusal) -> Response {
    let mut response = match refusal {
        Refusal::Unauthorized => {
            const BODY: &str = "{\"error\": {\"code\": 401, \"title\": \"Unauthorized\", \
                \"message\": \"The request you have made requires authentication.\"}}";
            let json = [(CONTENT_TYPE, "application/json")];
            let mut response = (StatusCode::UNAUTHORIZED, json, BODY).into_response();
            let address = app.identity_address(&request.into_parts().0);
            if let Ok(challenge) = HeaderValue::from_str(&format!("Keystone uri=\"{address}\"")) {
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            }
            response
        }
        Refusal::Unavailable(why) => {
            tracing::warn!(error = why, "a caller could not be told");
            const BODY: &str = "503 Service Unavailable\n\nThe server is currently unavailable. Please try \
                again at a later time.\n\n The Keystone service is temporarily unavailable.  ";
            let text = [(CONTENT_TYPE, "text/plain; charset=UTF-8")];
            (StatusCode::SERVICE_UNAVAILABLE, text, BODY).into_response()
        }
    };
    response.extensions_mut().insert(Unauthenticated);
    response
}
