//! `pumice serve`: the service itself.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::identity::policy::Policies;
use crate::service::{Certificate, Listeners, Service};
use crate::telemetry::logs;
use crate::telemetry::metrics::Metrics;

/// Run the service until it is told to stop
#[derive(Debug, Args)]
pub struct Arguments {}

pub fn run(_: Arguments, file: Option<&Path>) -> anyhow::Result<()> {
    let config = Config::load(file)?;
    logs::init(&config.log)?;
    let metrics = Metrics::install()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(serve(config, metrics));
    // A storage call that hangs must not keep the process: its job goes on at the next start.
    runtime.shutdown_background();
    outcome
}

async fn serve(mut config: Config, metrics: Metrics) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone())?;
    let listeners = Listeners::bind(&config).await?;
    // The port may be the system's choice.
    config.api.listen = listeners.address()?;
    let identity = config.identity.mode;
    let service = Service::open(config).await?;
    read_again_on_hangup(service.app.policies.clone(), listeners.certificate())?;
    for (what, url) in listeners.urls(identity)? {
        println!("{what:<22} {url}");
    }
    println!("Stop it with Ctrl-C, or SIGTERM to process {}.", std::process::id());
    let upkeep = metrics.clone();
    tokio::spawn(async move { upkeep.keep_up().await });
    service.serve(listeners, Some(metrics), stop).await
}

/// SIGHUP has the policy files and the certificate read again.
fn read_again_on_hangup(
    policies: Arc<Policies>,
    certificate: Option<Arc<Certificate>>,
) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup()).context("signals cannot be watched")?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            policies.reload();
            if let Some(certificate) = &certificate {
                certificate.reload();
            }
        }
    });
    Ok(())
}

/// The first signal asks politely; a second one ends the process at once.
fn stop_on_signals(stop: CancellationToken) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be watched")?;
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be watched")?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if stop.is_cancelled() {
                std::process::exit(130);
            }
            tracing::info!("stopping");
            stop.cancel();
        }
    });
    Ok(())
}
