//! Users.

mod create;
mod delete;
mod list;
mod password;
mod projects;
mod show;
mod update;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::body::Fields;
use super::fault::{Fault, Result};
use super::links::{Base, ListLinks, SelfLink};
use crate::db::{DbError, Repository, User};
use crate::model::{ProjectId, UserId};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(show::show, update::update, delete::delete))
        .routes(routes!(password::change))
        .routes(routes!(projects::list))
}

/// Characters in a name.
const NAME: usize = 255;
/// Characters in a password.
const PASSWORD: usize = 4096;

#[derive(Serialize, ToSchema)]
pub(super) struct Users {
    users: Vec<UserView>,
    links: ListLinks,
}

#[derive(Serialize, ToSchema)]
pub(super) struct UserBody {
    user: UserView,
}

#[derive(Serialize, ToSchema)]
struct UserView {
    /// What was given beside the attributes below, such as `email` and `description`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    extra: Map<String, Value>,
    id: String,
    name: String,
    domain_id: String,
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_project_id: Option<String>,
    password_expires_at: Option<String>,
    #[schema(value_type = Object)]
    options: Map<String, Value>,
    links: SelfLink,
}

impl UserView {
    fn new(user: User, base: &Base) -> Self {
        Self {
            links: SelfLink::new(base, &format!("users/{}", user.id)),
            extra: user.extra.0,
            id: user.id.0,
            name: user.name,
            domain_id: user.domain_id.0,
            enabled: user.enabled,
            default_project_id: user.default_project_id.map(|id| id.0),
            password_expires_at: None,
            options: Map::new(),
        }
    }
}

async fn find(repository: &mut Repository, id: &str) -> Result<User> {
    let found = repository.user(&UserId(id.to_owned())).await?;
    found.ok_or_else(|| Fault::Missing("user", id.to_owned()))
}

async fn find_to_change(repository: &mut Repository, id: &str) -> Result<User> {
    let found = repository.user_to_change(&UserId(id.to_owned())).await?;
    found.ok_or_else(|| Fault::Missing("user", id.to_owned()))
}

/// What both creation and update may set; not the password.
fn fill(user: &mut User, fields: &Fields<'_>) -> Result<()> {
    if let Some(enabled) = fields.boolean("enabled")? {
        user.enabled = enabled;
    }
    if let Some(default) = fields.optional("default_project_id", NAME)? {
        user.default_project_id = default.map(ProjectId);
    }
    fields.without("options")?;
    const KNOWN: &[&str] = &[
        "id",
        "name",
        "domain_id",
        "enabled",
        "default_project_id",
        "password",
        "original_password",
        "options",
        "links",
        "password_expires_at",
        "federated",
        "extra",
    ];
    user.extra.extend(fields.others(KNOWN));
    Ok(())
}

fn stored(error: DbError, user: &User) -> Fault {
    match error {
        DbError::Exists => Fault::Conflict(
            "user",
            format!("Duplicate entry found with name {} at domain ID {}", user.name, user.domain_id),
        ),
        other => other.into(),
    }
}
