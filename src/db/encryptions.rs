//! How volumes of a type are to be encrypted.

use super::error::Result;
use super::{Repository, on};
use crate::model::{EncryptionId, Timestamp, VolumeTypeId};

#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Encryption {
    pub volume_type_id: VolumeTypeId,
    pub id: EncryptionId,
    pub provider: String,
    pub control_location: String,
    pub cipher: Option<String>,
    /// Bits.
    pub key_size: Option<i64>,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
}

impl Encryption {
    /// Whether it makes of the same bytes what the other one does.
    pub fn is_like(&self, other: &Self) -> bool {
        self.provider == other.provider
            && self.control_location == other.control_location
            && self.cipher == other.cipher
            && self.key_size == other.key_size
    }
}

impl Repository {
    /// [`super::DbError::Exists`]: the type has one.
    pub async fn add_encryption(&mut self, encryption: &Encryption) -> Result<()> {
        let sql = "INSERT INTO volume_type_encryptions (volume_type_id, id, provider, control_location, cipher, \
            key_size, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        on!(self, c => sqlx::query(sql)
            .bind(&encryption.volume_type_id)
            .bind(&encryption.id)
            .bind(&encryption.provider)
            .bind(&encryption.control_location)
            .bind(&encryption.cipher)
            .bind(encryption.key_size)
            .bind(encryption.created_at)
            .bind(encryption.updated_at)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    pub async fn encryption(&mut self, of: &VolumeTypeId) -> Result<Option<Encryption>> {
        let sql = "SELECT volume_type_id, id, provider, control_location, cipher, key_size, created_at, updated_at \
            FROM volume_type_encryptions WHERE volume_type_id = $1";
        Ok(on!(self, c => sqlx::query_as(sql).bind(of).fetch_optional(c).await)?)
    }

    /// `false`: there is none.
    pub async fn update_encryption(&mut self, encryption: &Encryption) -> Result<bool> {
        let sql = "UPDATE volume_type_encryptions SET provider = $2, control_location = $3, cipher = $4, \
            key_size = $5, updated_at = $6 WHERE volume_type_id = $1";
        let rows = on!(self, c => sqlx::query(sql)
            .bind(&encryption.volume_type_id)
            .bind(&encryption.provider)
            .bind(&encryption.control_location)
            .bind(&encryption.cipher)
            .bind(encryption.key_size)
            .bind(encryption.updated_at)
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }

    /// `false`: there was none.
    pub async fn remove_encryption(&mut self, of: &VolumeTypeId) -> Result<bool> {
        let rows = on!(self, c => sqlx::query("DELETE FROM volume_type_encryptions WHERE volume_type_id = $1")
            .bind(of).execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }
}
