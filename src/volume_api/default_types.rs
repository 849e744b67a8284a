//! `/default-types`: the type of a project's volumes when a request does not say; since 3.62.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::fault::{Fault, answer, empty_json};
use super::microversion::Microversion;
use super::request::{Body, Call};
use super::schema::object_of;
use super::types;
use crate::config::IdentityMode;
use crate::db::{DefaultVolumeType, Repository};
use crate::http::App;
use crate::identity::policy::{Rule, Target, volume as rules};
use crate::model::ProjectId;

/// No project's id is longer.
const LONGEST: usize = 255;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show, set, unset))
}

#[derive(Serialize, ToSchema)]
#[schema(as = DefaultType)]
struct View<'a> {
    project_id: &'a str,
    volume_type_id: &'a str,
}

impl<'a> View<'a> {
    fn new(default: &'a DefaultVolumeType) -> Self {
        Self { project_id: default.project_id.as_str(), volume_type_id: default.volume_type_id.as_str() }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = OneDefaultType)]
struct One<'a> {
    default_type: View<'a>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DefaultTypes)]
struct Many<'a> {
    default_types: Vec<View<'a>>,
}

#[utoipa::path(
    get, path = "/v3/default-types", tag = "default-types", operation_id = "list_default_types",
    description = "Since 3.62.",
    responses(
        (status = 200, body = Many),
        (status = 403, description = "The policy does not allow it"),
    ),
)]
async fn list(State(app): State<App>, call: Call) -> Result<Response, Fault> {
    call.since(Microversion::DEFAULT_TYPES)?;
    call.check_own(rules::DEFAULT_TYPE_GET_ALL)?;
    let defaults = app.database.read().await?.default_volume_types().await?;
    Ok(answer(StatusCode::OK, &Many { default_types: defaults.iter().map(View::new).collect() }))
}

#[utoipa::path(
    get, path = "/v3/default-types/{project_id}", tag = "default-types", operation_id = "show_default_type",
    description = "Since 3.62.",
    params(("project_id" = String, Path)),
    responses(
        (status = 200, body = One),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such project, or it has none of its own"),
    ),
)]
async fn show(State(app): State<App>, call: Call, Path(project): Path<String>) -> Result<Response, Fault> {
    let project_id = permitted(&call, project, rules::DEFAULT_TYPE_GET)?;
    let mut repository = app.database.read().await?;
    check_known(&mut repository, &app, &project_id).await?;
    let found = repository.default_volume_type(&project_id).await?;
    let volume_type_id =
        found.ok_or_else(|| Fault::NoSuch(format!("Default type for project {project_id} not found.")))?;
    let default = DefaultVolumeType { project_id, volume_type_id };
    Ok(answer(StatusCode::OK, &One { default_type: View::new(&default) }))
}

#[utoipa::path(
    put, path = "/v3/default-types/{project_id}", tag = "default-types", operation_id = "set_default_type",
    description = "Since 3.62. `volume_type` is an id or a name.",
    params(("project_id" = String, Path)),
    request_body = Object,
    responses(
        (status = 200, body = One),
        (status = 400, description = "The body is not usable, or there is no such type"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such project"),
    ),
)]
async fn set(
    State(app): State<App>,
    call: Call,
    Path(project): Path<String>,
    Body(body): Body,
) -> Result<Response, Fault> {
    call.since(Microversion::DEFAULT_TYPES)?;
    let name = object_of(&body, "default_type", |wanted| {
        let name = wanted.name("volume_type")?;
        wanted.require("volume_type")?;
        wanted.only(&["volume_type"])?;
        Ok(name.unwrap_or_default())
    })?;
    let project_id = permitted(&call, project, rules::DEFAULT_TYPE_SET)?;
    let mut repository = app.database.begin().await?;
    check_known(&mut repository, &app, &project_id).await?;
    let volume_type = match types::by_id_or_name(&mut repository, &call, name).await {
        // What the body names is not what the path names.
        Err(missing @ Fault::Missing(..)) => return Err(Fault::Invalid(missing.to_string())),
        found => found?,
    };
    let default = DefaultVolumeType { project_id, volume_type_id: volume_type.id };
    repository.set_default_volume_type(&default).await?;
    repository.commit().await?;
    Ok(answer(StatusCode::OK, &One { default_type: View::new(&default) }))
}

#[utoipa::path(
    delete, path = "/v3/default-types/{project_id}", tag = "default-types", description = "Since 3.62.",
    operation_id = "unset_default_type",
    params(("project_id" = String, Path)),
    responses(
        (status = 204, description = "It has none of its own"),
        (status = 403, description = "The policy does not allow it"),
    ),
)]
async fn unset(State(app): State<App>, call: Call, Path(project): Path<String>) -> Result<Response, Fault> {
    let project_id = permitted(&call, project, rules::DEFAULT_TYPE_UNSET)?;
    let mut repository = app.database.begin().await?;
    repository.unset_default_volume_type(&project_id).await?;
    repository.commit().await?;
    Ok(empty_json(StatusCode::NO_CONTENT))
}

/// Refuses a project that is not there, where it is ours to know.
async fn check_known(repository: &mut Repository, app: &App, project: &ProjectId) -> Result<(), Fault> {
    let is_known = match app.config.identity.mode {
        IdentityMode::Standalone => repository.project(project).await?.is_some(),
        IdentityMode::Keystone | IdentityMode::None => project.as_str().chars().count() <= LONGEST,
    };
    if is_known { Ok(()) } else { Err(Fault::NoSuch(format!("Project with id {project} not found."))) }
}

/// The rule is asked about the project in the path, whoever's it is.
fn permitted(call: &Call, project: String, rule: Rule) -> Result<ProjectId, Fault> {
    call.since(Microversion::DEFAULT_TYPES)?;
    call.check(rule, &Target::new().with("project_id", &project))?;
    Ok(ProjectId(project))
}
