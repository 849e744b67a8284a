//! Domains: they have users and projects.

use sqlx::AssertSqlSafe;

use crate::db::error::Result;
use crate::db::{Repository, on};
use crate::model::{DomainId, Timestamp};

#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Domain {
    pub id: DomainId,
    pub name: String,
    pub description: String,
    pub enabled: bool,
    pub created_at: Timestamp,
}

const COLUMNS: &str = "id, name, description, enabled, created_at";

impl Repository {
    pub async fn add_domain(&mut self, domain: &Domain) -> Result<()> {
        let sql =
            "INSERT INTO domains (id, name, description, enabled, created_at) VALUES ($1, $2, $3, $4, $5)";
        on!(self, c => sqlx::query(sql)
            .bind(&domain.id)
            .bind(&domain.name)
            .bind(&domain.description)
            .bind(domain.enabled)
            .bind(domain.created_at)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    pub async fn domain(&mut self, id: &DomainId) -> Result<Option<Domain>> {
        self.domain_and(id, "").await
    }

    /// Nobody else changes it before the end of the transaction.
    pub async fn domain_to_change(&mut self, id: &DomainId) -> Result<Option<Domain>> {
        self.domain_and(id, self.lock()).await
    }

    async fn domain_and(&mut self, id: &DomainId, lock: &str) -> Result<Option<Domain>> {
        let sql = format!("SELECT {COLUMNS} FROM domains WHERE id = $1{lock}");
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(id).fetch_optional(c).await)?)
    }

    pub async fn domain_named(&mut self, name: &str) -> Result<Option<Domain>> {
        let sql = format!("SELECT {COLUMNS} FROM domains WHERE name = $1");
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(name).fetch_optional(c).await)?)
    }

    /// By name.
    pub async fn domains(&mut self) -> Result<Vec<Domain>> {
        let sql = format!("SELECT {COLUMNS} FROM domains ORDER BY name");
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).fetch_all(c).await)?)
    }

    /// Writes what can change.
    pub async fn update_domain(&mut self, domain: &Domain) -> Result<()> {
        let sql = "UPDATE domains SET name = $2, description = $3, enabled = $4 WHERE id = $1";
        on!(self, c => sqlx::query(sql)
            .bind(&domain.id)
            .bind(&domain.name)
            .bind(&domain.description)
            .bind(domain.enabled)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    /// With its users and projects, and the roles on them.
    pub async fn remove_domain(&mut self, id: &DomainId) -> Result<()> {
        let held = "DELETE FROM role_assignments WHERE (scope = 'domain' AND scope_id = $1) \
            OR (scope = 'project' AND scope_id IN (SELECT id FROM projects WHERE domain_id = $1))";
        on!(self, c => sqlx::query(held).bind(id).execute(c).await.map(drop))?;
        on!(self, c => sqlx::query("DELETE FROM domains WHERE id = $1").bind(id).execute(c).await.map(drop))?;
        Ok(())
    }
}
