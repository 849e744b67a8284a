//! What runs: places for volumes and what serves them.

use sqlx::AssertSqlSafe;

use super::error::Result;
use super::filter::{Conditions, Operator, Value};
use super::{Repository, bind_all, on};
use crate::model::{ProjectId, Timestamp};

#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Service {
    /// Given by the database when it is first seen.
    pub id: i64,
    /// `<host>@<backend>` of a place for volumes.
    pub host: String,
    #[sqlx(rename = "binary_name")]
    pub binary: String,
    pub zone: String,
    pub disabled: bool,
    pub disabled_reason: Option<String>,
    /// Nothing there may be changed.
    pub frozen: bool,
    /// The store answered when it was last asked.
    pub answers: bool,
    pub total_bytes: Option<i64>,
    pub free_bytes: Option<i64>,
    /// GiB of all volumes there.
    pub provisioned: i64,
    /// Another cluster can have what lies there too.
    pub mirrors: bool,
    pub created_at: Timestamp,
    /// The last sign of life.
    pub seen_at: Timestamp,
    /// The last change by an administrator.
    pub updated_at: Option<Timestamp>,
}

impl Service {
    /// Who serves places for volumes.
    pub const VOLUME: &'static str = "cinder-volume";
    /// Who chooses among them.
    pub const SCHEDULER: &'static str = "cinder-scheduler";

    /// As it shows itself for the first time, or anew.
    pub fn seen(host: impl Into<String>, binary: &str, zone: &str, now: Timestamp) -> Self {
        Self {
            id: 0,
            host: host.into(),
            binary: binary.to_owned(),
            zone: zone.to_owned(),
            disabled: false,
            disabled_reason: None,
            frozen: false,
            answers: true,
            total_bytes: None,
            free_bytes: None,
            provisioned: 0,
            mirrors: false,
            created_at: now,
            seen_at: now,
            updated_at: None,
        }
    }
}

/// What a project has in a place for volumes.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct HostUse {
    pub project_id: ProjectId,
    pub volumes: i64,
    /// GiB.
    pub gigabytes: i64,
    pub snapshots: i64,
    /// GiB.
    pub snapshot_gigabytes: i64,
}

/// Which services a list holds; `None` is no condition.
#[derive(Clone, Debug, Default)]
pub struct ServiceFilter {
    /// Its host, or the part of it before `@`.
    pub host: Option<String>,
    pub binary: Option<String>,
    pub disabled: Option<bool>,
}

const COLUMNS: &str = "id, host, binary_name, zone, disabled, disabled_reason, frozen, answers, total_bytes, free_bytes, \
    provisioned, mirrors, created_at, seen_at, updated_at";

impl Repository {
    /// Writes what a service says of itself; what administrators said of it stays.
    pub async fn see_service(&mut self, service: &Service) -> Result<()> {
        let sql = "INSERT INTO services (id, host, binary_name, zone, disabled, disabled_reason, frozen, answers, \
            total_bytes, free_bytes, provisioned, mirrors, created_at, seen_at, updated_at) \
            VALUES ((SELECT COALESCE(MAX(id), 0) + 1 FROM services), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, \
            $14) \
            ON CONFLICT (host, binary_name) DO UPDATE SET zone = excluded.zone, answers = excluded.answers, \
            total_bytes = excluded.total_bytes, free_bytes = excluded.free_bytes, \
            provisioned = excluded.provisioned, mirrors = excluded.mirrors, seen_at = excluded.seen_at";
        on!(self, c => sqlx::query(sql)
            .bind(&service.host)
            .bind(&service.binary)
            .bind(&service.zone)
            .bind(service.disabled)
            .bind(&service.disabled_reason)
            .bind(service.frozen)
            .bind(service.answers)
            .bind(service.total_bytes)
            .bind(service.free_bytes)
            .bind(service.provisioned)
            .bind(service.mirrors)
            .bind(service.created_at)
            .bind(service.seen_at)
            .bind(service.updated_at)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    /// By binary, then by host.
    pub async fn services(&mut self, filter: &ServiceFilter) -> Result<Vec<Service>> {
        let mut conditions = Conditions::default();
        conditions.text("binary_name", &filter.binary);
        if let Some(disabled) = filter.disabled {
            conditions.compare("disabled", Operator::Equal, Value::Boolean(disabled));
        }
        let sql = conditions.select(COLUMNS, "services", "binary_name, host");
        let mut found: Vec<Service> = on!(self, c =>
            bind_all!(sqlx::query_as(AssertSqlSafe(sql)), &conditions.values).fetch_all(c).await)?;
        if let Some(host) = &filter.host {
            found.retain(|service| {
                service
                    .host
                    .strip_prefix(host.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
            });
        }
        Ok(found)
    }

    pub async fn service(&mut self, host: &str, binary: &str) -> Result<Option<Service>> {
        let sql = format!("SELECT {COLUMNS} FROM services WHERE host = $1 AND binary_name = $2");
        Ok(on!(self, c =>
            sqlx::query_as(AssertSqlSafe(sql)).bind(host).bind(binary).fetch_optional(c).await)?)
    }

    /// As [`Repository::service`], and nobody else changes the row before the transaction ends.
    pub async fn service_to_change(&mut self, host: &str, binary: &str) -> Result<Option<Service>> {
        let lock = self.lock();
        let sql = format!("SELECT {COLUMNS} FROM services WHERE host = $1 AND binary_name = $2{lock}");
        Ok(on!(self, c =>
            sqlx::query_as(AssertSqlSafe(sql)).bind(host).bind(binary).fetch_optional(c).await)?)
    }

    /// Writes what administrators say of it. `false`: there is no such service.
    pub async fn update_service(&mut self, service: &Service) -> Result<bool> {
        let sql = "UPDATE services SET disabled = $3, disabled_reason = $4, frozen = $5, updated_at = $6 \
            WHERE host = $1 AND binary_name = $2";
        let rows = on!(self, c => sqlx::query(sql)
            .bind(&service.host)
            .bind(&service.binary)
            .bind(service.disabled)
            .bind(&service.disabled_reason)
            .bind(service.frozen)
            .bind(service.updated_at)
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }

    /// What each project has in the place `<host>@<backend>`, in its pools too.
    pub async fn use_of_host(&mut self, host: &str) -> Result<Vec<HostUse>> {
        let sql = "WITH here AS (SELECT id, project_id, size FROM volumes WHERE host = $1 \
                OR SUBSTR(host, 1, LENGTH(CAST($1 AS TEXT)) + 1) = CAST($1 AS TEXT) || '#'), \
            things AS (SELECT project_id, 1 AS volumes, size AS gigabytes, 0 AS snapshots, 0 AS snapshot_gigabytes \
                FROM here UNION ALL SELECT s.project_id, 0, 0, 1, s.size FROM snapshots s \
                JOIN here ON here.id = s.volume_id) \
            SELECT project_id, CAST(SUM(volumes) AS BIGINT) AS volumes, \
            CAST(SUM(gigabytes) AS BIGINT) AS gigabytes, CAST(SUM(snapshots) AS BIGINT) AS snapshots, \
            CAST(SUM(snapshot_gigabytes) AS BIGINT) AS snapshot_gigabytes \
            FROM things GROUP BY project_id ORDER BY project_id";
        Ok(on!(self, c => sqlx::query_as(sql).bind(host).fetch_all(c).await)?)
    }
}
