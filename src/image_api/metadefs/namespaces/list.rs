use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::resource_types::AssociationView;
use super::super::{check, find, items};
use super::{NamespaceView, PATH};
use crate::db::MetadefNamespaceFilter;
use crate::http::{App, Query};
use crate::identity::policy::image as rules;
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::paging;
use crate::image_api::request::Call;
use crate::image_api::schema::no_nul;
use crate::model::{MetadefKind, MetadefNamespaceId};

/// API name and column.
const SORT_KEYS: [(&str, &str); 9] = [
    ("namespace", "name"),
    ("display_name", "display_name"),
    ("description", "description"),
    ("visibility", "visibility"),
    ("protected", "protected"),
    ("owner", "project_id"),
    ("id", "id"),
    ("created_at", "created_at"),
    ("updated_at", "updated_at"),
];

/// Names of one list: each is a term of the query.
const MOST_NAMES: usize = 200;

#[derive(Serialize, ToSchema)]
pub struct NamespaceList {
    namespaces: Vec<NamespaceView>,
    /// There when there may be more.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    schema: &'static str,
    first: String,
}

/// The namespaces that the caller may see, newest first, with the resource types they are for.
#[utoipa::path(
    get, path = "/v2/metadefs/namespaces", tag = "metadefs", operation_id = "list_namespaces",
    params(
        ("limit" = Option<u32>, Query, description = "Namespaces on the page"),
        ("marker" = Option<String>, Query, description = "The last namespace of the page before"),
        ("sort_key" = Option<String>, Query, description = "`namespace`, `created_at` and so on"),
        ("sort_dir" = Option<String>, Query, description = "`asc` or `desc`"),
        ("visibility" = Option<String>, Query, description = "`public` or `private`"),
        ("resource_types" = Option<String>, Query, description = "For one of these, with commas between them"),
    ),
    responses(
        (status = 200, description = "A page of namespaces", body = NamespaceList),
        (status = 400, description = "A filter, sort key or limit that is none", body = FaultBody),
        (status = 404, description = "No such namespace to begin after, or the policy does not allow it",
            body = FaultBody),
    )
)]
pub async fn list(State(app): State<App>, call: Call, query: Query) -> Result<Json<NamespaceList>> {
    let mut page = paging::simple_sort(&query, &SORT_KEYS)?;
    let limit = paging::limit(&query, &app.config.images)?;
    page.limit = Some(limit);
    let filter = filter(&query, &call)?;
    check(&call, rules::GET_METADEF_NAMESPACES, None)?;
    check(&call, rules::LIST_METADEF_RESOURCE_TYPES, None)?;

    let mut repository = app.database.read().await?;
    if let Some(marker) = query.last("marker").filter(|marker| !marker.is_empty()) {
        let last = find(&mut repository, &call, marker).await.map_err(|fault| match fault {
            Fault::NotFound(_) => {
                Fault::NotFound(format!("Metadata definition namespace={marker} was not found."))
            }
            other => other,
        })?;
        page.marker = Some(last.id.to_string());
    }
    let mut namespaces = repository.metadef_namespaces(&filter, &page).await?;
    let is_full = namespaces.len() as i64 == limit;
    let next = namespaces.last().filter(|_| is_full).map(|last| paging::link(PATH, &query, Some(&last.name)));
    namespaces.retain(|namespace| check(&call, rules::GET_METADEF_NAMESPACE, Some(namespace)).is_ok());
    let ids: Vec<MetadefNamespaceId> = namespaces.iter().map(|namespace| namespace.id.clone()).collect();
    let mut associations: HashMap<MetadefNamespaceId, Vec<AssociationView>> = HashMap::new();
    for item in repository.metadef_items(&ids, MetadefKind::ResourceType, &items::oldest_first()).await? {
        associations.entry(item.namespace_id.clone()).or_default().push(item.into());
    }

    let view = |namespace: crate::db::MetadefNamespace| {
        let associations = associations.remove(&namespace.id).unwrap_or_default();
        NamespaceView { resource_type_associations: associations, ..namespace.into() }
    };
    Ok(Json(NamespaceList {
        next,
        schema: "/v2/schemas/metadefs/namespaces",
        first: paging::link(PATH, &query, None),
        namespaces: namespaces.into_iter().map(view).collect(),
    }))
}

fn filter(query: &Query, call: &Call) -> Result<MetadefNamespaceFilter> {
    let visibility = query.last("visibility").filter(|visibility| !visibility.is_empty());
    if let Some(other) = visibility.filter(|visibility| !["public", "private"].contains(visibility)) {
        return Err(Fault::BadRequest(format!("Invalid visibility value: {other}")));
    }
    let resource_types = query.last("resource_types");
    resource_types.map_or(Ok(()), no_nul)?;
    let resource_types: Option<Vec<String>> =
        resource_types.map(|names| names.split(',').map(str::to_owned).collect());
    if resource_types.as_ref().is_some_and(|names| names.len() > MOST_NAMES) {
        return Err(Fault::BadRequest(format!("A list takes at most {MOST_NAMES} resource types.")));
    }
    Ok(MetadefNamespaceFilter {
        visibility: visibility.map(str::to_owned),
        visible_to: (!call.guard.is_admin()).then(|| call.project_id().clone()),
        resource_types,
    })
}
