//! An image as a user wants it to be: one property after the other is set, and the whole is checked at the end.

use serde_json::Value;

use super::property;
use crate::config;
use crate::db::Image;
use crate::image_api::fault::{Fault, Result};
use crate::image_api::request::Call;
use crate::model::{ImageStatus, ProjectId, Timestamp};

pub struct Draft {
    image: Image,
    is_admin: bool,
}

impl Draft {
    pub fn new(image: Image, call: &Call) -> Self {
        Self { image, is_admin: call.guard.is_admin() }
    }

    /// A base property, or a custom one that the image has.
    pub fn has(&self, name: &str) -> bool {
        property::is_base(name) || self.image.properties.0.contains_key(name)
    }

    /// Sets a property that may be written to a value that fits the schema: see [`property`].
    pub fn set(&mut self, name: &str, value: Value) -> Result<()> {
        let image = &mut self.image;
        match name {
            "name" => image.name = text(value),
            "visibility" => image.visibility = text(value).unwrap_or_default(),
            "protected" => image.protected = value == Value::Bool(true),
            "os_hidden" => image.os_hidden = value == Value::Bool(true),
            "min_ram" => image.min_ram = property::number(name, &value)?,
            "min_disk" => image.min_disk = property::number(name, &value)?,
            "disk_format" | "container_format" if is_settled(image, name) => {
                return Err(Fault::Forbidden(format!(
                    "Attribute {name} can be only replaced for a queued image."
                )));
            }
            "disk_format" => image.disk_format = text(value),
            "container_format" => image.container_format = text(value),
            "owner" => {
                let owner = text(value).map(ProjectId);
                if owner != image.project_id && !self.is_admin {
                    return Err(Fault::ForbiddenDetail("Owner can't be updated by non admin.".to_owned()));
                }
                image.project_id = owner;
            }
            "tags" => {
                let Value::Array(tags) = value else { return Ok(()) };
                image.tags.0 = tags.into_iter().filter_map(text).map(|tag| (tag, true)).collect();
            }
            custom => {
                property::check_custom_name(custom)?;
                image.properties.0.insert(custom.to_owned(), text(value).unwrap_or_default());
            }
        }
        Ok(())
    }

    /// Removes a custom property; base properties stay.
    pub fn remove(&mut self, name: &str) {
        self.image.properties.0.remove(name);
    }

    /// The image, unless it has more of something than it may.
    pub fn finished(mut self, limits: &config::Images, now: Timestamp) -> Result<Image> {
        let names = self.image.properties.0.keys();
        let own = names.filter(|name| !property::is_reserved(name)).count();
        within(own, limits.image_property_quota, "properties")?;
        within(self.image.tags.0.len(), limits.image_tag_quota, "tags")?;
        self.image.updated_at = now;
        Ok(self.image)
    }
}

/// A format that is there stays as soon as bytes are.
fn is_settled(image: &Image, format: &str) -> bool {
    let there = if format == "disk_format" { &image.disk_format } else { &image.container_format };
    image.status != ImageStatus::Queued && there.is_some()
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn within(attempted: usize, quota: i64, what: &str) -> Result<()> {
    match u64::try_from(quota) {
        Ok(maximum) if attempted as u64 > maximum => Err(Fault::TooLarge(format!(
            "The limit has been exceeded on the number of allowed image {what}. Attempted: {attempted}, \
             Maximum: {maximum}"
        ))),
        _ => Ok(()),
    }
}
