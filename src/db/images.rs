//! Images.

use std::collections::BTreeMap;

use sqlx::AssertSqlSafe;
use sqlx::types::Json;

use super::error::{DbError, Result};
use super::filter::{Conditions, Operator, Page, Value, first_within};
use super::{Location, Repository, bind_all, on};
use crate::model::{ImageId, ImageStatus, MemberStatus, ProjectId, Timestamp};

#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Image {
    pub id: ImageId,
    /// The owner; an admin may make an image without one.
    pub project_id: Option<ProjectId>,
    pub name: Option<String>,
    pub status: ImageStatus,
    pub previous_status: Option<ImageStatus>,
    /// `public`, `private`, `shared` or `community`.
    pub visibility: String,
    pub protected: bool,
    pub os_hidden: bool,
    pub container_format: Option<String>,
    pub disk_format: Option<String>,
    /// Bytes.
    pub size: Option<i64>,
    /// Bytes.
    pub virtual_size: Option<i64>,
    pub checksum: Option<String>,
    pub os_hash_algo: Option<String>,
    pub os_hash_value: Option<String>,
    /// GiB.
    pub min_disk: i64,
    /// MiB.
    pub min_ram: i64,
    pub properties: Json<BTreeMap<String, String>>,
    /// A set: the keys are the tags.
    pub tags: Json<BTreeMap<String, bool>>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// All places where bytes are, or are to be: rows of their own.
    #[sqlx(skip)]
    pub locations: Vec<Location>,
}

impl Image {
    /// Where its bytes can be read.
    pub fn places(&self) -> impl Iterator<Item = &Location> {
        self.locations.iter().filter(|location| location.ready)
    }

    /// The formats without which nobody can say what its bytes are, as far as it has none.
    pub fn missing_formats(&self) -> Vec<&'static str> {
        [("disk_format", &self.disk_format), ("container_format", &self.container_format)]
            .into_iter()
            .filter_map(|(name, format)| format.is_none().then_some(name))
            .collect()
    }

    /// Somebody's web server has its bytes, and no store of ours.
    pub fn is_on_the_web_alone(&self) -> bool {
        let mut places = self.places().peekable();
        places.peek().is_some() && places.all(Location::is_on_the_web)
    }
}

impl Image {
    /// A record without bytes, of which nothing is known but whose it is.
    pub fn queued(id: ImageId, project_id: Option<ProjectId>, now: Timestamp) -> Self {
        Self {
            id,
            project_id,
            name: None,
            status: ImageStatus::Queued,
            previous_status: None,
            visibility: "shared".to_owned(),
            protected: false,
            os_hidden: false,
            container_format: None,
            disk_format: None,
            size: None,
            virtual_size: None,
            checksum: None,
            os_hash_algo: None,
            os_hash_value: None,
            min_disk: 0,
            min_ram: 0,
            properties: Json::default(),
            tags: Json::default(),
            created_at: now,
            updated_at: now,
            locations: Vec::new(),
        }
    }

    /// What volumes remember of it: its properties, and of the base ones those that are set.
    pub fn volume_metadata(&self) -> BTreeMap<String, String> {
        let mut metadata = self.properties.0.clone();
        let mut add = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                metadata.insert(key.to_owned(), value);
            }
        };
        add("image_id", Some(self.id.to_string()));
        add("image_name", self.name.clone().filter(|name| !name.is_empty()));
        add("checksum", self.checksum.clone());
        add("container_format", self.container_format.clone());
        add("disk_format", self.disk_format.clone());
        add("min_disk", Some(self.min_disk.to_string()));
        add("min_ram", Some(self.min_ram.to_string()));
        add("size", self.size.map(|size| size.to_string()));
        metadata
    }
}

const COLUMNS: &str = "id, project_id, name, status, previous_status, visibility, protected, os_hidden, \
    container_format, disk_format, size, virtual_size, checksum, os_hash_algo, os_hash_value, min_disk, \
    min_ram, properties, tags, created_at, updated_at";

/// What a change of status brings with it.
#[derive(Clone, Debug, Default)]
pub struct ImageChange {
    pub size: Option<i64>,
    pub virtual_size: Option<i64>,
    pub checksum: Option<String>,
    pub os_hash_algo: Option<String>,
    pub os_hash_value: Option<String>,
}

