//! An image as a user wants it to be: one property after the other is set, and the whole is checked at the end.

use serde_json::Value;

use super::{custom, property};
use crate::config;
use crate::db::Image;
use crate::http::images;
use crate::identity::policy::{Access, Guard};
use crate::image_api::fault::{Fault, Result};
use crate::image_api::request::Call;
use crate::model::{ImageStatus, ProjectId, Timestamp};

pub struct Draft {
    image: Image,
    guard: Guard,
}

impl Draft {
    pub(in crate::image_api) fn new(image: Image, call: &Call) -> Self {
        Self { image, guard: call.guard.clone() }
    }

    /// For what is no property.
    pub fn image_mut(&mut self) -> &mut Image {
        &mut self.image
    }

    /// A base property, or a custom one that the image has, and the caller may see.
    pub fn has(&self, name: &str) -> bool {
        let has_custom = || self.image.properties.0.contains_key(name);
        property::is_base(name) || (has_custom() && self.guard.allows_property(Access::Read, name))
    }

    /// Sets a property that may be written to a value that fits the schema: see [`property`].
    pub fn set(&mut self, name: &str, value: Value) -> Result<()> {
        let access = if self.has(name) { Access::Update } else { Access::Create };
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
                if owner != image.project_id && !self.guard.is_admin() {
                    return Err(Fault::ForbiddenDetail("Owner can't be updated by non admin.".to_owned()));
                }
                image.project_id = owner;
            }
            "tags" => {
                let Value::Array(tags) = value else { return Ok(()) };
                image.tags.0 = tags.into_iter().filter_map(text).map(|tag| (tag, true)).collect();
            }
            name => {
                property::check_custom_name(name)?;
                check_access(&self.guard, access, name)?;
                image.properties.0.insert(name.to_owned(), custom::kept(value));
            }
        }
        Ok(())
    }

    /// Removes a custom property; base properties stay.
    pub fn remove(&mut self, name: &str) -> Result<()> {
        check_access(&self.guard, Access::Delete, name)?;
        self.image.properties.0.remove(name);
        Ok(())
    }

    /// The image, unless it has more of something than it may.
    pub fn finished(mut self, limits: &config::Images, now: Timestamp) -> Result<Image> {
        let names = self.image.properties.0.keys();
        let own = names.filter(|name| !property::is_reserved(name)).count();
        images::check_properties(&self.image.properties.0, own, limits.image_property_quota)
            .and_then(|()| images::check_count(self.image.tags.0.len(), limits.image_tag_quota, "tags"))
            .map_err(Fault::TooLarge)?;
        self.image.updated_at = now;
        Ok(self.image)
    }
}

fn check_access(guard: &Guard, access: Access, name: &str) -> Result<()> {
    match guard.allows_property(access, name) {
        true => Ok(()),
        false => Err(Fault::Forbidden(format!("Attribute '{name}' is reserved."))),
    }
}

/// A format that is there stays as soon as bytes are. One that is not can still be said of staged bytes, which
/// nobody has looked at yet.
fn is_settled(image: &Image, format: &str) -> bool {
    let there = if format == "disk_format" { &image.disk_format } else { &image.container_format };
    match image.status {
        ImageStatus::Queued => false,
        ImageStatus::Uploading => there.is_some(),
        _ => true,
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}
