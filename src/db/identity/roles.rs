//! Roles, what they imply, and who holds which on what.

use sqlx::AssertSqlSafe;

use crate::db::error::Result;
use crate::db::filter::Conditions;
use crate::db::{Repository, bind_all, on};
use crate::model::{RoleId, Scope, Timestamp, UserId};

#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Role {
    pub id: RoleId,
    pub name: String,
    pub description: Option<String>,
    pub created_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, sqlx::FromRow)]
pub struct RoleAssignment {
    pub user_id: UserId,
    /// As [`Scope`] has them.
    pub scope: String,
    pub scope_id: String,
    pub role_id: RoleId,
}

/// Which assignments a list holds; `None` is no condition.
#[derive(Clone, Debug, Default)]
pub struct RoleAssignmentFilter {
    pub user_id: Option<String>,
    pub role_id: Option<String>,
    pub scope: Option<String>,
    pub scope_id: Option<String>,
}

const COLUMNS: &str = "id, name, description, created_at";

impl Repository {
    pub async fn add_role(&mut self, role: &Role) -> Result<()> {
        let sql = "INSERT INTO roles (id, name, description, created_at) VALUES ($1, $2, $3, $4)";
        on!(self, c => sqlx::query(sql)
            .bind(&role.id)
            .bind(&role.name)
            .bind(&role.description)
            .bind(role.created_at)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    /// Whoever has `role` has `implied` too.
    pub async fn imply_role(&mut self, role: &RoleId, implied: &RoleId) -> Result<()> {
        let sql = "INSERT INTO implied_roles (role_id, implied_id) VALUES ($1, $2)";
        on!(self, c => sqlx::query(sql).bind(role).bind(implied).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Role and what it implies itself.
    pub async fn implied_roles(&mut self) -> Result<Vec<(RoleId, RoleId)>> {
        let sql = "SELECT role_id, implied_id FROM implied_roles ORDER BY role_id, implied_id";
        Ok(on!(self, c => sqlx::query_as(sql).fetch_all(c).await)?)
    }

    pub async fn role(&mut self, id: &RoleId) -> Result<Option<Role>> {
        let sql = format!("SELECT {COLUMNS} FROM roles WHERE id = $1");
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(id).fetch_optional(c).await)?)
    }

    /// By name.
    pub async fn roles(&mut self) -> Result<Vec<Role>> {
        let sql = format!("SELECT {COLUMNS} FROM roles ORDER BY name");
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).fetch_all(c).await)?)
    }

    /// Writes what can change.
    pub async fn update_role(&mut self, role: &Role) -> Result<()> {
        let sql = "UPDATE roles SET name = $2, description = $3 WHERE id = $1";
        on!(self, c => sqlx::query(sql)
            .bind(&role.id).bind(&role.name).bind(&role.description).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Nobody holds it any more, and no application credential outlives it on a project where its user held it.
    pub async fn remove_role(&mut self, id: &RoleId) -> Result<()> {
        self.remove_application_credentials_with(id).await?;
        on!(self, c => sqlx::query("DELETE FROM roles WHERE id = $1").bind(id).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Does nothing when the user holds it already.
    pub async fn assign_role(&mut self, user: &UserId, scope: &Scope, role: &RoleId) -> Result<()> {
        let sql = "INSERT INTO role_assignments (user_id, scope, scope_id, role_id) VALUES ($1, $2, $3, $4) \
            ON CONFLICT (user_id, scope, scope_id, role_id) DO NOTHING";
        on!(self, c => sqlx::query(sql)
            .bind(user).bind(scope.kind()).bind(scope.id()).bind(role).execute(c).await.map(drop))?;
        Ok(())
    }

    /// With the user's application credentials on the project, where it is one. `false`: the user did not hold it.
    pub async fn unassign_role(&mut self, user: &UserId, scope: &Scope, role: &RoleId) -> Result<bool> {
        // Whoever makes such a credential has locked the user: it is there by now, or is refused afterwards.
        self.user_to_change(user).await?;
        let sql = "DELETE FROM role_assignments \
            WHERE user_id = $1 AND scope = $2 AND scope_id = $3 AND role_id = $4";
        let rows = on!(self, c => sqlx::query(sql)
            .bind(user).bind(scope.kind()).bind(scope.id()).bind(role)
            .execute(c).await.map(|done| done.rows_affected()))?;
        if let (1, Scope::Project(project)) = (rows, scope) {
            self.remove_application_credentials_on(user, project).await?;
        }
        Ok(rows == 1)
    }

    /// What was assigned, without what that implies; by name.
    pub async fn assigned_roles(&mut self, user: &UserId, scope: &Scope) -> Result<Vec<Role>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM roles WHERE id IN (SELECT role_id FROM role_assignments \
             WHERE user_id = $1 AND scope = $2 AND scope_id = $3) ORDER BY name"
        );
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql))
            .bind(user).bind(scope.kind()).bind(scope.id()).fetch_all(c).await)?)
    }

    /// What was assigned, with what that implies; by name.
    pub async fn effective_roles(&mut self, user: &UserId, scope: &Scope) -> Result<Vec<Role>> {
        let sql = "WITH RECURSIVE held (held_id) AS (SELECT role_id FROM role_assignments \
               WHERE user_id = $1 AND scope = $2 AND scope_id = $3 \
               UNION SELECT implied_id FROM implied_roles JOIN held ON role_id = held_id) \
            SELECT id, name, description, created_at FROM roles JOIN held ON id = held_id ORDER BY name";
        Ok(on!(self, c => sqlx::query_as(sql)
            .bind(user).bind(scope.kind()).bind(scope.id()).fetch_all(c).await)?)
    }

    pub async fn role_assignments(&mut self, filter: &RoleAssignmentFilter) -> Result<Vec<RoleAssignment>> {
        let mut conditions = Conditions::default();
        conditions.text("user_id", &filter.user_id);
        conditions.text("role_id", &filter.role_id);
        conditions.text("scope", &filter.scope);
        conditions.text("scope_id", &filter.scope_id);
        let order = "user_id, scope, scope_id, role_id";
        let sql = conditions.select(order, "role_assignments", order);
        Ok(on!(self, c =>
            bind_all!(sqlx::query_as(AssertSqlSafe(sql)), &conditions.values).fetch_all(c).await)?)
    }
}
