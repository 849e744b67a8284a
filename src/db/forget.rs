//! What nobody has to be able to read any more, in portions: to take no long time. Whoever forgets at the same moment is not
//! waited for.

use sqlx::AssertSqlSafe;

use super::error::Result;
use super::{Repository, on};
use crate::model::Timestamp;

impl Repository {
    /// Jobs that were over before this moment, `most` at the most. Answers how many.
    pub async fn forget_jobs(&mut self, before: Timestamp, most: u32) -> Result<u64> {
        self.forget("jobs", "finished_at", before, most).await
    }

    /// Messages from before this moment, likewise.
    pub async fn forget_messages(&mut self, before: Timestamp, most: u32) -> Result<u64> {
        self.forget("messages", "created_at", before, most).await
    }

    /// Clients of processes that have not been seen since. They are few.
    pub async fn forget_clients(&mut self, before: Timestamp) -> Result<()> {
        let sql = "DELETE FROM cluster_clients WHERE seen_at < $1";
        on!(self, c => sqlx::query(sql).bind(before).execute(c).await.map(drop))?;
        Ok(())
    }

    async fn forget(
        &mut self,
        table: &'static str,
        moment: &'static str,
        before: Timestamp,
        most: u32,
    ) -> Result<u64> {
        let sql = format!(
            "WITH old AS (SELECT id FROM {table} WHERE {moment} < $1 LIMIT CAST($2 AS BIGINT){}) \
             DELETE FROM {table} WHERE id IN (SELECT id FROM old)",
            self.skip_locked()
        );
        Ok(on!(self, c => sqlx::query(AssertSqlSafe(sql))
            .bind(before).bind(i64::from(most)).execute(c).await.map(|done| done.rows_affected()))?)
    }
}
