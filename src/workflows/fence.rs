//! A process that others take for dead may only have been paused, in the middle of a call to a cluster: when it goes on, so
//! does the call, though others have done the same meanwhile and gone further. The database cannot hold it back, but the
//! cluster can: whoever takes over a job shuts the owner of the old lease out of there first, as a client that takes an
//! exclusive lock of librbd does. It connects anew when it finds that out.

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::Context;
use crate::block::{self, rbd};
use crate::db::{self, Database};
use crate::jobs::{self, StepError};
use crate::model::{ClusterClient, Timestamp, World};

/// Seconds.
const ANNOUNCED_FOR: i64 = 3600;

pub struct Fence {
    context: Context,
    database: Database,
    world: World,
    /// And when.
    announced: Mutex<(Vec<ClusterClient>, Option<Timestamp>)>,
    /// Several jobs of one owner are taken over at once.
    turn: Mutex<()>,
}

impl Fence {
    pub fn new(context: Context, database: Database, world: World) -> Self {
        Self { context, database, world, announced: Mutex::default(), turn: Mutex::default() }
    }

    async fn try_to_shut_out(&self, owner: &str) -> Result<(), StepError> {
        let _turn = self.turn.lock().await;
        let clients = self.database.read().await?.clients_of(owner).await?;
        // Several services may share a process and its connections.
        let own = rbd::clients();
        let mut outcome = Ok(());
        for client in clients.iter().filter(|client| !own.contains(client)) {
            // A cluster that does not answer keeps nobody in the others.
            outcome = outcome.and(self.shut_out_client(owner, client).await);
        }
        outcome
    }

    async fn shut_out_client(&self, owner: &str, client: &ClusterClient) -> Result<(), StepError> {
        let is_known = self.shut_out_of_its_cluster(client).await?;
        let mut repository = self.database.begin().await?;
        repository.remove_client(owner, client).await?;
        repository.commit().await?;
        if is_known {
            tracing::warn!(
                owner,
                client.address,
                "a process that gave no sign of life is shut out of the cluster"
            );
        }
        Ok(())
    }

    /// `false`: no store is there any more. One that does not answer may be of another cluster.
    async fn shut_out_of_its_cluster(&self, client: &ClusterClient) -> block::Result<bool> {
        let mut outcome = Ok(false);
        for store in self.context.all_stores() {
            match store.shut_out(client).await {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                failed => outcome = failed,
            }
        }
        outcome
    }
}

#[async_trait]
impl jobs::Fence for Fence {
    async fn announce(&self, owner: &str) -> db::Result<()> {
        let clients = rbd::clients();
        let now = self.world.now();
        let mut announced = self.announced.lock().await;
        let is_fresh = announced.1.is_some_and(|moment| now < moment.plus_seconds(ANNOUNCED_FOR));
        if announced.0 == clients && (is_fresh || clients.is_empty()) {
            return Ok(());
        }
        let mut repository = self.database.begin().await?;
        repository.set_clients(owner, &clients, now).await?;
        repository.commit().await?;
        *announced = (clients, Some(now));
        Ok(())
    }

    async fn shut_out(&self, owner: &str) {
        if let Err(error) = self.try_to_shut_out(owner).await {
            let StepError { message, detail, .. } = error;
            tracing::warn!(
                owner,
                error = message,
                detail,
                "a process that gave no sign of life is not shut out of the cluster: if it was only paused, what it had \
                 under way is done after all"
            );
        }
    }
}
