//! How jobs under way come to their end when the process does.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use crate::jobs::Keeper;

/// How often uploads, which are no tasks of the workers', are looked at.
const LOOK: Duration = Duration::from_millis(20);

pub(super) struct End {
    pub keeper: Arc<Keeper>,
    /// How long they may go on.
    pub patience: Duration,
    /// How long they may then take to stop.
    pub handover: Duration,
}

impl End {
    /// Lets them finish; then asks them to stop where they are, and leaves them to others. One that does not even stop
    /// keeps its lease: nobody may go on with it while it may still write.
    pub async fn come(self, jobs: &TaskTracker) {
        let over = async || {
            jobs.wait().await;
            while self.keeper.count() > 0 {
                tokio::time::sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(self.patience, over()).await.is_ok() {
            return;
        }
        tracing::info!(job.count = self.keeper.count(), "jobs under way are handed over");
        self.keeper.hand_over();
        if tokio::time::timeout(self.handover, over()).await.is_err() {
            tracing::warn!(
                job.count = self.keeper.count(),
                "jobs did not stop: they wait for the end of their leases"
            );
        }
    }
}
