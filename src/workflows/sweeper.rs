//! Looks after what was kept for clones: when its last clone went and nobody saw, it goes now.
//!
//! Takes no input, may run at any time and as often as one likes; the table `leftovers` says where to look.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Context, lineage};
use crate::db::Database;
use crate::jobs::{StepError, chain};
use crate::model::World;

pub struct Sweeper {
    context: Context,
    database: Database,
    world: World,
    keep: Keep,
}

/// How long what is over can still be read.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Days, of finished jobs; 0: for ever.
    pub finished_days: u32,
    /// Seconds, of messages to users.
    pub messages: i64,
}

impl Sweeper {
    pub fn new(context: Context, database: Database, world: World, keep: Keep) -> Self {
        Self { context, database, world, keep }
    }

    pub async fn run(self, every: Duration, stop: CancellationToken) {
        loop {
            if let Err(error) = self.sweep().await {
                tracing::warn!(error = %error.message, detail = %error.detail, "leftovers were not looked after");
            }
            if let Err(error) = self.forget().await {
                tracing::warn!(error = %chain(&error), "old jobs and messages were not forgotten");
            }
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Removes all that nothing needs any more. Answers how much is left.
    pub async fn sweep(&self) -> Result<usize, StepError> {
        let leftovers = self.database.read().await?.leftovers().await?;
        let mut needed = 0;
        for leftover in leftovers {
            // One that cannot be looked at now does not keep the others.
            let rest = lineage::reap(&self.context, &leftover.pool, &leftover.name).await;
            let is_gone = rest.unwrap_or_else(|error| {
                tracing::warn!(%error, leftover.name, "a leftover was not looked after");
                lineage::Rest::Needed
            }) == lineage::Rest::Gone;
            if is_gone {
                let mut repository = self.database.begin().await?;
                repository.remove_leftover(&leftover).await?;
                repository.commit().await?;
            } else {
                needed += 1;
            }
        }
        Ok(needed)
    }

    /// Removes jobs and messages that nobody has to be able to read any more.
    pub async fn forget(&self) -> crate::db::Result<()> {
        let now = self.world.now();
        let mut repository = self.database.begin().await?;
        let jobs = match i64::from(self.keep.finished_days) {
            0 => 0,
            days => repository.forget_jobs(now.plus_seconds(-days * 86_400)).await?,
        };
        let messages = repository.forget_messages(now.plus_seconds(-self.keep.messages)).await?;
        repository.commit().await?;
        if jobs > 0 || messages > 0 {
            tracing::info!(
                job.count = jobs,
                message.count = messages,
                "old jobs and messages were forgotten"
            );
        }
        Ok(())
    }
}
