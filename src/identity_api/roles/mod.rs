//! Roles.

mod create;
mod delete;
mod list;
mod show;
mod update;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::fault::{Fault, Result};
use super::links::{Base, ListLinks, SelfLink};
use crate::db::{DbError, Repository, Role};
use crate::model::RoleId;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list::list, create::create)).routes(routes!(
        show::show,
        update::update,
        delete::delete
    ))
}

/// Characters in a name.
const NAME: usize = 255;
/// Characters in a description.
const DESCRIPTION: usize = 255;
/// The rules of the APIs know these by name: they stay what they are.
const IMMUTABLE: &[&str] = &["admin", "manager", "member", "reader", "service"];

#[derive(Serialize, ToSchema)]
pub(super) struct Roles {
    pub(super) roles: Vec<RoleView>,
    pub(super) links: ListLinks,
}

#[derive(Serialize, ToSchema)]
pub(super) struct RoleBody {
    role: RoleView,
}

#[derive(Serialize, ToSchema)]
pub(super) struct RoleView {
    id: String,
    name: String,
    domain_id: Option<String>,
    description: Option<String>,
    #[schema(value_type = Object)]
    options: Map<String, Value>,
    links: SelfLink,
}

impl RoleView {
    pub(super) fn new(role: Role, base: &Base) -> Self {
        let options = IMMUTABLE.contains(&role.name.as_str()).then(|| ("immutable".to_owned(), true.into()));
        Self {
            links: SelfLink::new(base, &format!("roles/{}", role.id)),
            id: role.id.0,
            name: role.name,
            domain_id: None,
            description: role.description,
            options: options.into_iter().collect(),
        }
    }
}

pub(super) async fn find(repository: &mut Repository, id: &str) -> Result<Role> {
    let found = repository.role(&RoleId(id.to_owned())).await?;
    found.ok_or_else(|| Fault::Missing("role", id.to_owned()))
}

/// Likewise, of one that may change.
async fn find_mutable(repository: &mut Repository, id: &str) -> Result<Role> {
    let role = find(repository, id).await?;
    if IMMUTABLE.contains(&role.name.as_str()) {
        return Err(Fault::Refused("Cannot change or delete an immutable role."));
    }
    Ok(role)
}

fn stored(error: DbError, role: &Role) -> Fault {
    match error {
        DbError::Exists => Fault::Conflict("role", format!("Duplicate entry found with name {}", role.name)),
        other => other.into(),
    }
}
