//! Metadata definitions: namespaces, and what is in them.

use serde_json::{Map, Value as Json};
use sqlx::AssertSqlSafe;
use sqlx::types;

use super::error::Result;
use super::filter::{Conditions, Operator, Page, Value};
use super::{Repository, bind_all, on};
use crate::model::{MetadefItemId, MetadefKind, MetadefNamespaceId, ProjectId, Timestamp};

#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct MetadefNamespace {
    pub id: MetadefNamespaceId,
    /// There is one of that name.
    pub name: String,
    pub display_name: Option<String>,
    pub description: Option<String>,
    /// `public` or `private`.
    pub visibility: String,
    pub protected: bool,
    /// The owner.
    pub project_id: Option<ProjectId>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

const NAMESPACE_COLUMNS: &str = "id, name, display_name, description, visibility, protected, project_id, \
    created_at, updated_at";

#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct MetadefItem {
    pub id: MetadefItemId,
    pub namespace_id: MetadefNamespaceId,
    pub kind: MetadefKind,
    /// The namespace has one of that kind and name.
    pub name: String,
    /// All but the name. The order of its keys does not last.
    pub definition: types::Json<Map<String, Json>>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

const ITEM_COLUMNS: &str = "id, namespace_id, kind, name, definition, created_at, updated_at";

/// A type of resource that definitions may be for.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct MetadefResourceType {
    pub name: String,
    pub created_at: Timestamp,
}

/// Which namespaces a list holds; `None` is no condition.
#[derive(Clone, Debug, Default)]
pub struct MetadefNamespaceFilter {
    pub visibility: Option<String>,
    /// Those of this project, and those of others that are `public`.
    pub visible_to: Option<ProjectId>,
    /// For one of these.
    pub resource_types: Option<Vec<String>>,
}

impl MetadefNamespaceFilter {
    fn conditions(&self) -> Conditions {
        let mut conditions = Conditions::default();
        conditions.text("visibility", &self.visibility);
        if let Some(project) = &self.visible_to {
            let project = conditions.bind(Value::Text(project.0.clone()));
            conditions.push(format!("(project_id = {project} OR visibility = 'public')"));
        }
        if let Some(names) = &self.resource_types {
            let kind = conditions.bind(Value::Text(MetadefKind::ResourceType.to_string()));
            let named = conditions.among("i.name", names);
            conditions.push(format!(
                "EXISTS (SELECT 1 FROM metadef_items i WHERE i.namespace_id = metadef_namespaces.id AND \
                 i.kind = {kind} AND {named})"
            ));
        }
        conditions
    }
}

