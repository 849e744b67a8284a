//! Who lost the lease of a job does nothing for it any more, even if they were only paused and go on.

use async_trait::async_trait;

use crate::db;

#[async_trait]
pub trait Fence: Send + Sync + 'static {
    /// Writes down what others need to [shut out](Fence::shut_out) this process, unless it is written down already.
    async fn announce(&self, owner: &str) -> db::Result<()>;

    /// From the answer on nothing comes any more of what this owner of leases had under way. Where that cannot be had it
    /// says so in the log.
    async fn shut_out(&self, owner: &str);
}
