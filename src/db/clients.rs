//! What processes are called in the clusters that they are connected to.

use super::{Repository, Result, on};
use crate::model::{ClusterClient, Timestamp};

impl Repository {
    /// All that a process is called now.
    pub async fn set_clients(
        &mut self,
        owner: &str,
        clients: &[ClusterClient],
        now: Timestamp,
    ) -> Result<()> {
        for client in clients {
            let sql = "INSERT INTO cluster_clients (owner, fsid, address, seen_at) VALUES ($1, $2, $3, $4) \
                ON CONFLICT (owner, fsid, address) DO UPDATE SET seen_at = excluded.seen_at";
            on!(self, c => sqlx::query(sql)
                .bind(owner).bind(&client.fsid).bind(&client.address).bind(now).execute(c).await.map(drop))?;
        }
        let sql = "DELETE FROM cluster_clients WHERE owner = $1 AND seen_at < $2";
        on!(self, c => sqlx::query(sql).bind(owner).bind(now).execute(c).await.map(drop))?;
        Ok(())
    }

    pub async fn clients_of(&mut self, owner: &str) -> Result<Vec<ClusterClient>> {
        let sql = "SELECT fsid, address FROM cluster_clients WHERE owner = $1 ORDER BY fsid, address";
        let found: Vec<(String, String)> =
            on!(self, c => sqlx::query_as(sql).bind(owner).fetch_all(c).await)?;
        Ok(found.into_iter().map(|(fsid, address)| ClusterClient { fsid, address }).collect())
    }

    pub async fn remove_client(&mut self, owner: &str, client: &ClusterClient) -> Result<()> {
        let sql = "DELETE FROM cluster_clients WHERE owner = $1 AND fsid = $2 AND address = $3";
        on!(self, c => sqlx::query(sql)
            .bind(owner).bind(&client.fsid).bind(&client.address).execute(c).await.map(drop))?;
        Ok(())
    }
}