impl Repository {
    /// [`super::DbError::Exists`]: the name is taken.
    pub async fn add_metadef_namespace(&mut self, namespace: &MetadefNamespace) -> Result<()> {
        let sql = "INSERT INTO metadef_namespaces (id, name, display_name, description, visibility, protected, \
            project_id, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        on!(self, c => sqlx::query(sql)
            .bind(&namespace.id)
            .bind(&namespace.name)
            .bind(&namespace.display_name)
            .bind(&namespace.description)
            .bind(&namespace.visibility)
            .bind(namespace.protected)
            .bind(&namespace.project_id)
            .bind(namespace.created_at)
            .bind(namespace.updated_at)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    /// By name.
    pub async fn metadef_namespace(&mut self, name: &str) -> Result<Option<MetadefNamespace>> {
        self.find_metadef_namespace(name, "").await
    }

    /// As [`Repository::metadef_namespace`], and nobody else changes or removes it before the transaction ends.
    pub async fn metadef_namespace_to_change(&mut self, name: &str) -> Result<Option<MetadefNamespace>> {
        self.find_metadef_namespace(name, self.lock()).await
    }

    async fn find_metadef_namespace(&mut self, name: &str, lock: &str) -> Result<Option<MetadefNamespace>> {
        let sql = format!("SELECT {NAMESPACE_COLUMNS} FROM metadef_namespaces WHERE name = $1{lock}");
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(name).fetch_optional(c).await)?)
    }

    pub async fn metadef_namespaces(
        &mut self,
        filter: &MetadefNamespaceFilter,
        page: &Page,
    ) -> Result<Vec<MetadefNamespace>> {
        let mut conditions = filter.conditions();
        let sql = conditions.page(NAMESPACE_COLUMNS, "metadef_namespaces", page);
        Ok(
            on!(self, c => bind_all!(sqlx::query_as(AssertSqlSafe(sql)), &conditions.values).fetch_all(c).await)?,
        )
    }

    /// Writes all but the id and the moment of its making. [`super::DbError::Exists`]: the name is taken.
    pub async fn update_metadef_namespace(&mut self, namespace: &MetadefNamespace) -> Result<bool> {
        let sql = "UPDATE metadef_namespaces SET name = $2, display_name = $3, description = $4, visibility = $5, \
            protected = $6, project_id = $7, updated_at = $8 WHERE id = $1";
        let rows = on!(self, c => sqlx::query(sql)
            .bind(&namespace.id)
            .bind(&namespace.name)
            .bind(&namespace.display_name)
            .bind(&namespace.description)
            .bind(&namespace.visibility)
            .bind(namespace.protected)
            .bind(&namespace.project_id)
            .bind(namespace.updated_at)
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }

    /// With all that is in it. `false`: there was none.
    pub async fn remove_metadef_namespace(&mut self, id: &MetadefNamespaceId) -> Result<bool> {
        let sql = "DELETE FROM metadef_namespaces WHERE id = $1";
        let rows = on!(self, c => sqlx::query(sql)
            .bind(id).execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }

    /// [`super::DbError::Exists`]: the name is taken. A resource type that was never named is kept, too.
    pub async fn add_metadef_item(&mut self, item: &MetadefItem) -> Result<()> {
        if item.kind == MetadefKind::ResourceType {
            let sql = "INSERT INTO metadef_resource_types (name, created_at) VALUES ($1, $2) \
                ON CONFLICT (name) DO NOTHING";
            on!(self, c => sqlx::query(sql).bind(&item.name).bind(item.created_at).execute(c).await.map(drop))?;
        }
        let sql = "INSERT INTO metadef_items (id, namespace_id, kind, name, definition, created_at, updated_at) \
            VALUES ($1, $2, $3, $4, $5, $6, $7)";
        on!(self, c => sqlx::query(sql)
            .bind(&item.id)
            .bind(&item.namespace_id)
            .bind(item.kind)
            .bind(&item.name)
            .bind(&item.definition)
            .bind(item.created_at)
            .bind(item.updated_at)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    /// By name.
    pub async fn metadef_item(
        &mut self,
        namespace: &MetadefNamespaceId,
        kind: MetadefKind,
        name: &str,
    ) -> Result<Option<MetadefItem>> {
        let sql = format!(
            "SELECT {ITEM_COLUMNS} FROM metadef_items WHERE namespace_id = $1 AND kind = $2 AND name = $3"
        );
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql))
            .bind(namespace).bind(kind).bind(name).fetch_optional(c).await)?)
    }

    /// What of one kind is in these namespaces.
    pub async fn metadef_items(
        &mut self,
        namespaces: &[MetadefNamespaceId],
        kind: MetadefKind,
        page: &Page,
    ) -> Result<Vec<MetadefItem>> {
        let mut conditions = Conditions::default();
        let among = conditions.among("namespace_id", namespaces);
        conditions.push(among);
        conditions.compare("kind", Operator::Equal, Value::Text(kind.to_string()));
        let sql = conditions.page(ITEM_COLUMNS, "metadef_items", page);
        Ok(
            on!(self, c => bind_all!(sqlx::query_as(AssertSqlSafe(sql)), &conditions.values).fetch_all(c).await)?,
        )
    }

    /// Writes name and definition. `false`: there is no such row. [`super::DbError::Exists`]: the name is taken.
    pub async fn update_metadef_item(&mut self, item: &MetadefItem) -> Result<bool> {
        let sql = "UPDATE metadef_items SET name = $2, definition = $3, updated_at = $4 WHERE id = $1";
        let rows = on!(self, c => sqlx::query(sql)
            .bind(&item.id)
            .bind(&item.name)
            .bind(&item.definition)
            .bind(item.updated_at)
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }

    /// `false`: there was none.
    pub async fn remove_metadef_item(&mut self, id: &MetadefItemId) -> Result<bool> {
        let sql = "DELETE FROM metadef_items WHERE id = $1";
        let rows = on!(self, c => sqlx::query(sql)
            .bind(id).execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }

    /// All of one kind in a namespace.
    pub async fn remove_metadef_items(
        &mut self,
        namespace: &MetadefNamespaceId,
        kind: MetadefKind,
    ) -> Result<()> {
        let sql = "DELETE FROM metadef_items WHERE namespace_id = $1 AND kind = $2";
        on!(self, c => sqlx::query(sql).bind(namespace).bind(kind).execute(c).await.map(drop))?;
        Ok(())
    }

    /// All that were ever named, by name.
    pub async fn metadef_resource_types(&mut self) -> Result<Vec<MetadefResourceType>> {
        let sql = "SELECT name, created_at FROM metadef_resource_types ORDER BY name";
        Ok(on!(self, c => sqlx::query_as(sql).fetch_all(c).await)?)
    }
}
