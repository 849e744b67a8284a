//! Which types QoS specs belong to. All four requests are GET, also those that change it.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::fault::{Fault, answer, empty};
use super::super::request::Call;
use super::super::types;
use super::{find, find_to_change};
use crate::http::App;
use crate::identity::policy::volume as rules;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(associate))
        .routes(routes!(disassociate))
        .routes(routes!(disassociate_all))
}

#[derive(Serialize, ToSchema)]
#[schema(as = QosAssociation)]
struct Association<'a> {
    association_type: &'static str,
    name: &'a str,
    id: &'a str,
}

#[derive(Serialize, ToSchema)]
#[schema(as = QosAssociations)]
struct Many<'a> {
    qos_associations: Vec<Association<'a>>,
}

#[utoipa::path(
    get, path = "/v3/qos-specs/{qos_id}/associations", tag = "qos-specs", operation_id = "list_qos_associations",
    params(("qos_id" = String, Path)),
    responses(
        (status = 200, body = Many),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such QoS specs"),
    ),
)]
async fn list(State(app): State<App>, call: Call, Path(id): Path<String>) -> Result<Response, Fault> {
    call.check_own(rules::QOS_GET_ALL)?;
    let mut repository = app.database.read().await?;
    let specs = find(&mut repository, &id).await?;
    let types = repository.volume_types_of_qos_specs(&specs.id).await?;
    let qos_associations = types
        .iter()
        .map(|volume_type| Association {
            association_type: "volume_type",
            name: &volume_type.name,
            id: volume_type.id.as_str(),
        })
        .collect();
    Ok(answer(StatusCode::OK, &Many { qos_associations }))
}

#[utoipa::path(
    get, path = "/v3/qos-specs/{qos_id}/associate", tag = "qos-specs", operation_id = "associate_qos_specs",
    params(("qos_id" = String, Path), ("vol_type_id" = String, Query)),
    responses(
        (status = 202, description = "They belong to the type"),
        (status = 400, description = "No type is named, or other QoS specs belong to it"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such QoS specs, or no such type"),
    ),
)]
async fn associate(State(app): State<App>, call: Call, Path(id): Path<String>) -> Result<Response, Fault> {
    call.check_own(rules::QOS_UPDATE)?;
    let type_id = type_id(&call)?;
    let mut repository = app.database.begin().await?;
    let specs = find_to_change(&mut repository, &id).await?;
    let mut volume_type = types::find_to_change(&mut repository, &call, type_id).await?;
    match &volume_type.qos_specs_id {
        Some(already) if *already == specs.id => return Ok(empty(StatusCode::ACCEPTED)),
        Some(other) => {
            return Err(Fault::InvalidVolumeType(format!(
                "Type {type_id} is already associated with another qos specs: {other}"
            )));
        }
        None => {}
    }
    volume_type.qos_specs_id = Some(specs.id);
    volume_type.updated_at = Some(app.world.now());
    repository.update_volume_type(&volume_type).await?;
    repository.commit().await?;
    Ok(empty(StatusCode::ACCEPTED))
}

#[utoipa::path(
    get, path = "/v3/qos-specs/{qos_id}/disassociate", tag = "qos-specs", operation_id = "disassociate_qos_specs",
    params(("qos_id" = String, Path), ("vol_type_id" = String, Query)),
    responses(
        (status = 202, description = "They do not belong to the type"),
        (status = 400, description = "No type is named"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such QoS specs, or no such type"),
    ),
)]
async fn disassociate(State(app): State<App>, call: Call, Path(id): Path<String>) -> Result<Response, Fault> {
    call.check_own(rules::QOS_UPDATE)?;
    let type_id = type_id(&call)?;
    let mut repository = app.database.begin().await?;
    let specs = find_to_change(&mut repository, &id).await?;
    let volume_type = types::find_to_change(&mut repository, &call, type_id).await?;
    repository.disassociate_qos_specs(&specs.id, Some(&volume_type.id), app.world.now()).await?;
    repository.commit().await?;
    Ok(empty(StatusCode::ACCEPTED))
}

#[utoipa::path(
    get, path = "/v3/qos-specs/{qos_id}/disassociate_all", tag = "qos-specs",
    operation_id = "disassociate_qos_specs_from_all",
    params(("qos_id" = String, Path)),
    responses(
        (status = 202, description = "They belong to no type"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such QoS specs"),
    ),
)]
async fn disassociate_all(
    State(app): State<App>,
    call: Call,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    call.check_own(rules::QOS_UPDATE)?;
    let mut repository = app.database.begin().await?;
    let specs = find_to_change(&mut repository, &id).await?;
    repository.disassociate_qos_specs(&specs.id, None, app.world.now()).await?;
    repository.commit().await?;
    Ok(empty(StatusCode::ACCEPTED))
}

fn type_id(call: &Call) -> Result<&str, Fault> {
    let given = call.query.last("vol_type_id").filter(|id| !id.is_empty());
    given.ok_or_else(|| Fault::Invalid("Volume Type id must not be None.".to_owned()))
}
