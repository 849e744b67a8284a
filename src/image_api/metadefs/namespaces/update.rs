use axum::Json;
use axum::extract::State;

use super::super::{check, find_to_change};
use super::NamespaceView;
use crate::db::DbError;
use crate::http::App;
use crate::identity::policy::image as rules;
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::request::{Call, InPath, JsonBody};
use crate::model::ProjectId;

/// Changes what is said of the namespace itself. What the body leaves out is as it would be in a new one; what is in
/// the namespace stays.
#[utoipa::path(
    put, path = "/v2/metadefs/namespaces/{namespace}", tag = "metadefs", operation_id = "update_namespace",
    params(("namespace" = String, Path, description = "Name of the namespace")),
    request_body(content = Object, description = "See `/v2/schemas/metadefs/namespace`"),
    responses(
        (status = 200, description = "The namespace", body = NamespaceView),
        (status = 400, description = "The body does not fit the schema", body = FaultBody),
        (status = 403, description = "The policy does not allow it", body = FaultBody),
        (status = 404, description = "There is no such namespace", body = FaultBody),
        (status = 409, description = "The new name is taken", body = FaultBody),
    )
)]
pub async fn update(
    State(app): State<App>,
    call: Call,
    InPath(name): InPath<String>,
    JsonBody(body): JsonBody,
) -> Result<Json<NamespaceView>> {
    let wanted = super::parse(body)?;
    let mut repository = app.database.begin().await?;
    let mut namespace = find_to_change(&mut repository, &call, &name).await?;
    check(&call, rules::MODIFY_METADEF_NAMESPACE, Some(&namespace))?;
    namespace.name = wanted.name;
    namespace.display_name = wanted.display_name;
    namespace.description = wanted.description;
    namespace.visibility = wanted.visibility;
    namespace.protected = wanted.protected;
    namespace.project_id = Some(wanted.owner.map_or_else(|| call.project_id().clone(), ProjectId));
    namespace.updated_at = app.world.now();
    repository.update_metadef_namespace(&namespace).await.map_err(|error| match error {
        DbError::Exists => Fault::Conflict(format!(
            "Invalid update. It would result in a duplicate metadata definition namespace with the same name of {}",
            namespace.name
        )),
        other => other.into(),
    })?;
    repository.commit().await?;
    Ok(Json(namespace.into()))
}
