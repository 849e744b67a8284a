//! Projects.

use sqlx::AssertSqlSafe;

use super::Extra;
use crate::db::error::Result;
use crate::db::filter::{Conditions, Operator, Value};
use crate::db::{Repository, bind_all, on};
use crate::model::{DomainId, ProjectId, Timestamp, UserId};

#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Project {
    pub id: ProjectId,
    pub domain_id: DomainId,
    pub name: String,
    pub description: String,
    pub enabled: bool,
    pub extra: Extra,
    pub created_at: Timestamp,
}

const COLUMNS: &str = "id, domain_id, name, description, enabled, extra, created_at";

/// Which projects a list holds; `None` is no condition.
#[derive(Clone, Debug, Default)]
pub struct ProjectFilter {
    pub domain_id: Option<String>,
    pub name: Option<String>,
    pub enabled: Option<bool>,
}

impl Repository {
    pub async fn add_project(&mut self, project: &Project) -> Result<()> {
        let sql = "INSERT INTO projects (id, domain_id, name, description, enabled, extra, created_at) \
            VALUES ($1, $2, $3, $4, $5, $6, $7)";
        on!(self, c => sqlx::query(sql)
            .bind(&project.id)
            .bind(&project.domain_id)
            .bind(&project.name)
            .bind(&project.description)
            .bind(project.enabled)
            .bind(&project.extra)
            .bind(project.created_at)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    pub async fn project(&mut self, id: &ProjectId) -> Result<Option<Project>> {
        self.project_and(id, "").await
    }

    /// Nobody else changes it before the end of the transaction.
    pub async fn project_to_change(&mut self, id: &ProjectId) -> Result<Option<Project>> {
        self.project_and(id, self.lock()).await
    }

    async fn project_and(&mut self, id: &ProjectId, lock: &str) -> Result<Option<Project>> {
        let sql = format!("SELECT {COLUMNS} FROM projects WHERE id = $1{lock}");
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(id).fetch_optional(c).await)?)
    }

    pub async fn project_named(&mut self, domain: &DomainId, name: &str) -> Result<Option<Project>> {
        let sql = format!("SELECT {COLUMNS} FROM projects WHERE domain_id = $1 AND name = $2");
        Ok(on!(self, c =>
            sqlx::query_as(AssertSqlSafe(sql)).bind(domain).bind(name).fetch_optional(c).await)?)
    }

    /// By name.
    pub async fn projects(&mut self, filter: &ProjectFilter) -> Result<Vec<Project>> {
        let mut conditions = Conditions::default();
        conditions.text("domain_id", &filter.domain_id);
        conditions.text("name", &filter.name);
        if let Some(enabled) = filter.enabled {
            conditions.compare("enabled", Operator::Equal, Value::Boolean(enabled));
        }
        let sql = conditions.select(COLUMNS, "projects", "name, id");
        Ok(on!(self, c =>
            bind_all!(sqlx::query_as(AssertSqlSafe(sql)), &conditions.values).fetch_all(c).await)?)
    }

    /// Those the user holds a role on, by name.
    pub async fn projects_of(&mut self, user: &UserId) -> Result<Vec<Project>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM projects WHERE id IN \
             (SELECT scope_id FROM role_assignments WHERE user_id = $1 AND scope = 'project') ORDER BY name, id"
        );
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(user).fetch_all(c).await)?)
    }

    /// Writes what can change.
    pub async fn update_project(&mut self, project: &Project) -> Result<()> {
        let sql = "UPDATE projects SET name = $2, description = $3, enabled = $4, extra = $5 WHERE id = $1";
        on!(self, c => sqlx::query(sql)
            .bind(&project.id)
            .bind(&project.name)
            .bind(&project.description)
            .bind(project.enabled)
            .bind(&project.extra)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    /// With the roles on it. What belongs to it elsewhere stays.
    pub async fn remove_project(&mut self, id: &ProjectId) -> Result<()> {
        let held = "DELETE FROM role_assignments WHERE scope = 'project' AND scope_id = $1";
        on!(self, c => sqlx::query(held).bind(id).execute(c).await.map(drop))?;
        on!(self, c => sqlx::query("DELETE FROM projects WHERE id = $1").bind(id).execute(c).await.map(drop))?;
        Ok(())
    }
}
