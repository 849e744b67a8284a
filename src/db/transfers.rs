//! Volumes that are offered to other projects.

use sqlx::AssertSqlSafe;

use super::error::Result;
use super::filter::{Conditions, Operator, Page, Value};
use super::{Repository, bind_all, on};
use crate::model::{ProjectId, SnapshotId, Timestamp, TransferId, UserId, VolumeId, VolumeStatus};

#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Transfer {
    pub id: TransferId,
    pub volume_id: VolumeId,
    /// Of the volume.
    pub source_project_id: ProjectId,
    pub name: Option<String>,
    pub salt: String,
    /// Of the key with that salt.
    pub key_hash: String,
    /// The volume's snapshots stay with the project they are in.
    pub no_snapshots: bool,
    pub created_at: Timestamp,
}

const COLUMNS: &str = "id, volume_id, source_project_id, name, salt, key_hash, no_snapshots, created_at";

/// Which transfers a list holds; `None` is no condition.
#[derive(Clone, Debug, Default)]
pub struct TransferFilter {
    pub source_project_id: Option<String>,
    pub no_snapshots: Option<bool>,
    /// Texts equal in other columns; the database's names.
    pub texts: Vec<(&'static str, String)>,
}

impl Repository {
    pub async fn add_transfer(&mut self, transfer: &Transfer) -> Result<()> {
        let sql = "INSERT INTO transfers (id, volume_id, source_project_id, name, salt, key_hash, no_snapshots, \
            created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        on!(self, c => sqlx::query(sql)
            .bind(&transfer.id)
            .bind(&transfer.volume_id)
            .bind(&transfer.source_project_id)
            .bind(&transfer.name)
            .bind(&transfer.salt)
            .bind(&transfer.key_hash)
            .bind(transfer.no_snapshots)
            .bind(transfer.created_at)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    pub async fn transfer(&mut self, id: &TransferId) -> Result<Option<Transfer>> {
        let sql = format!("SELECT {COLUMNS} FROM transfers WHERE id = $1");
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(id).fetch_optional(c).await)?)
    }

    pub async fn transfers(&mut self, filter: &TransferFilter, page: &Page) -> Result<Vec<Transfer>> {
        let mut conditions = Conditions::default();
        conditions.text("source_project_id", &filter.source_project_id);
        if let Some(truth) = filter.no_snapshots {
            conditions.compare("no_snapshots", Operator::Equal, Value::Boolean(truth));
        }
        for (column, text) in &filter.texts {
            conditions.compare(column, Operator::Equal, Value::Text(text.clone()));
        }
        let sql = conditions.page(COLUMNS, "transfers", page);
        Ok(
            on!(self, c => bind_all!(sqlx::query_as(AssertSqlSafe(sql)), &conditions.values).fetch_all(c).await)?,
        )
    }

    pub async fn remove_transfer(&mut self, id: &TransferId) -> Result<()> {
        on!(self, c => sqlx::query("DELETE FROM transfers WHERE id = $1").bind(id).execute(c).await.map(drop))?;
        Ok(())
    }

    /// The volume is somebody else's now, and available; whatever else it was offered by ends. `false`: it does not
    /// await a transfer.
    pub async fn give_volume(
        &mut self,
        id: &VolumeId,
        project: &ProjectId,
        user: &UserId,
        now: Timestamp,
    ) -> Result<bool> {
        let sql = "UPDATE volumes SET previous_status = status, status = $5, project_id = $2, user_id = $3, \
            updated_at = $4 WHERE id = $1 AND status = $6";
        let rows = on!(self, c => sqlx::query(sql)
            .bind(id)
            .bind(project)
            .bind(user)
            .bind(now)
            .bind(VolumeStatus::Available)
            .bind(VolumeStatus::AwaitingTransfer)
            .execute(c).await.map(|done| done.rows_affected()))?;
        on!(self, c => sqlx::query("DELETE FROM transfers WHERE volume_id = $1")
            .bind(id).execute(c).await.map(drop))?;
        Ok(rows == 1)
    }

    pub async fn give_snapshot(
        &mut self,
        id: &SnapshotId,
        project: &ProjectId,
        user: &UserId,
        now: Timestamp,
    ) -> Result<()> {
        let sql = "UPDATE snapshots SET project_id = $2, user_id = $3, updated_at = $4 WHERE id = $1";
        on!(self, c => sqlx::query(sql)
            .bind(id).bind(project).bind(user).bind(now).execute(c).await.map(drop))?;
        Ok(())
    }
}
