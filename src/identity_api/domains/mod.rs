//! Domains.

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
use super::asker::Asker;
use super::body::Fields;
use super::fault::{Fault, Result};
use super::links::{Base, ListLinks, SelfLink};
use crate::db::{DbError, Domain, Repository};
use crate::identity::standalone::accounts::DEFAULT_DOMAIN;
use crate::model::DomainId;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list::list, create::create)).routes(routes!(
        show::show,
        update::update,
        delete::delete
    ))
}

/// Characters in a name.
const NAME: usize = 64;
/// Characters in a description.
const DESCRIPTION: usize = 65_535;

#[derive(Serialize, ToSchema)]
pub(super) struct Domains {
    pub(super) domains: Vec<DomainView>,
    pub(super) links: ListLinks,
}

#[derive(Serialize, ToSchema)]
pub(super) struct DomainBody {
    domain: DomainView,
}

#[derive(Serialize, ToSchema)]
pub(super) struct DomainView {
    id: String,
    name: String,
    description: String,
    enabled: bool,
    tags: Vec<String>,
    #[schema(value_type = Object)]
    options: Map<String, Value>,
    links: SelfLink,
}

impl DomainView {
    pub(super) fn new(domain: Domain, base: &Base) -> Self {
        Self {
            links: SelfLink::new(base, &format!("domains/{}", domain.id)),
            id: domain.id.0,
            name: domain.name,
            description: domain.description,
            enabled: domain.enabled,
            tags: Vec::new(),
            options: Map::new(),
        }
    }
}

async fn find(repository: &mut Repository, id: &str) -> Result<Domain> {
    let found = repository.domain(&DomainId(id.to_owned())).await?;
    found.ok_or_else(|| Fault::Missing("domain", id.to_owned()))
}

async fn find_to_change(repository: &mut Repository, id: &str) -> Result<Domain> {
    let found = repository.domain_to_change(&DomainId(id.to_owned())).await?;
    found.ok_or_else(|| Fault::Missing("domain", id.to_owned()))
}

/// The domain a new user or project is to be in: that of the token, where it is for one, unless another is named.
pub(super) async fn named_in(
    repository: &mut Repository,
    fields: &Fields<'_>,
    asker: &Asker,
) -> Result<DomainId> {
    let id = fields.text("domain_id", 64)?.or_else(|| asker.0.caller.domain_id.clone());
    let id = id.unwrap_or_else(|| DEFAULT_DOMAIN.to_owned());
    match repository.domain(&DomainId(id.clone())).await? {
        Some(domain) => Ok(domain.id),
        None => Err(Fault::Invalid(format!("Could not find domain: {id}."))),
    }
}

/// What both creation and update may set.
fn fill(domain: &mut Domain, fields: &Fields<'_>) -> Result<()> {
    if let Some(enabled) = fields.boolean("enabled")? {
        domain.enabled = enabled;
    }
    if let Some(description) = fields.optional("description", DESCRIPTION)? {
        domain.description = description.unwrap_or_default();
    }
    Ok(())
}

fn stored(error: DbError, domain: &Domain) -> Fault {
    match error {
        DbError::Exists => {
            Fault::Conflict("domain", format!("Duplicate entry found with name {}", domain.name))
        }
        other => other.into(),
    }
}
