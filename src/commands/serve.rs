//! `pumice serve`: the service itself.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Role};
use crate::identity::policy::Policies;
use crate::service::{Certificate, Listeners, Service};
use crate::telemetry::logs;
use crate::telemetry::metrics::Metrics;

/// For blocking calls: more than all stores together may use, each of which has a bound of its own.
const THREADS: usize = 8_192;

/// Run the service until it is told to stop
#[derive(Debug, Args)]
pub struct Arguments {
    /// What this process does; `replica.role` unless given
    #[arg(long)]
    role: Option<Role>,
}

pub fn run(arguments: Arguments, file: Option<&Path>) -> anyhow::Result<()> {
    let config = arguments.applied_to(Config::load(file)?)?;
    logs::init(&config.log)?;
    let metrics = Metrics::install()?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(THREADS).build()?;
    let outcome = runtime.block_on(serve(config, metrics));
    // A storage call that hangs must not keep the process: its job goes on at the next start.
    runtime.shutdown_background();
    outcome
}

impl Arguments {
    fn applied_to(self, mut config: Config) -> anyhow::Result<Config> {
        if let Some(role) = self.role {
            config.replica.role = role;
        }
        Ok(config.checked()?)
    }
}

async fn serve(mut config: Config, metrics: Metrics) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone())?;
    // Until there is something to be read again, one is remembered: by itself it would end the process.
    let hangup = signal(SignalKind::hangup()).context("signals cannot be watched")?;
    let listeners = Listeners::bind(&config).await?;
    // The port may be the system's choice.
    config.api.listen = listeners.address()?;
    let (role, identity) = (config.replica.role, config.identity.mode);
    let opened = stop.run_until_cancelled(Service::open(config)).await;
    let Some(service) = opened.transpose()? else { return Ok(()) };
    read_again_on_hangup(hangup, service.app.policies.clone(), listeners.certificate());
    for (what, url) in listeners.urls(role, identity)? {
        println!("{what:<22} {url}");
    }
    println!("Stop it with Ctrl-C, or SIGTERM to process {}.", std::process::id());
    let upkeep = metrics.clone();
    tokio::spawn(async move { upkeep.keep_up().await });
    service.serve(listeners, Some(metrics), stop).await
}

/// SIGHUP has the policy files and the certificate read again.
fn read_again_on_hangup(mut hangup: Signal, policies: Arc<Policies>, certificate: Option<Arc<Certificate>>) {
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            policies.reload();
            if let Some(certificate) = &certificate {
                certificate.reload();
            }
        }
    });
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
