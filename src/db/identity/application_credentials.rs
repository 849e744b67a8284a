//! Application credentials: what a program logs in with on its user's behalf.

use sqlx::AssertSqlSafe;
use sqlx::types::Json;

use super::SecretHash;
use crate::db::error::Result;
use crate::db::{Repository, on};
use crate::model::{ApplicationCredentialId, ProjectId, RoleId, Timestamp, UserId};

#[derive(Clone, Debug, sqlx::FromRow)]
pub struct ApplicationCredential {
    pub id: ApplicationCredentialId,
    pub user_id: UserId,
    pub project_id: ProjectId,
    pub name: String,
    pub description: Option<String>,
    pub secret_hash: SecretHash,
    /// What it may do, as long as its user may; with what that implies.
    pub roles: Json<Vec<RoleId>>,
    /// May be used to make others.
    pub unrestricted: bool,
    pub expires_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

const COLUMNS: &str = "id, user_id, project_id, name, description, secret_hash, roles, unrestricted, \
    expires_at, created_at";

impl Repository {
    pub async fn add_application_credential(&mut self, credential: &ApplicationCredential) -> Result<()> {
        let sql = "INSERT INTO application_credentials (id, user_id, project_id, name, description, \
            secret_hash, roles, unrestricted, expires_at, created_at) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        on!(self, c => sqlx::query(sql)
            .bind(&credential.id)
            .bind(&credential.user_id)
            .bind(&credential.project_id)
            .bind(&credential.name)
            .bind(&credential.description)
            .bind(&credential.secret_hash)
            .bind(&credential.roles)
            .bind(credential.unrestricted)
            .bind(credential.expires_at)
            .bind(credential.created_at)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    pub async fn application_credential(
        &mut self,
        id: &ApplicationCredentialId,
    ) -> Result<Option<ApplicationCredential>> {
        let sql = format!("SELECT {COLUMNS} FROM application_credentials WHERE id = $1");
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(id).fetch_optional(c).await)?)
    }

    pub async fn application_credential_named(
        &mut self,
        user: &UserId,
        name: &str,
    ) -> Result<Option<ApplicationCredential>> {
        let sql = format!("SELECT {COLUMNS} FROM application_credentials WHERE user_id = $1 AND name = $2");
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(user).bind(name).fetch_optional(c).await)?)
    }

    /// Of one user, by name.
    pub async fn application_credentials(&mut self, user: &UserId) -> Result<Vec<ApplicationCredential>> {
        let sql = format!("SELECT {COLUMNS} FROM application_credentials WHERE user_id = $1 ORDER BY name");
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(user).fetch_all(c).await)?)
    }

    /// How many one user has.
    pub async fn count_application_credentials(&mut self, user: &UserId) -> Result<i64> {
        let sql = "SELECT COUNT(*) FROM application_credentials WHERE user_id = $1";
        Ok(on!(self, c => sqlx::query_scalar(sql).bind(user).fetch_one(c).await)?)
    }

    pub async fn remove_application_credential(&mut self, id: &ApplicationCredentialId) -> Result<()> {
        let sql = "DELETE FROM application_credentials WHERE id = $1";
        on!(self, c => sqlx::query(sql).bind(id).execute(c).await.map(drop))?;
        Ok(())
    }

    /// All that one user has.
    pub async fn remove_application_credentials(&mut self, user: &UserId) -> Result<()> {
        let sql = "DELETE FROM application_credentials WHERE user_id = $1";
        on!(self, c => sqlx::query(sql).bind(user).execute(c).await.map(drop))?;
        Ok(())
    }

    /// All that one user has on a project.
    pub(super) async fn remove_application_credentials_on(
        &mut self,
        user: &UserId,
        project: &ProjectId,
    ) -> Result<()> {
        let sql = "DELETE FROM application_credentials WHERE user_id = $1 AND project_id = $2";
        on!(self, c => sqlx::query(sql).bind(user).bind(project).execute(c).await.map(drop))?;
        Ok(())
    }

    /// All of those who hold a role, on the projects they hold it on.
    pub(super) async fn remove_application_credentials_with(&mut self, role: &RoleId) -> Result<()> {
        // Whoever makes one has locked its user: it is there by now, or is refused afterwards.
        let holders = format!(
            "SELECT id FROM users WHERE id IN (SELECT user_id FROM role_assignments \
             WHERE role_id = $1 AND scope = 'project') ORDER BY id{}",
            self.lock()
        );
        on!(self, c => sqlx::query(AssertSqlSafe(holders)).bind(role).fetch_all(c).await.map(drop))?;
        let sql = "DELETE FROM application_credentials WHERE EXISTS (SELECT 1 FROM role_assignments AS held \
            WHERE held.role_id = $1 AND held.scope = 'project' AND held.scope_id = project_id \
            AND held.user_id = application_credentials.user_id)";
        on!(self, c => sqlx::query(sql).bind(role).execute(c).await.map(drop))?;
        Ok(())
    }
}
