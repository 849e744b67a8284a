//! Members: projects that a `shared` image was given to.

pub(super) mod create;
pub(super) mod delete;
pub(super) mod list;
pub(super) mod show;
pub(super) mod update;

use serde::Serialize;
use utoipa::ToSchema;

use super::fault::{Fault, Result};
use super::images::{find, find_to_change};
use super::request::Call;
use crate::db::{Image, ImageMember, Repository};
use crate::identity::policy::{Rule, image as rules};
use crate::model::{ImageId, MemberStatus, ProjectId};

#[derive(Serialize, ToSchema)]
#[schema(title = "Member")]
pub struct MemberView {
    /// A project.
    #[schema(value_type = String)]
    member_id: ProjectId,
    #[schema(value_type = String)]
    image_id: ImageId,
    /// `pending`, `accepted` or `rejected`.
    #[schema(value_type = String)]
    status: MemberStatus,
    created_at: String,
    updated_at: String,
    schema: &'static str,
}

impl From<ImageMember> for MemberView {
    fn from(member: ImageMember) -> Self {
        Self {
            member_id: member.member_id,
            image_id: member.image_id,
            status: member.status,
            created_at: member.created_at.to_seconds(),
            updated_at: member.updated_at.to_seconds(),
            schema: "/v2/schemas/member",
        }
    }
}

/// The image, which only has members while it is `shared`; `verb` is what was asked to be done with them.
async fn of_shared(repository: &mut Repository, call: &Call, id: &str, verb: &str) -> Result<Image> {
    shared(find(repository, call, id).await, id, verb)
}

/// As [`of_shared`], and nobody else changes the image before the transaction ends.
async fn of_shared_to_change(
    repository: &mut Repository,
    call: &Call,
    id: &str,
    verb: &str,
) -> Result<Image> {
    shared(find_to_change(repository, call, id).await, id, verb)
}

fn shared(found: Result<Image>, id: &str, verb: &str) -> Result<Image> {
    match found {
        Ok(image) if image.visibility == "shared" => Ok(image),
        Ok(_) => Err(Fault::Forbidden(format!("Not allowed to {verb} members for image {id}."))),
        Err(Fault::NotFound(_)) => Err(Fault::NotFound(format!("Image {id} not found."))),
        Err(other) => Err(other),
    }
}

/// Refuses what the rule does not allow. To everybody who may not even look at the image it is not there.
fn check(call: &Call, rule: Rule, image: &Image) -> Result<()> {
    call.check_image(rules::GET_IMAGE, image)?;
    call.check_image(rule, image)
}

/// A member, if the caller may know of it: who does not own the image knows of themselves only.
async fn member(repository: &mut Repository, call: &Call, image: &Image, id: &str) -> Result<ImageMember> {
    check(call, rules::GET_MEMBER, image)?;
    // PostgreSQL has no text with NUL to compare with.
    if id.contains('\0') {
        return Err(missing(&image.id, id));
    }
    let member = repository.image_member(&image.id, &ProjectId(id.to_owned())).await?;
    member.filter(|member| is_known(call, image, member)).ok_or_else(|| missing(&image.id, id))
}

fn missing(image: &ImageId, id: &str) -> Fault {
    Fault::NotFound(format!("{id} not found in the member list of the image {image}."))
}

fn is_known(call: &Call, image: &Image, member: &ImageMember) -> bool {
    let project = call.project_id();
    call.guard.is_admin() || image.project_id.as_ref() == Some(project) || member.member_id == *project
}
