use axum::extract::State;
use axum::http::StatusCode;

use super::super::items::is_protected;
use super::super::{check, find_to_change};
use crate::http::App;
use crate::identity::policy::image as rules;
use crate::image_api::fault::{FaultBody, Result};
use crate::image_api::request::{Call, InPath, NoBody};

/// Deletes the namespace with all that is in it.
#[utoipa::path(
    delete, path = "/v2/metadefs/namespaces/{namespace}", tag = "metadefs", operation_id = "delete_namespace",
    params(("namespace" = String, Path, description = "Name of the namespace")),
    responses(
        (status = 204, description = "It is deleted"),
        (status = 403, description = "It is protected, or the policy does not allow it", body = FaultBody),
        (status = 404, description = "There is no such namespace", body = FaultBody),
    )
)]
pub async fn delete(
    State(app): State<App>,
    call: Call,
    InPath(name): InPath<String>,
    _: NoBody,
) -> Result<StatusCode> {
    let mut repository = app.database.begin().await?;
    let namespace = find_to_change(&mut repository, &call, &name).await?;
    check(&call, rules::DELETE_METADEF_NAMESPACE, Some(&namespace))?;
    if namespace.protected {
        return Err(is_protected("namespace", &namespace.name));
    }
    repository.remove_metadef_namespace(&namespace.id).await?;
    repository.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
