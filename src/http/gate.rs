//! How many requests are answered at once. What comes beyond is told so at once: a client that may wait knows then for
//! how long, and nobody's request waits until it is too late for everybody.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use tokio::sync::Semaphore;

use super::App;
use crate::config::Api;
use crate::model::ProjectId;

/// What a client that is turned away is told to wait.
pub const RETRY_AFTER_SECONDS: &str = "5";

/// Events that are followed at once. Each asks the database now and then.
const FOLLOWERS: usize = 64;

/// Bytes of an answer that the server is handed at once.
const SLICE: usize = 128 << 10;

/// Shared by all ports.
#[derive(Clone)]
pub struct Gates {
    requests: Arc<Semaphore>,
    transfers: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    transfer_shares: Arc<Shares>,
    follower_shares: Arc<Shares>,
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
        let transfers = api.max_transfers as usize;
        Self {
            requests: gate(api.max_requests as usize),
            transfers: gate(transfers),
            followers: gate(FOLLOWERS),
            transfer_shares: Arc::new(Shares::new(transfers)),
            follower_shares: Arc::new(Shares::new(FOLLOWERS)),
        }
    }

    fn of(&self, kind: Kind) -> Option<&Arc<Semaphore>> {
        match kind {
            Kind::Health => None,
            Kind::Events => Some(&self.followers),
            Kind::Transfer => Some(&self.transfers),
            Kind::Other => Some(&self.requests),
        }
    }

    /// `None`: such requests are soon over, and their places free again.
    fn shares(&self, kind: Kind) -> Option<&Arc<Shares>> {
        match kind {
            Kind::Health | Kind::Other => None,
            Kind::Events => Some(&self.follower_shares),
            Kind::Transfer => Some(&self.transfer_shares),
        }
    }
}

/// How many of a gate's places each project has.
struct Shares {
    /// Of one project.
    most: usize,
    /// Of those that have any.
    taken: Mutex<HashMap<ProjectId, usize>>,
}

impl Shares {
    /// A quarter of the places is left to others.
    fn new(places: usize) -> Self {
        Self { most: (places - places.div_ceil(4)).max(1), taken: Mutex::default() }
    }

    /// `None`: the project has as many as one may have.
    fn take(self: &Arc<Self>, project: &ProjectId) -> Option<Share> {
        let mut taken = self.taken();
        let count = taken.get(project).copied().unwrap_or(0);
        if count >= self.most {
            return None;
        }
        taken.insert(project.clone(), count + 1);
        Some(Share { shares: self.clone(), project: project.clone() })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<ProjectId, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One place of a project.
struct Share {
    shares: Arc<Shares>,
    project: ProjectId,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.shares.taken();
        match taken.get_mut(&self.project) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                taken.remove(&self.project);
            }
        }
    }
}

/// The layer around everything.
pub async fn pass_gate(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let kind = Kind::of(request.uri().path());
    let Some(gate) = app.gates.of(kind) else { return next.run(request).await };
    // For whoever learns who asks: by then the path may have lost its beginning.
    request.extensions_mut().insert(kind);
    match gate.clone().try_acquire_owned() {
        Ok(place) => next.run(request).await.map(|inner| Body::new(Held::new(inner, place))),
        Err(_) => busy().await.into_response(),
    }
}

/// Behind the gate, where it is known who asks: one project does not get all places for what takes long.
pub(super) async fn pass_share(app: &App, project: &ProjectId, request: Request, next: Next) -> Response {
    let kind = request.extensions().get::<Kind>().copied();
    let Some(shares) = kind.and_then(|kind| app.gates.shares(kind)) else { return next.run(request).await };
    match shares.take(project) {
        Some(share) => next.run(request).await.map(|inner| Body::new(Held::new(inner, share))),
        None => busy().await.into_response(),
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

/// An answer that keeps its place until the server has taken its last slice: as one piece the server would take it
/// however long it is, and a client that reads slowly would hold it without a place. What the write buffer has room for
/// (`max_buf_size` of the connection) is taken ahead all the same; `api.max_connections` bounds that.
struct Held<P> {
    inner: Body,
    /// Of the last frame, what was not handed on yet.
    left: Bytes,
    _place: P,
}

impl<P> Held<P> {
    fn new(inner: Body, place: P) -> Self {
        Self { inner, left: Bytes::new(), _place: place }
    }
}

impl<P: Unpin> HttpBody for Held<P> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let held = self.get_mut();
        if held.left.is_empty() {
            match ready!(Pin::new(&mut held.inner).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => held.left = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                other => return Poll::Ready(other),
            }
        }
        let slice = held.left.split_to(held.left.len().min(SLICE));
        Poll::Ready(Some(Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.inner.is_end_stream()
    }

    /// What `Content-Length` is taken from.
    fn size_hint(&self) -> SizeHint {
        let (left, rest) = (self.left.len() as u64, self.inner.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(left));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(left));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn an_answer_keeps_its_place_until_its_last_slice_is_taken() {
        let gate = Arc::new(Semaphore::new(1));
        let place = gate.clone().try_acquire_owned().unwrap();
        let mut left = 2 * SLICE + 1;
        let mut held = Held::new(Body::from(vec![7_u8; left]), place);
        let mut slices = Vec::new();
        // As the server goes about it.
        while !held.is_end_stream() {
            assert_eq!((held.size_hint().exact(), gate.available_permits()), (Some(left as u64), 0));
            let slice = held.frame().await.unwrap().unwrap().into_data().unwrap();
            left -= slice.len();
            slices.push(slice.len());
        }
        assert_eq!(slices, [SLICE, SLICE, 1]);
        assert_eq!(held.size_hint().exact(), Some(0));
        drop(held);
        assert_eq!(gate.available_permits(), 1);
        assert!(Held::new(Body::empty(), ()).is_end_stream());
    }

    #[test]
    fn one_project_leaves_places_to_others() {
        let project = |name: &str| ProjectId(name.to_owned());
        let shares = Arc::new(Shares::new(4));
        let mut ours: Vec<_> = std::iter::from_fn(|| shares.take(&project("ours"))).collect();
        assert_eq!(ours.len(), 3);
        let theirs = shares.take(&project("theirs"));
        assert!(theirs.is_some());
        ours.pop();
        ours.extend(shares.take(&project("ours")));
        assert_eq!(ours.len(), 3);
        drop((ours, theirs));
        assert!(shares.taken().is_empty());
        let most = |places| Shares::new(places).most;
        assert_eq!([1, 2, 3, 4, 64].map(most), [1, 1, 2, 3, 48]);
    }

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
