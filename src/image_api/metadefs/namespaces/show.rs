use axum::Json;
use axum::extract::State;

use super::super::{check, find, items};
use super::{Held, NamespaceView};
use crate::http::{App, Query};
use crate::identity::policy::image as rules;
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::request::{Call, InPath, NoBody};
use crate::model::MetadefKind;

/// One namespace, with all that is in it.
#[utoipa::path(
    get, path = "/v2/metadefs/namespaces/{namespace}", tag = "metadefs", operation_id = "show_namespace",
    params(
        ("namespace" = String, Path, description = "Name of the namespace"),
        ("resource_type" = Option<String>, Query,
            description = "Properties are called as they are on this type, with its prefix"),
    ),
    responses(
        (status = 200, description = "The namespace", body = NamespaceView),
        (status = 404, description = "There is no such namespace", body = FaultBody),
    )
)]
pub async fn show(
    State(app): State<App>,
    call: Call,
    InPath(name): InPath<String>,
    query: Query,
    _: NoBody,
) -> Result<Json<NamespaceView>> {
    let mut repository = app.database.read().await?;
    let namespace = find(&mut repository, &call, &name).await.map_err(|fault| match fault {
        Fault::NotFound(_) => Fault::NotFound(format!("Metadata definition namespace={name} was not found.")),
        other => other,
    })?;
    for rule in [
        rules::GET_METADEF_NAMESPACE,
        rules::LIST_METADEF_RESOURCE_TYPES,
        rules::GET_METADEF_OBJECTS,
        rules::GET_METADEF_PROPERTIES,
        rules::GET_METADEF_TAGS,
    ] {
        check(&call, rule, Some(&namespace))?;
    }
    let mut held = async |kind| {
        repository.metadef_items(std::slice::from_ref(&namespace.id), kind, &items::oldest_first()).await
    };
    let mut held = Held {
        resource_types: held(MetadefKind::ResourceType).await?,
        objects: held(MetadefKind::Object).await?,
        tags: held(MetadefKind::Tag).await?,
        properties: held(MetadefKind::Property).await?,
    };
    // Newest first, as Glance shows them here, too.
    held.tags.reverse();
    let resource_type = query.last("resource_type").unwrap_or_default();
    Ok(Json(NamespaceView::whole(namespace, held, resource_type)))
}
