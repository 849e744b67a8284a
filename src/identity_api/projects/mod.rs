//! Projects.

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
use super::body::{Fields, invalid};
use super::fault::{Fault, Result};
use super::links::{Base, ListLinks, SelfLink};
use crate::db::{DbError, Project, Repository};
use crate::http::Query;
use crate::model::ProjectId;

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
pub(super) struct Projects {
    pub(super) projects: Vec<ProjectView>,
    pub(super) links: ListLinks,
}

#[derive(Serialize, ToSchema)]
pub(super) struct ProjectBody {
    project: ProjectView,
}

#[derive(Serialize, ToSchema)]
pub(super) struct ProjectView {
    /// What was given beside the attributes below.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    extra: Map<String, Value>,
    id: String,
    name: String,
    domain_id: String,
    description: String,
    enabled: bool,
    /// The domain: projects have no projects.
    parent_id: String,
    is_domain: bool,
    tags: Vec<String>,
    #[schema(value_type = Object)]
    options: Map<String, Value>,
    links: SelfLink,
}

impl ProjectView {
    pub(super) fn new(project: Project, base: &Base) -> Self {
        Self {
            links: SelfLink::new(base, &format!("projects/{}", project.id)),
            extra: project.extra.0,
            id: project.id.0,
            name: project.name,
            parent_id: project.domain_id.to_string(),
            domain_id: project.domain_id.0,
            description: project.description,
            enabled: project.enabled,
            is_domain: false,
            tags: Vec::new(),
            options: Map::new(),
        }
    }
}

async fn find(repository: &mut Repository, id: &str) -> Result<Project> {
    let found = repository.project(&ProjectId(id.to_owned())).await?;
    found.ok_or_else(|| Fault::Missing("project", id.to_owned()))
}

async fn find_to_change(repository: &mut Repository, id: &str) -> Result<Project> {
    let found = repository.project_to_change(&ProjectId(id.to_owned())).await?;
    found.ok_or_else(|| Fault::Missing("project", id.to_owned()))
}

/// What both creation and update may set.
fn fill(project: &mut Project, fields: &Fields<'_>) -> Result<()> {
    if let Some(enabled) = fields.boolean("enabled")? {
        project.enabled = enabled;
    }
    if let Some(description) = fields.optional("description", DESCRIPTION)? {
        project.description = description.unwrap_or_default();
    }
    for name in ["is_domain", "tags", "options"] {
        fields.without(name)?;
    }
    if fields.text("parent_id", 64)?.is_some_and(|parent| parent != project.domain_id.as_str()) {
        return Err(invalid("parent_id", "projects have no projects here, and it is not the domain"));
    }
    const KNOWN: &[&str] = &[
        "id",
        "name",
        "domain_id",
        "description",
        "enabled",
        "parent_id",
        "is_domain",
        "tags",
        "options",
        "links",
        "extra",
    ];
    project.extra.extend(fields.others(KNOWN));
    Ok(())
}

fn stored(error: DbError, project: &Project) -> Fault {
    match error {
        DbError::Exists => Fault::Conflict(
            "project",
            format!(
                "it is not permitted to have two projects with either the same name or same id in the same \
                 domain: name is {}, project id {}",
                project.name, project.id
            ),
        ),
        other => other.into(),
    }
}

/// The filter of that name, as the real service reads it: everything but these words is true.
pub(super) fn truth(query: &Query, key: &str) -> Option<bool> {
    query.last(key).map(|text| !matches!(text.to_ascii_lowercase().as_str(), "0" | "false" | "no" | "off"))
}
