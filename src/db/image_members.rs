//! Projects that `shared` images were given to.

use sqlx::AssertSqlSafe;

use super::error::Result;
use super::{Repository, on};
use crate::model::{ImageId, MemberStatus, ProjectId, Timestamp};

#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct ImageMember {
    pub image_id: ImageId,
    pub member_id: ProjectId,
    pub status: MemberStatus,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

const COLUMNS: &str = "image_id, member_id, status, created_at, updated_at";

impl Repository {
    /// [`super::DbError::Exists`]: the project is one already.
    pub async fn add_image_member(&mut self, member: &ImageMember) -> Result<()> {
        let sql = "INSERT INTO image_members (image_id, member_id, status, created_at, updated_at) \
            VALUES ($1, $2, $3, $4, $5)";
        on!(self, c => sqlx::query(sql)
            .bind(&member.image_id)
            .bind(&member.member_id)
            .bind(member.status)
            .bind(member.created_at)
            .bind(member.updated_at)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    pub async fn image_member(&mut self, image: &ImageId, member: &ProjectId) -> Result<Option<ImageMember>> {
        let sql = format!("SELECT {COLUMNS} FROM image_members WHERE image_id = $1 AND member_id = $2");
        Ok(
            on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(image).bind(member).fetch_optional(c).await)?,
        )
    }

    /// In the order in which they were added.
    pub async fn image_members(&mut self, image: &ImageId) -> Result<Vec<ImageMember>> {
        let sql =
            format!("SELECT {COLUMNS} FROM image_members WHERE image_id = $1 ORDER BY created_at, member_id");
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(image).fetch_all(c).await)?)
    }

    pub async fn count_image_members(&mut self, image: &ImageId) -> Result<i64> {
        let sql = "SELECT COUNT(*) FROM image_members WHERE image_id = $1";
        Ok(on!(self, c => sqlx::query_scalar(sql).bind(image).fetch_one(c).await)?)
    }

    /// `false`: the project is none.
    pub async fn set_image_member_status(
        &mut self,
        image: &ImageId,
        member: &ProjectId,
        status: MemberStatus,
        now: Timestamp,
    ) -> Result<bool> {
        let sql =
            "UPDATE image_members SET status = $3, updated_at = $4 WHERE image_id = $1 AND member_id = $2";
        let rows = on!(self, c => sqlx::query(sql)
            .bind(image).bind(member).bind(status).bind(now)
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }

    /// `false`: the project was none.
    pub async fn remove_image_member(&mut self, image: &ImageId, member: &ProjectId) -> Result<bool> {
        let sql = "DELETE FROM image_members WHERE image_id = $1 AND member_id = $2";
        let rows = on!(self, c => sqlx::query(sql)
            .bind(image).bind(member).execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }
}