/// What of an image can be compared with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageNumber {
    Size,
    VirtualSize,
    MinRam,
    MinDisk,
    /// Whole seconds since 1970, as the API shows it.
    CreatedAt,
    /// Whole seconds since 1970, as the API shows it.
    UpdatedAt,
}

impl ImageNumber {
    fn as_sql(self) -> &'static str {
        match self {
            ImageNumber::Size => "size",
            ImageNumber::VirtualSize => "virtual_size",
            ImageNumber::MinRam => "min_ram",
            ImageNumber::MinDisk => "min_disk",
            ImageNumber::CreatedAt => "created_at / 1000000",
            ImageNumber::UpdatedAt => "updated_at / 1000000",
        }
    }
}

/// Which images a list holds; `None` is no condition.
#[derive(Clone, Debug, Default)]
pub struct ImageFilter {
    pub id: Option<Vec<String>>,
    pub name: Option<Vec<String>>,
    pub status: Option<Vec<String>>,
    pub container_format: Option<Vec<String>>,
    pub disk_format: Option<Vec<String>>,
    pub visibility: Option<String>,
    /// Those of this project, those of others that are `public` or `community`, and those `shared` with it.
    pub visible_to: Option<ProjectId>,
    /// Of those `shared` with it only what it said this to.
    pub member_status: Option<MemberStatus>,
    /// Of the `community` images only this project's.
    pub community_of: Option<ProjectId>,
    pub owner: Option<String>,
    pub checksum: Option<String>,
    pub os_hash_algo: Option<String>,
    pub os_hash_value: Option<String>,
    pub os_hidden: Option<bool>,
    pub protected: Option<bool>,
    /// All of them.
    pub tags: Vec<String>,
    /// A column, its comparison, and with what.
    pub numbers: Vec<(ImageNumber, Operator, i64)>,
    /// Custom properties, equal to.
    pub properties: Vec<(String, String)>,
}

impl ImageFilter {
    fn conditions(&self) -> Conditions {
        let mut conditions = Conditions::default();
        conditions.push("status <> 'deleted'");
        conditions.one_of("id", &self.id);
        conditions.one_of("name", &self.name);
        conditions.one_of("status", &self.status);
        conditions.one_of("container_format", &self.container_format);
        conditions.one_of("disk_format", &self.disk_format);
        conditions.text("visibility", &self.visibility);
        if let Some(project) = &self.visible_to {
            let project = conditions.bind(Value::Text(project.0.clone()));
            let said = match self.member_status {
                Some(status) => {
                    let status = conditions.bind(Value::Text(status.as_str().to_owned()));
                    format!(" AND m.status = {status}")
                }
                None => String::new(),
            };
            conditions.push(format!(
                "(project_id = {project} OR visibility IN ('public', 'community') OR visibility = 'shared' AND \
                 EXISTS (SELECT 1 FROM image_members m WHERE m.image_id = images.id AND m.member_id = {project}{said}))"
            ));
        }
        if let Some(project) = &self.community_of {
            let project = conditions.bind(Value::Text(project.0.clone()));
            conditions.push(format!("(visibility <> 'community' OR project_id = {project})"));
        }
        conditions.text("project_id", &self.owner);
        conditions.text("checksum", &self.checksum);
        conditions.text("os_hash_algo", &self.os_hash_algo);
        conditions.text("os_hash_value", &self.os_hash_value);
        if let Some(hidden) = self.os_hidden {
            conditions.compare("os_hidden", Operator::Equal, Value::Boolean(hidden));
        }
        if let Some(protected) = self.protected {
            conditions.compare("protected", Operator::Equal, Value::Boolean(protected));
        }
        for tag in &self.tags {
            let tag = conditions.bind_key(tag);
            conditions.push(format!("(tags ->> {tag}) IS NOT NULL"));
        }
        for (column, operator, number) in &self.numbers {
            conditions.compare(column.as_sql(), *operator, Value::Integer(*number));
        }
        conditions.json(&["properties"], &self.properties);
        conditions
    }
}

/// Of properties and tags, in bytes.
fn size(image: &Image) -> usize {
    let properties = image.properties.iter().map(|(name, value)| name.len() + value.len());
    properties.chain(image.tags.keys().map(String::len)).sum()
}

