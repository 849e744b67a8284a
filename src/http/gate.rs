//! How many requests are answered at once. What comes beyond is told so at once: a client that may wait knows then for
//! how long, and nobody's request waits until it is too late for everybody.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::App;
use crate::config::Api;

/// What a client that is turned away is told to wait.
pub const RETRY_AFTER_SECONDS: &str = "5";

/// Shared by all ports.
#[derive(Clone)]
pub struct Gates {
    requests: Arc<Semaphore>,
    transfers: Arc<Semaphore>,
}

impl Gates {
    pub fn new(api: &Api) -> Self {
        let gate = |count: u32| Arc::new(Semaphore::new(count as usize));
        Self { requests: gate(api.max_requests), transfers: gate(api.max_transfers) }
    }

    /// Who asks how it is, is answered always; who follows events holds nothing but a connection.
    fn of(&self, path: &str) -> Option<&Arc<Semaphore>> {
        match path {
            "/healthz" | "/readyz" | "/metrics" => None,
            path if path.ends_with("/events") => None,
            path if path.ends_with("/file") || path.ends_with("/stage") => Some(&self.transfers),
            _ => Some(&self.requests),
        }
    }
}

/// The layer around everything.
pub async fn pass_gate(State(app): State<App>, request: Request, next: Next) -> Response {
    let Some(gate) = app.gates.of(request.uri().path()) else { return next.run(request).await };
    match gate.clone().try_acquire_owned() {
        Ok(place) => next.run(request).await.map(|inner| Body::new(Held { inner, _place: place })),
        Err(_) => {
            let said = "The service is busy. Please try again later.\n";
            (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, RETRY_AFTER_SECONDS)], said).into_response()
        }
    }
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
