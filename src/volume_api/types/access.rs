//! `/types/{type_id}/os-volume-type-access`, and the actions that change it: which projects may use a private type.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::fault::{Fault, answer, empty};
use super::super::request::{Body, Call};
use super::super::schema::only_object;
use super::super::volumes::only_key;
use super::{find, find_to_change};
use crate::db::{DbError, Repository, VolumeType};
use crate::http::App;
use crate::identity::policy::{Rule, volume as rules};
use crate::model::ProjectId;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(act))
}

#[derive(Serialize, ToSchema)]
struct Access<'a> {
    volume_type_id: &'a str,
    project_id: &'a str,
}

#[derive(Serialize, ToSchema)]
#[schema(as = VolumeTypeAccess)]
struct Many<'a> {
    volume_type_access: Vec<Access<'a>>,
}

#[utoipa::path(
    get, path = "/v3/types/{type_id}/os-volume-type-access", tag = "types", operation_id = "list_type_access",
    params(("type_id" = String, Path)),
    responses(
        (status = 200, body = Many),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such type, or a public one"),
    ),
)]
async fn list(State(app): State<App>, call: Call, Path(id): Path<String>) -> Result<Response, Fault> {
    call.check_own(rules::TYPE_ACCESS_GET_ALL)?;
    let mut repository = app.database.read().await?;
    let volume_type = find(&mut repository, &call, &id).await?;
    if volume_type.is_public {
        return Err(Fault::NoSuch("Access list not available for public volume types.".to_owned()));
    }
    let projects = repository.volume_type_projects(&volume_type.id).await?;
    let access =
        |project| Access { volume_type_id: volume_type.id.as_str(), project_id: ProjectId::as_str(project) };
    Ok(answer(StatusCode::OK, &Many { volume_type_access: projects.iter().map(access).collect() }))
}

#[utoipa::path(
    post, path = "/v3/types/{type_id}/action", tag = "types", operation_id = "act_on_type",
    description = "One action, named by the only key of the body: `addProjectAccess` or `removeProjectAccess`, with \
        a `project`.",
    params(("type_id" = String, Path)),
    request_body = Object,
    responses(
        (status = 202, description = "It is done"),
        (status = 400, description = "No such action, or the type is public"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such type, or the project had no access"),
        (status = 409, description = "The project has access already"),
    ),
)]
async fn act(
    State(app): State<App>,
    call: Call,
    Path(id): Path<String>,
    Body(body): Body,
) -> Result<Response, Fault> {
    match only_key(&body)? {
        "addProjectAccess" => add(&app, &call, &id, &body).await,
        "removeProjectAccess" => remove(&app, &call, &id, &body).await,
        unknown => Err(Fault::NoSuchAction(unknown.to_owned())),
    }
}

async fn add(app: &App, call: &Call, id: &str, body: &Value) -> Result<Response, Fault> {
    let project = project(body, "addProjectAccess")?;
    let (mut repository, volume_type) = private_type(app, call, id, rules::TYPE_ACCESS_ADD).await?;
    repository.grant_volume_type(&volume_type.id, &project, app.world.now()).await.map_err(|error| {
        match error {
            DbError::Exists => Fault::Exists(format!(
                "Volume type access for {} / {project} combination already exists.",
                volume_type.id
            )),
            other => other.into(),
        }
    })?;
    repository.commit().await?;
    Ok(empty(StatusCode::ACCEPTED))
}

async fn remove(app: &App, call: &Call, id: &str, body: &Value) -> Result<Response, Fault> {
    let project = project(body, "removeProjectAccess")?;
    let (mut repository, volume_type) = private_type(app, call, id, rules::TYPE_ACCESS_REMOVE).await?;
    if !repository.revoke_volume_type(&volume_type.id, &project).await? {
        return Err(Fault::NoSuch(format!(
            "Volume type access not found for {} / {project} combination.",
            volume_type.id
        )));
    }
    repository.commit().await?;
    Ok(empty(StatusCode::ACCEPTED))
}

fn project(body: &Value, action: &str) -> Result<ProjectId, Fault> {
    only_object(body, action, |action| {
        let project = action.plain_text("project", 1)?;
        action.require("project")?;
        action.only(&["project"])?;
        Ok(ProjectId(project.unwrap_or_default().to_owned()))
    })
}

/// To change who may use it: everybody may use a public one.
async fn private_type(
    app: &App,
    call: &Call,
    id: &str,
    rule: Rule,
) -> Result<(Repository, VolumeType), Fault> {
    call.check_own(rule)?;
    let mut repository = app.database.begin().await?;
    let volume_type = find_to_change(&mut repository, call, id).await?;
    if volume_type.is_public {
        return Err(Fault::InvalidVolumeType(
            "Type access modification is not applicable to public volume type.".to_owned(),
        ));
    }
    Ok((repository, volume_type))
}
