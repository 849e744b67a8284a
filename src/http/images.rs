//! Which images a caller may know of. The Block Storage API asks too: volumes are made from images.

use crate::db::Image;
use crate::identity::policy::{Guard, Target, image};
use crate::model::{ImageStatus, ProjectId};

/// Whether an image is there for this project's callers, whatever their roles.
pub fn is_visible(image: &Image, guard: &Guard, project: &ProjectId) -> bool {
    image.status != ImageStatus::Deleted
        && (guard.is_admin()
            || matches!(image.visibility.as_str(), "public" | "community")
            || image.project_id.as_ref() == Some(project))
}

/// Whether the caller may look at an image.
pub fn may_get(image: &Image, guard: &Guard, project: &ProjectId) -> bool {
    is_visible(image, guard, project) && guard.allows(image::GET_IMAGE, &target(image))
}

/// An image as rules see it: its properties, where none of a user's can pass for one of ours.
pub fn target(image: &Image) -> Target {
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
        .with_option("member_id", None::<&str>)
        .with_option("name", image.name.as_deref())
        .with_truth("protected", image.protected)
        .with_truth("os_hidden", image.os_hidden)
        .with_option("container_format", image.container_format.as_deref())
        .with_option("disk_format", image.disk_format.as_deref())
        .with_option("size", image.size)
        .with("min_disk", image.min_disk)
        .with("min_ram", image.min_ram)
}

/// What a project is told that has as many images, or as much in them, as it may.
pub fn over_quota(project: &ProjectId, resource: &str, limit: i64, used: i64, more: i64) -> String {
    format!(
        "The request returned a 413 Request Entity Too Large. This generally means that rate limiting or a quota \
         threshold was breached.\n\nThe response body:\nProject {project} is over a limit for [Resource {resource} is \
         over limit of {limit} due to current usage {used} and delta {more}]"
    )
}
