//! Which images a caller may know of. The Block Storage API asks too: volumes are made from images.

use std::collections::BTreeMap;

use crate::db::{DbError, Image, Repository};
use crate::identity::policy::{Guard, Target, image};
use crate::model::{ImageStatus, ProjectId};

/// Bytes of all properties of an image: what one request may say of one. Each volume made from it has a copy.
pub const LARGEST_PROPERTIES: usize = 1 << 20;

/// Whether an image is there for this project's callers, whatever their roles. What it is shared with they see
/// whatever they said to it.
pub async fn is_visible(
    repository: &mut Repository,
    image: &Image,
    guard: &Guard,
    project: &ProjectId,
) -> Result<bool, DbError> {
    if image.status == ImageStatus::Deleted {
        return Ok(false);
    }
    let is_for_all = matches!(image.visibility.as_str(), "public" | "community");
    if guard.is_admin() || is_for_all || image.project_id.as_ref() == Some(project) {
        return Ok(true);
    }
    Ok(image.visibility == "shared" && repository.image_member(&image.id, project).await?.is_some())
}

/// Whether the caller may look at an image.
pub async fn may_get(
    repository: &mut Repository,
    image: &Image,
    guard: &Guard,
    project: &ProjectId,
) -> Result<bool, DbError> {
    Ok(is_visible(repository, image, guard, project).await?
        && guard.allows(image::GET_IMAGE, &target(image, project)))
}

/// An image as rules see it: its properties, where none of a user's can pass for one of ours. Who sees a `shared`
/// image of another project is a member, or may see all.
pub fn target(image: &Image, project: &ProjectId) -> Target {
    let is_member = image.visibility == "shared" && image.project_id.as_ref() != Some(project);
    let properties = image.properties.0.iter();
    let target = properties.fold(Target::new(), |target, (name, value)| target.with(name, value));
    let owner = image.project_id.as_ref().map(|id| id.as_str());
    target
        .with("id", &image.id)
        .with("image_id", &image.id)
        .with("status", image.status)
        .with("visibility", &image.visibility)
        .with_option("owner", owner)
        .with_option("project_id", owner)
        .with_option("member_id", is_member.then(|| project.as_str()))
        .with_option("name", image.name.as_deref())
        .with_truth("protected", image.protected)
        .with_truth("os_hidden", image.os_hidden)
        .with_option("container_format", image.container_format.as_deref())
        .with_option("disk_format", image.disk_format.as_deref())
        .with_option("size", image.size)
        .with("min_disk", image.min_disk)
        .with("min_ram", image.min_ram)
}

/// Bytes of properties.
pub fn size_of(properties: &BTreeMap<String, String>) -> usize {
    properties.iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// What is wrong with so many properties, `own` of which count, or with such large ones.
pub fn check_properties(properties: &BTreeMap<String, String>, own: usize, quota: i64) -> Result<(), String> {
    check_count(own, quota, "properties")?;
    let bytes = size_of(properties);
    if bytes > LARGEST_PROPERTIES {
        return Err(format!(
            "The limit has been exceeded on the size of all image properties. Attempted: {bytes} bytes, Maximum: \
             {LARGEST_PROPERTIES} bytes"
        ));
    }
    Ok(())
}

/// What is wrong with so many of something; a quota below 0 is none.
pub fn check_count(attempted: usize, quota: i64, what: &str) -> Result<(), String> {
    match u64::try_from(quota) {
        Ok(maximum) if attempted as u64 > maximum => Err(format!(
            "The limit has been exceeded on the number of allowed image {what}. Attempted: {attempted}, Maximum: \
             {maximum}"
        )),
        _ => Ok(()),
    }
}

/// What a project is told that has as many images, or as much in them, as it may.
pub fn over_quota(project: &ProjectId, resource: &str, limit: i64, used: i64, more: i64) -> String {
    format!(
        "The request returned a 413 Request Entity Too Large. This generally means that rate limiting or a quota \
         threshold was breached.\n\nThe response body:\nProject {project} is over a limit for [Resource {resource} is \
         over limit of {limit} due to current usage {used} and delta {more}]"
    )
}