impl Repository {
    /// [`DbError::Exists`] when an image has the id, or had it: then the transaction is of no more use.
    pub async fn add_image(&mut self, image: &Image) -> Result<()> {
        let sql = "INSERT INTO images (id, project_id, name, status, previous_status, visibility, protected, \
            os_hidden, container_format, disk_format, size, virtual_size, checksum, os_hash_algo, \
            os_hash_value, min_disk, min_ram, properties, tags, created_at, updated_at) VALUES \
            ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, \
            $21)";
        on!(self, c => sqlx::query(sql)
            .bind(&image.id)
            .bind(&image.project_id)
            .bind(&image.name)
            .bind(image.status)
            .bind(image.previous_status)
            .bind(&image.visibility)
            .bind(image.protected)
            .bind(image.os_hidden)
            .bind(&image.container_format)
            .bind(&image.disk_format)
            .bind(image.size)
            .bind(image.virtual_size)
            .bind(&image.checksum)
            .bind(&image.os_hash_algo)
            .bind(&image.os_hash_value)
            .bind(image.min_disk)
            .bind(image.min_ram)
            .bind(&image.properties)
            .bind(&image.tags)
            .bind(image.created_at)
            .bind(image.updated_at)
            .execute(c).await.map(drop))?;
        // Asked after it was waited for whoever removes one of this id at the moment.
        if self.is_image_id_used_up(&image.id).await? { Err(DbError::Exists) } else { Ok(()) }
    }

    /// Also one whose bytes are being removed (`deleted`): the caller decides who sees it.
    pub async fn image(&mut self, id: &ImageId) -> Result<Option<Image>> {
        self.image_by(format!("SELECT {COLUMNS} FROM images WHERE id = $1"), id).await
    }

    /// As [`Repository::image`], and nobody else changes the row before the transaction ends.
    pub async fn image_to_change(&mut self, id: &ImageId) -> Result<Option<Image>> {
        self.image_by(format!("SELECT {COLUMNS} FROM images WHERE id = $1{}", self.lock()), id).await
    }

    /// As [`Repository::image`], and it is neither changed nor deleted before the transaction ends. Others may use it too.
    pub async fn image_to_use(&mut self, id: &ImageId) -> Result<Option<Image>> {
        self.image_by(format!("SELECT {COLUMNS} FROM images WHERE id = $1{}", self.lock_to_read()), id).await
    }

