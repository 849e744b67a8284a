//! How many jobs wait or run, as a figure.

use std::collections::HashMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::db::{self, Database};
use crate::model::JobState;
use crate::telemetry::chain;
use crate::telemetry::metrics;

/// Of the whole queue, not of this process: it is counted now and then, and not when somebody reads the figures.
pub struct Backlog {
    database: Database,
    /// What there was once is told again, be it 0.
    told: HashMap<(String, JobState), i64>,
}

impl Backlog {
    pub fn new(database: Database) -> Self {
        Self { database, told: HashMap::new() }
    }

    pub async fn run(mut self, every: Duration, stop: CancellationToken) {
        loop {
            if let Err(error) = self.count().await {
                tracing::warn!(error = %chain(&error), "open jobs were not counted");
            }
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Once.
    pub async fn count(&mut self) -> db::Result<()> {
        let counted = self.database.read().await?.count_open_jobs().await?;
        self.told.values_mut().for_each(|count| *count = 0);
        self.told.extend(counted.into_iter().map(|(kind, state, count)| ((kind, state), count)));
        for ((kind, state), count) in &self.told {
            metrics::open_jobs(kind, state.as_str(), *count);
        }
        Ok(())
    }
}
