//! What users are told of things that failed.

use sqlx::AssertSqlSafe;

use super::error::Result;
use super::filter::{Conditions, Operator, Page, Value};
use super::{Repository, bind_all, on};
use crate::model::{MessageId, ProjectId, Timestamp};

#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Message {
    pub id: MessageId,
    pub project_id: ProjectId,
    pub request_id: Option<String>,
    /// `VOLUME` or `VOLUME_SNAPSHOT`
    pub resource_type: String,
    pub resource_uuid: Option<String>,
    /// See [`crate::model::Event::id`].
    pub event_id: String,
    pub message_level: String,
    pub created_at: Timestamp,
}

const COLUMNS: &str =
    "id, project_id, request_id, resource_type, resource_uuid, event_id, message_level, created_at";

/// Which messages a list holds; `None` is no condition.
#[derive(Clone, Debug, Default)]
pub struct MessageFilter {
    pub project_id: Option<String>,
    /// Texts equal in other columns; the database's names.
    pub texts: Vec<(&'static str, String)>,
    /// Texts that columns contain.
    pub likes: Vec<(&'static str, String)>,
}

impl Repository {
    pub async fn add_message(&mut self, message: &Message) -> Result<()> {
        let sql = "INSERT INTO messages (id, project_id, request_id, resource_type, resource_uuid, event_id, \
            message_level, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        on!(self, c => sqlx::query(sql)
            .bind(&message.id)
            .bind(&message.project_id)
            .bind(&message.request_id)
            .bind(&message.resource_type)
            .bind(&message.resource_uuid)
            .bind(&message.event_id)
            .bind(&message.message_level)
            .bind(message.created_at)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    pub async fn message(&mut self, id: &MessageId) -> Result<Option<Message>> {
        let sql = format!("SELECT {COLUMNS} FROM messages WHERE id = $1");
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(id).fetch_optional(c).await)?)
    }

    pub async fn messages(&mut self, filter: &MessageFilter, page: &Page) -> Result<Vec<Message>> {
        let mut conditions = Conditions::default();
        conditions.text("project_id", &filter.project_id);
        for (column, text) in &filter.texts {
            conditions.compare(column, Operator::Equal, Value::Text(text.clone()));
        }
        for (column, text) in &filter.likes {
            conditions.like(column, text);
        }
        let sql = conditions.page(COLUMNS, "messages", page);
        Ok(
            on!(self, c => bind_all!(sqlx::query_as(AssertSqlSafe(sql)), &conditions.values).fetch_all(c).await)?,
        )
    }

    pub async fn remove_message(&mut self, id: &MessageId) -> Result<()> {
        on!(self, c => sqlx::query("DELETE FROM messages WHERE id = $1").bind(id).execute(c).await.map(drop))?;
        Ok(())
    }
}
