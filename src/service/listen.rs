//! The listening ports: bounded connections, bounded headers, and an end that lets requests finish.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::pace::{Pace, Paced};
use super::routes;
use super::tls::Certificate;
use crate::config::{Config, IdentityMode, Role};
use crate::http::App;
use crate::telemetry::metrics::Metrics;

/// What is read of a connection at once, at most. A buffer begins small and grows while it is filled, so this is for
/// uploads: each read costs a wake-up of client and server. Of an answer about as much is taken ahead of what its client
/// reads.
const READ_BUFFER: usize = 512 << 10;

/// Connections beyond the bound that are told so at once. Whoever comes beyond these is hung up on.
const BEYOND: usize = 64;

/// Bound, but not yet accepting.
pub struct Listeners {
    all: TcpListener,
    image: Option<TcpListener>,
    volume: Option<TcpListener>,
    scheme: &'static str,
    /// `None`: plain HTTP.
    certificate: Option<Arc<Certificate>>,
}

impl Listeners {
    pub async fn bind(config: &Config) -> anyhow::Result<Self> {
        let serves = config.replica.role.serves();
        Ok(Self {
            all: bind(config.api.listen, "api.listen").await?,
            image: match config.api.image_listen.filter(|_| serves) {
                Some(address) => Some(bind(address, "api.image_listen").await?),
                None => None,
            },
            volume: match config.api.volume_listen.filter(|_| serves) {
                Some(address) => Some(bind(address, "api.volume_listen").await?),
                None => None,
            },
            scheme: config.scheme(),
            certificate: Certificate::load(&config.ssl)?,
        })
    }

    /// What the ports show, to have it read again.
    pub fn certificate(&self) -> Option<Arc<Certificate>> {
        self.certificate.clone()
    }

    /// The common port, as the system gave it.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.all.local_addr()
    }

    /// What the APIs can be reached by.
    pub fn urls(&self, role: Role, identity: IdentityMode) -> anyhow::Result<Vec<(&'static str, String)>> {
        let (all, scheme) = (self.all.local_addr()?, self.scheme);
        if !role.serves() {
            return Ok(vec![("Health", format!("{scheme}://{all}/healthz"))]);
        }
        let mut urls = vec![
            ("Image API v2", format!("{scheme}://{all}{}", routes::IMAGE)),
            ("Block Storage API v3", format!("{scheme}://{all}{}/v3", routes::VOLUME)),
            ("Jobs", format!("{scheme}://{all}/pumice/v1/jobs")),
        ];
        if identity == IdentityMode::Standalone {
            urls.push(("Identity v3", format!("{scheme}://{all}{}/v3", routes::IDENTITY)));
        }
        if let Some(image) = &self.image {
            urls.push(("Image API v2", format!("{scheme}://{}", image.local_addr()?)));
        }
        if let Some(volume) = &self.volume {
            urls.push(("Block Storage API v3", format!("{scheme}://{}/v3", volume.local_addr()?)));
        }
        Ok(urls)
    }

    pub(super) async fn serve(
        self,
        app: &App,
        metrics: Option<Metrics>,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let limits = Limits {
            connections: Arc::new(Semaphore::new(app.config.api.max_connections as usize)),
            beyond: Arc::new(Semaphore::new(BEYOND)),
            no_room: routes::no_room(app),
            header_timeout: app.config.api.header_timeout.into(),
            send_timeout: app.config.api.send_timeout.into(),
            pace: Pace {
                min_rate: app.config.api.send_min_rate.into(),
                window: app.config.api.send_timeout.into(),
            },
            shutdown: app.config.api.shutdown_timeout.into(),
            tls: self.certificate.map(Certificate::acceptor).transpose()?,
        };
        let mut ports = vec![(self.all, routes::all(app, metrics))];
        ports.extend(self.image.map(|listener| (listener, routes::image(app))));
        ports.extend(self.volume.map(|listener| (listener, routes::volume(app))));
        let loops =
            ports.into_iter().map(|(listener, routes)| accept(listener, routes, limits.clone(), stop));
        futures::future::try_join_all(loops).await?;
        Ok(())
    }
}

#[derive(Clone)]
struct Limits {
    /// Of all ports together.
    connections: Arc<Semaphore>,
    /// Likewise, of those that are told that there is no room.
    beyond: Arc<Semaphore>,
    no_room: Router,
    header_timeout: Duration,
    send_timeout: Duration,
    pace: Pace,
    shutdown: Duration,
    tls: Option<TlsAcceptor>,
}

/// What a connection is served, and its place.
struct Seat {
    routes: Router,
    /// Whether there may be another request.
    stays: bool,
    _place: OwnedSemaphorePermit,
}

impl Limits {
    fn seat(&self, routes: &Router) -> Option<Seat> {
        let (routes, stays, place) = match self.connections.clone().try_acquire_owned() {
            Ok(place) => (routes, true, place),
            Err(_) => (&self.no_room, false, self.beyond.clone().try_acquire_owned().ok()?),
        };
        Some(Seat { routes: routes.clone(), stays, _place: place })
    }
}

async fn bind(address: SocketAddr, option: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{address} ({option}) cannot be listened on"))
}

async fn accept(
    listener: TcpListener,
    routes: Router,
    limits: Limits,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let graceful = GracefulShutdown::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file handles, or a client that went at once: neither ends the service.
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = stop.cancelled() => break,
        };
        let Some(seat) = limits.seat(&routes) else {
            tracing::debug!("a connection was hung up on: there are too many");
            continue;
        };
        let (watcher, limits, stop) = (graceful.watcher(), limits.clone(), stop.clone());
        tokio::spawn(async move {
            if let Err(error) = connection(stream, seat, &limits, watcher, &stop).await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.shutdown, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still running when the time to end was over");
    }
    Ok(())
}

/// What a client may take for its headers it may take for a handshake, too. One that is under way ends with the service:
/// nothing was asked yet.
async fn connection(
    stream: TcpStream,
    seat: Seat,
    limits: &Limits,
    watcher: Watcher,
    stop: &CancellationToken,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    // Without it small answers wait for the client's acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no-delay was not set");
    }
    let stream = Paced::new(stream, limits.pace);
    match &limits.tls {
        None => answer(stream, seat, limits, watcher).await?,
        Some(tls) => {
            let handshake = tokio::time::timeout(limits.header_timeout, tls.accept(stream));
            let Some(stream) = stop.run_until_cancelled(handshake).await else { return Ok(()) };
            answer(stream??, seat, limits, watcher).await?;
        }
    }
    Ok(())
}

async fn answer<S>(stream: S, seat: Seat, limits: &Limits, watcher: Watcher) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    // Who does not take an answer holds what it is made from: places, memory, an open image.
    let mut stream = Box::pin(TimeoutStream::new(stream));
    stream.as_mut().set_write_timeout_pinned(Some(limits.send_timeout));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .keep_alive(seat.stays)
        .max_buf_size(READ_BUFFER)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(seat.routes));
    watcher.watch(connection).await
}
