//! The listening ports: bounded connections, bounded headers, and an end that lets requests finish.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::routes;
use crate::config::{Config, IdentityMode, Role};
use crate::http::App;
use crate::telemetry::metrics::Metrics;

/// What is read of a connection at once, at most. A buffer begins small and grows while it is filled, so this is for
/// uploads: each read costs a wake-up of client and server.
const READ_BUFFER: usize = 512 << 10;

/// Bound, but not yet accepting.
pub struct Listeners {
    all: TcpListener,
    image: Option<TcpListener>,
    volume: Option<TcpListener>,
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
        })
    }

    /// The common port, as the system gave it.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.all.local_addr()
    }

    /// What the APIs can be reached by.
    pub fn urls(&self, role: Role, identity: IdentityMode) -> anyhow::Result<Vec<(&'static str, String)>> {
        let all = self.all.local_addr()?;
        if !role.serves() {
            return Ok(vec![("Health", format!("http://{all}/healthz"))]);
        }
        let mut urls = vec![
            ("Image API v2", format!("http://{all}{}", routes::IMAGE)),
            ("Block Storage API v3", format!("http://{all}{}/v3", routes::VOLUME)),
            ("Jobs", format!("http://{all}/pumice/v1/jobs")),
        ];
        if identity == IdentityMode::Standalone {
            urls.push(("Identity v3", format!("http://{all}{}/v3", routes::IDENTITY)));
        }
        if let Some(image) = &self.image {
            urls.push(("Image API v2", format!("http://{}", image.local_addr()?)));
        }
        if let Some(volume) = &self.volume {
            urls.push(("Block Storage API v3", format!("http://{}/v3", volume.local_addr()?)));
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
            header_timeout: app.config.api.header_timeout.into(),
            shutdown: app.config.api.shutdown_timeout.into(),
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
    header_timeout: Duration,
    shutdown: Duration,
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
        let place = tokio::select! {
            place = limits.connections.clone().acquire_owned() => place?,
            () = stop.cancelled() => break,
        };
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
        let connection = graceful.watch(connection(stream, &routes, &limits));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.shutdown, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still running when the time to end was over");
    }
    Ok(())
}

fn connection(
    stream: TcpStream,
    routes: &Router,
    limits: &Limits,
) -> http1::Connection<TokioIo<TcpStream>, TowerToHyperService<Router>> {
    // Without it small answers wait for the client's acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no-delay was not set");
    }
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(READ_BUFFER)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes.clone()))
}