    async fn image_by(&mut self, sql: String, id: &ImageId) -> Result<Option<Image>> {
        let found: Option<Image> =
            on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(id).fetch_optional(c).await)?;
        let Some(mut image) = found else { return Ok(None) };
        self.locate(std::slice::from_mut(&mut image)).await?;
        Ok(Some(image))
    }

    /// Images that are not deleted.
    pub async fn images(&mut self, filter: &ImageFilter, page: &Page) -> Result<Vec<Image>> {
        let mut conditions = filter.conditions();
        let sql = conditions.page(COLUMNS, "images", page);
        let mut images: Vec<Image> = on!(self, c => bind_all!(sqlx::query_as(AssertSqlSafe(sql)), &conditions.values).fetch_all(c).await)?;
        self.locate(&mut images).await?;
        Ok(images)
    }

    /// The first of them, as many as have at most about so many bytes of properties and tags, but one at the least. Answers
    /// whether that left any out.
    pub async fn images_within(
        &mut self,
        filter: &ImageFilter,
        page: &Page,
        bytes: usize,
    ) -> Result<(Vec<Image>, bool)> {
        let mut conditions = filter.conditions();
        let sql = conditions.page(COLUMNS, "images", page);
        let (mut images, is_cut): (Vec<Image>, bool) = on!(self, c => {
            let rows = bind_all!(sqlx::query_as(AssertSqlSafe(sql)), &conditions.values).fetch(c);
            first_within(rows, bytes, size).await
        })?;
        self.locate(&mut images).await?;
        Ok((images, is_cut))
    }

    /// Writes what a user may change: everything but status, bytes and their digests. `false`: no such row.
    pub async fn update_image(&mut self, image: &Image) -> Result<bool> {
        let sql = "UPDATE images SET project_id = $2, name = $3, visibility = $4, protected = $5, os_hidden = $6, \
            container_format = $7, disk_format = $8, min_disk = $9, min_ram = $10, properties = $11, tags = $12, \
            updated_at = $13 WHERE id = $1";
        let rows = on!(self, c => sqlx::query(sql)
            .bind(&image.id)
            .bind(&image.project_id)
            .bind(&image.name)
            .bind(&image.visibility)
            .bind(image.protected)
            .bind(image.os_hidden)
            .bind(&image.container_format)
            .bind(&image.disk_format)
            .bind(image.min_disk)
            .bind(image.min_ram)
            .bind(&image.properties)
            .bind(&image.tags)
            .bind(image.updated_at)
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }

    /// Compare and swap: `false` when the image is not (any more) in `from`. What `change` leaves out is kept,
    /// but an image that goes back to `queued` forgets its bytes.
    pub async fn change_image(
        &mut self,
        id: &ImageId,
        from: ImageStatus,
        to: ImageStatus,
        change: &ImageChange,
        now: Timestamp,
    ) -> Result<bool> {
        if !from.may_become(to) {
            return Err(DbError::Transition { what: "image", from: from.as_str(), to: to.as_str() });
        }
        let sql = if to == ImageStatus::Queued {
            "UPDATE images SET previous_status = status, status = $3, updated_at = $4, size = $5, virtual_size = $6, \
             checksum = $7, os_hash_algo = $8, os_hash_value = $9 WHERE id = $1 AND status = $2"
        } else {
            "UPDATE images SET previous_status = status, status = $3, updated_at = $4, size = COALESCE($5, size), \
             virtual_size = COALESCE($6, virtual_size), checksum = COALESCE($7, checksum), \
             os_hash_algo = COALESCE($8, os_hash_algo), os_hash_value = COALESCE($9, os_hash_value) \
             WHERE id = $1 AND status = $2"
        };
        let rows = on!(self, c => sqlx::query(sql)
            .bind(id)
            .bind(from)
            .bind(to)
            .bind(now)
            .bind(change.size)
            .bind(change.virtual_size)
            .bind(&change.checksum)
            .bind(&change.os_hash_algo)
            .bind(&change.os_hash_value)
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }

    /// An image whose bytes are on the way is going to have so many.
    pub async fn expect_image_size(&mut self, id: &ImageId, size: i64) -> Result<()> {
        let sql = "UPDATE images SET size = $2 WHERE id = $1 AND status IN ('saving', 'importing')";
        on!(self, c => sqlx::query(sql).bind(id).bind(size).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Writes down what came to light of bytes that an image has, as far as its row does not say it yet.
    pub async fn learn_image(&mut self, id: &ImageId, found: &ImageChange, now: Timestamp) -> Result<()> {
        let sql = "UPDATE images SET updated_at = $2, size = COALESCE(size, $3), \
            virtual_size = COALESCE(virtual_size, $4), checksum = COALESCE(checksum, $5), \
            os_hash_algo = CASE WHEN os_hash_value IS NULL THEN $6 ELSE os_hash_algo END, \
            os_hash_value = COALESCE(os_hash_value, $7) WHERE id = $1";
        on!(self, c => sqlx::query(sql)
            .bind(id)
            .bind(now)
            .bind(found.size)
            .bind(found.virtual_size)
            .bind(&found.checksum)
            .bind(&found.os_hash_algo)
            .bind(&found.os_hash_value)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    /// What an image that is being deleted becomes again when that fails. `None`: it cannot.
    pub async fn set_image_past(&mut self, id: &ImageId, past: Option<ImageStatus>) -> Result<()> {
        let sql = "UPDATE images SET previous_status = $2 WHERE id = $1 AND status = $3";
        on!(self, c => sqlx::query(sql)
            .bind(id).bind(past).bind(ImageStatus::Deleted).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Removes the row; no other image gets its id. `false`: there was none.
    pub async fn remove_image(&mut self, id: &ImageId) -> Result<bool> {
        let rows = on!(self, c => sqlx::query("DELETE FROM images WHERE id = $1")
            .bind(id).execute(c).await.map(|done| done.rows_affected()))?;
        if rows == 1 {
            self.use_image_id_up(id).await?;
        }
        Ok(rows == 1)
    }
}
