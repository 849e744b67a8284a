//! Users.

use sqlx::AssertSqlSafe;

use super::{Extra, SecretHash};
use crate::db::error::Result;
use crate::db::filter::{Conditions, Operator, Value};
use crate::db::{Repository, bind_all, on};
use crate::model::{DomainId, ProjectId, Timestamp, UserId};

#[derive(Clone, Debug, sqlx::FromRow)]
pub struct User {
    pub id: UserId,
    pub domain_id: DomainId,
    pub name: String,
    /// `None`: nobody logs in with a password.
    pub password_hash: Option<SecretHash>,
    pub enabled: bool,
    pub default_project_id: Option<ProjectId>,
    /// Tokens that tell no epoch, and were issued before, are not good any more.
    pub tokens_valid_from: Timestamp,
    /// Nor are those that tell another one. 0: the user is of a version that knew none.
    pub token_epoch: i64,
    pub extra: Extra,
    pub created_at: Timestamp,
}

const COLUMNS: &str = "id, domain_id, name, password_hash, enabled, default_project_id, tokens_valid_from, token_epoch, \
    extra, created_at";

/// Which users a list holds; `None` is no condition.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    pub domain_id: Option<String>,
    pub name: Option<String>,
    pub enabled: Option<bool>,
}

impl Repository {
    pub async fn add_user(&mut self, user: &User) -> Result<()> {
        let sql = "INSERT INTO users (id, domain_id, name, password_hash, enabled, default_project_id, \
            tokens_valid_from, token_epoch, extra, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        on!(self, c => sqlx::query(sql)
            .bind(&user.id)
            .bind(&user.domain_id)
            .bind(&user.name)
            .bind(&user.password_hash)
            .bind(user.enabled)
            .bind(&user.default_project_id)
            .bind(user.tokens_valid_from)
            .bind(user.token_epoch)
            .bind(&user.extra)
            .bind(user.created_at)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    pub async fn user(&mut self, id: &UserId) -> Result<Option<User>> {
        self.user_and(id, "").await
    }

    /// Nobody else changes it before the end of the transaction.
    pub async fn user_to_change(&mut self, id: &UserId) -> Result<Option<User>> {
        self.user_and(id, self.lock()).await
    }

    async fn user_and(&mut self, id: &UserId, lock: &str) -> Result<Option<User>> {
        let sql = format!("SELECT {COLUMNS} FROM users WHERE id = $1{lock}");
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(id).fetch_optional(c).await)?)
    }

    pub async fn user_named(&mut self, domain: &DomainId, name: &str) -> Result<Option<User>> {
        let sql = format!("SELECT {COLUMNS} FROM users WHERE domain_id = $1 AND name = $2");
        Ok(on!(self, c =>
            sqlx::query_as(AssertSqlSafe(sql)).bind(domain).bind(name).fetch_optional(c).await)?)
    }

    /// By name.
    pub async fn users(&mut self, filter: &UserFilter) -> Result<Vec<User>> {
        let mut conditions = Conditions::default();
        conditions.text("domain_id", &filter.domain_id);
        conditions.text("name", &filter.name);
        if let Some(enabled) = filter.enabled {
            conditions.compare("enabled", Operator::Equal, Value::Boolean(enabled));
        }
        let sql = conditions.select(COLUMNS, "users", "name, id");
        Ok(on!(self, c =>
            bind_all!(sqlx::query_as(AssertSqlSafe(sql)), &conditions.values).fetch_all(c).await)?)
    }

    pub async fn any_user(&mut self) -> Result<bool> {
        let found: i64 = on!(self, c => sqlx::query_scalar("SELECT COUNT(*) FROM users").fetch_one(c).await)?;
        Ok(found > 0)
    }

    /// Writes what can change.
    pub async fn update_user(&mut self, user: &User) -> Result<()> {
        let sql = "UPDATE users SET name = $2, password_hash = $3, enabled = $4, default_project_id = $5, \
            tokens_valid_from = $6, token_epoch = $7, extra = $8 WHERE id = $1";
        on!(self, c => sqlx::query(sql)
            .bind(&user.id)
            .bind(&user.name)
            .bind(&user.password_hash)
            .bind(user.enabled)
            .bind(&user.default_project_id)
            .bind(user.tokens_valid_from)
            .bind(user.token_epoch)
            .bind(&user.extra)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    /// With the roles and application credentials the user has.
    pub async fn remove_user(&mut self, id: &UserId) -> Result<()> {
        on!(self, c => sqlx::query("DELETE FROM users WHERE id = $1").bind(id).execute(c).await.map(drop))?;
        Ok(())
    }
}
