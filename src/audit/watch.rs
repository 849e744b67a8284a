//! Audits again and again, and says what it finds in figures and log lines. It mends nothing.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Audit, Kind, Report};
use crate::telemetry::chain;
use crate::telemetry::metrics;

pub struct Watch(Audit);

impl Watch {
    pub fn new(audit: Audit) -> Self {
        Self(audit)
    }

    pub async fn run(self, every: Duration, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = stop.cancelled() => return,
            }
            tokio::select! {
                () = self.once() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn once(&self) {
        match self.0.look().await {
            Ok(report) => tell(&report, self.0.world.now().0 / 1_000_000),
            Err(error) => tracing::warn!(error = %chain(&error), "the pools were not audited"),
        }
    }
}

fn tell(report: &Report, now: i64) {
    for kind in Kind::ALL {
        let count = report.findings.iter().filter(|finding| finding.kind == kind).count();
        metrics::audited(kind.as_str(), count);
    }
    metrics::audit_ended(report.unseen.len(), now);
    for finding in &report.findings {
        tracing::warn!(
            audit.kind = finding.kind.as_str(),
            audit.backend = finding.backend,
            audit.name = finding.name,
            explanation = finding.explanation,
            "an audit found something; `pumice audit` says more"
        );
    }
}
