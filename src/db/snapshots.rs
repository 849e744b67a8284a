//! Volume snapshots.

use std::collections::BTreeMap;

use sqlx::AssertSqlSafe;
use sqlx::types::Json;

use super::error::{DbError, Result};
use super::filter::{Conditions, Operator, Page, Value, first_within};
use super::{Repository, bind_all, on};
use crate::model::{Gib, ProjectId, SnapshotId, SnapshotStatus, Timestamp, UserId, VolumeId};

#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Snapshot {
    pub id: SnapshotId,
    pub volume_id: VolumeId,
    pub project_id: ProjectId,
    pub user_id: UserId,
    pub name: Option<String>,
    pub description: Option<String>,
    /// Of the volume when it was taken.
    pub size: Gib,
    pub status: SnapshotStatus,
    pub previous_status: Option<SnapshotStatus>,
    /// `NN%`, where someone said so.
    pub progress: Option<String>,
    pub metadata: Json<BTreeMap<String, String>>,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
}

const COLUMNS: &str = "id, volume_id, project_id, user_id, name, description, size, status, previous_status, \
    progress, metadata, created_at, updated_at";

/// Which snapshots a list holds; `None` is no condition.
#[derive(Clone, Debug, Default)]
pub struct SnapshotFilter {
    pub project_id: Option<String>,
    pub id: Option<Vec<String>>,
    pub name: Option<String>,
    pub status: Option<Vec<String>>,
    pub volume_id: Option<String>,
    /// Of their volume.
    pub availability_zone: Option<String>,
    /// Column (`size`, `created_at`, `updated_at`), comparison, value.
    pub numbers: Vec<(&'static str, Operator, i64)>,
    pub metadata: Vec<(String, String)>,
    /// Texts that columns contain, for admins; the database's names.
    pub likes: Vec<(&'static str, String)>,
    /// Texts equal in other columns, for admins; the database's names.
    pub texts: Vec<(&'static str, String)>,
}

impl SnapshotFilter {
    fn conditions(&self) -> Conditions {
        let mut conditions = Conditions::default();
        conditions.text("project_id", &self.project_id);
        conditions.one_of("id", &self.id);
        conditions.text("name", &self.name);
        conditions.one_of("status", &self.status);
        conditions.text("volume_id", &self.volume_id);
        if let Some(zone) = &self.availability_zone {
            let zone = conditions.bind(Value::Text(zone.clone()));
            conditions
                .push(format!("volume_id IN (SELECT id FROM volumes WHERE availability_zone = {zone})"));
        }
        for (column, operator, number) in &self.numbers {
            conditions.compare(column, *operator, Value::Integer(*number));
        }
        conditions.json(&["metadata"], &self.metadata);
        for (column, text) in &self.likes {
            conditions.like(column, text);
        }
        for (column, text) in &self.texts {
            conditions.compare(column, Operator::Equal, Value::Text(text.clone()));
        }
        conditions
    }
}

/// Of metadata, in bytes.
fn size(snapshot: &Snapshot) -> usize {
    snapshot.metadata.iter().map(|(key, value)| key.len() + value.len()).sum()
}

impl Repository {
    pub async fn add_snapshot(&mut self, snapshot: &Snapshot) -> Result<()> {
        let sql = "INSERT INTO snapshots (id, volume_id, project_id, user_id, name, description, size, status, \
            previous_status, progress, metadata, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, \
            $9, $10, $11, $12, $13)";
        on!(self, c => sqlx::query(sql)
            .bind(&snapshot.id)
            .bind(&snapshot.volume_id)
            .bind(&snapshot.project_id)
            .bind(&snapshot.user_id)
            .bind(&snapshot.name)
            .bind(&snapshot.description)
            .bind(snapshot.size)
            .bind(snapshot.status)
            .bind(snapshot.previous_status)
            .bind(&snapshot.progress)
            .bind(&snapshot.metadata)
            .bind(snapshot.created_at)
            .bind(snapshot.updated_at)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    pub async fn snapshot(&mut self, id: &SnapshotId) -> Result<Option<Snapshot>> {
        let sql = format!("SELECT {COLUMNS} FROM snapshots WHERE id = $1");
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(id).fetch_optional(c).await)?)
    }

    /// As [`Repository::snapshot`], and nobody else changes the row before the transaction ends.
    pub async fn snapshot_to_change(&mut self, id: &SnapshotId) -> Result<Option<Snapshot>> {
        let sql = format!("SELECT {COLUMNS} FROM snapshots WHERE id = $1{}", self.lock());
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(id).fetch_optional(c).await)?)
    }

    /// All of a volume that belong to this project, and nobody else changes them before the transaction ends.
    pub async fn snapshots_to_change(&mut self, of: &VolumeId, project: &ProjectId) -> Result<Vec<Snapshot>> {
        let lock = self.lock();
        let sql = format!(
            "SELECT {COLUMNS} FROM snapshots WHERE volume_id = $1 AND project_id = $2 ORDER BY id{lock}"
        );
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(of).bind(project).fetch_all(c).await)?)
    }

    pub async fn snapshots(&mut self, filter: &SnapshotFilter, page: &Page) -> Result<Vec<Snapshot>> {
        let mut conditions = filter.conditions();
        let sql = conditions.page(COLUMNS, "snapshots", page);
        Ok(
            on!(self, c => bind_all!(sqlx::query_as(AssertSqlSafe(sql)), &conditions.values).fetch_all(c).await)?,
        )
    }

    /// The first of them, as many as have at most about so many bytes of metadata, but one at the least.
    /// Answers whether that left any out.
    pub async fn snapshots_within(
        &mut self,
        filter: &SnapshotFilter,
        page: &Page,
        bytes: usize,
    ) -> Result<(Vec<Snapshot>, bool)> {
        let mut conditions = filter.conditions();
        let sql = conditions.page(COLUMNS, "snapshots", page);
        let found: (Vec<Snapshot>, bool) = on!(self, c => {
            let rows = bind_all!(sqlx::query_as(AssertSqlSafe(sql)), &conditions.values).fetch(c);
            first_within(rows, bytes, size).await
        })?;
        Ok(found)
    }

    /// How many the filter finds, pages aside.
    pub async fn count_snapshots(&mut self, filter: &SnapshotFilter) -> Result<i64> {
        let conditions = filter.conditions();
        let sql = conditions.count("snapshots");
        Ok(on!(self, c =>
            bind_all!(sqlx::query_scalar(AssertSqlSafe(sql)), &conditions.values).fetch_one(c).await)?)
    }

    /// Writes what a user may change: name, description, metadata. `false`: no such row.
    pub async fn update_snapshot(&mut self, snapshot: &Snapshot) -> Result<bool> {
        let sql =
            "UPDATE snapshots SET name = $2, description = $3, metadata = $4, updated_at = $5 WHERE id = $1";
        let rows = on!(self, c => sqlx::query(sql)
            .bind(&snapshot.id)
            .bind(&snapshot.name)
            .bind(&snapshot.description)
            .bind(&snapshot.metadata)
            .bind(snapshot.updated_at)
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }

    /// Compare and swap: `false` when the snapshot is not (any more) in `from`.
    pub async fn change_snapshot(
        &mut self,
        id: &SnapshotId,
        from: SnapshotStatus,
        to: SnapshotStatus,
        now: Timestamp,
    ) -> Result<bool> {
        if !from.may_become(to) {
            return Err(DbError::Transition { what: "snapshot", from: from.as_str(), to: to.as_str() });
        }
        let sql = "UPDATE snapshots SET previous_status = status, status = $3, progress = NULL, updated_at = $4 \
            WHERE id = $1 AND status = $2";
        let rows = on!(self, c => sqlx::query(sql)
            .bind(id)
            .bind(from)
            .bind(to)
            .bind(now)
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }

    /// What an administrator says it is, whatever it was and whatever works on it.
    pub async fn reset_snapshot(
        &mut self,
        id: &SnapshotId,
        status: SnapshotStatus,
        now: Timestamp,
    ) -> Result<()> {
        let sql = "UPDATE snapshots SET previous_status = status, status = $2, updated_at = $3 WHERE id = $1";
        on!(self, c => sqlx::query(sql).bind(id).bind(status).bind(now).execute(c).await.map(drop))?;
        Ok(())
    }

    pub async fn set_snapshot_progress(
        &mut self,
        id: &SnapshotId,
        progress: &str,
        now: Timestamp,
    ) -> Result<()> {
        let sql = "UPDATE snapshots SET progress = $2, updated_at = $3 WHERE id = $1";
        on!(self, c => sqlx::query(sql).bind(id).bind(progress).bind(now).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Removes the row. `false`: there was none.
    pub async fn remove_snapshot(&mut self, id: &SnapshotId) -> Result<bool> {
        let rows = on!(self, c => sqlx::query("DELETE FROM snapshots WHERE id = $1")
            .bind(id).execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }
}
