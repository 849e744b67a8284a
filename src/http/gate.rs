//! How many requests are answered at once. What comes beyond is told so at once: a client that may wait knows then for
//! how long, and nobody's request waits until it is too late for everybody.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::App;
use crate::config::Api;

/// What a client that is turned away is told to wait.
pub const RETRY_AFTER_SECONDS: &str = "5";

/// Events that are followed at once. Each asks the database now and then.
const FOLLOWERS: usize = 64;

/// Shared by all ports.
#[derive(Clone)]
pub struct Gates {
    requests: Arc<Semaphore>,
    transfers: Arc<Semaphore>,
    followers: Arc<Semaphore>,
}

/// What a request is, as far as it takes a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Who asks how it is, is answered always.
    Health,
    /// An answer without an end.
    Events,
    /// Image data: it takes as long as it takes.
    Transfer,
    Other,
}

impl Kind {
    /// By the whole path: the names of things are their users' to choose.
    pub fn of(path: &str) -> Self {
        match path {
            "/healthz" | "/readyz" | "/metrics" => return Self::Health,
            "/pumice/v1/jobs/events" => return Self::Events,
            _ => {}
        }
        let mut ends = path.rsplit('/');
        match (ends.next(), ends.next(), ends.next(), ends.next()) {
            (Some("file" | "stage"), Some(_), Some("images"), Some(before)) => match before {
                // The version stands in a header, and the API below a segment or at the root.
                "" | "image" => Self::Transfer,
                version if version.starts_with('v') => Self::Transfer,
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

impl Gates {
    pub fn new(api: &Api) -> Self {
        let gate = |count: usize| Arc::new(Semaphore::new(count));
        Self {
            requests: gate(api.max_requests as usize),
            transfers: gate(api.max_transfers as usize),
            followers: gate(FOLLOWERS),
        }
    }

    fn of(&self, path: &str) -> Option<&Arc<Semaphore>> {
        match Kind::of(path) {
            Kind::Health => None,
            Kind::Events => Some(&self.followers),
            Kind::Transfer => Some(&self.transfers),
            Kind::Other => Some(&self.requests),
        }
    }
}

/// The layer around everything.
pub async fn pass_gate(State(app): State<App>, request: Request, next: Next) -> Response {
    let Some(gate) = app.gates.of(request.uri().path()) else { return next.run(request).await };
    match gate.clone().try_acquire_owned() {
        Ok(place) => next.run(request).await.map(|inner| Body::new(Held { inner, _place: place })),
        Err(_) => busy().await.into_response(),
    }
}

/// What everybody is told for whom there is no place.
pub async fn busy() -> impl IntoResponse {
    (StatusCode::SERVICE_UNAVAILABLE, "The service is busy. Please try again later.\n")
}

/// Whoever is refused for now is told when to ask again, whatever the reason.
pub async fn say_when(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        let seconds = HeaderValue::from_static(RETRY_AFTER_SECONDS);
        response.headers_mut().entry(RETRY_AFTER).or_insert(seconds);
    }
    response
}

/// An answer takes its place until its last byte is sent.
struct Held {
    inner: Body,
    _place: OwnedSemaphorePermit,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_users_chose_are_no_image_data() {
        for path in [
            "/v2/images/x/file",
            "/image/v2/images/x/stage",
            "/image/v2.1/images/x/file",
            "/images/x/file",
            "/image/images/x/file",
            "/image//images/x/file",
        ] {
            assert_eq!(Kind::of(path), Kind::Transfer, "{path}");
        }
        for path in [
            "/image/v2/metadefs/namespaces/x/objects/file",
            "/image/v2/metadefs/namespaces/images/tags/stage",
            "/image/metadefs/namespaces/images/objects/file",
            "/image/v2/metadefs/namespaces/x/objects/events",
            "/image/v2/images/file",
            "/volume/v3/volumes/x/metadata/file",
            "/file",
            "/",
        ] {
            assert_eq!(Kind::of(path), Kind::Other, "{path}");
        }
        assert_eq!(Kind::of("/pumice/v1/jobs/events"), Kind::Events);
        assert_eq!(Kind::of("/readyz"), Kind::Health);
    }
}
