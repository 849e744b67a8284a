//! Resource types: what a namespace is for, and how its properties are called there.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::items::{self, Draft};
use super::{check, endpoints, fields, take_text};
use crate::db::MetadefItem;
use crate::http::App;
use crate::identity::policy::image as rules;
use crate::image_api::fault::{FaultBody, Result};
use crate::image_api::request::{Call, InPath, JsonBody, NoBody};
use crate::image_api::schemas;
use crate::model::MetadefKind::ResourceType as KIND;

#[derive(Serialize, ToSchema)]
#[schema(title = "ResourceTypeAssociation")]
pub struct AssociationView {
    name: String,
    /// What stands before the names of properties on this type.
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties_target: Option<String>,
    created_at: String,
    updated_at: String,
}

#[derive(Serialize, ToSchema)]
pub struct AssociationList {
    resource_type_associations: Vec<AssociationView>,
}

#[derive(Serialize, ToSchema)]
pub struct ResourceTypeList {
    resource_types: Vec<ResourceTypeView>,
}

#[derive(Serialize, ToSchema)]
pub struct ResourceTypeView {
    name: String,
    created_at: String,
    updated_at: String,
}

impl AssociationView {
    /// What stands before the names of properties on this type.
    pub fn prefix_on(&self, resource_type: &str) -> Option<&str> {
        if self.name == resource_type { self.prefix.as_deref() } else { None }
    }
}

impl From<MetadefItem> for AssociationView {
    fn from(mut item: MetadefItem) -> Self {
        Self {
            name: item.name,
            prefix: take_text(&mut item.definition, "prefix"),
            properties_target: take_text(&mut item.definition, "properties_target"),
            created_at: item.created_at.to_seconds(),
            updated_at: item.updated_at.to_seconds(),
        }
    }
}

/// A resource type in a body.
pub fn parse(body: Value) -> Result<Draft> {
    let mut fields = fields(body, &schemas::metadefs::resource_type(), &["created_at", "updated_at"])?;
    Ok(Draft { name: take_text(&mut fields, "name").unwrap_or_default(), definition: fields })
}

/// All resource types that a namespace was ever for, and the usual ones.
#[utoipa::path(
    get, path = "/v2/metadefs/resource_types", tag = "metadefs", operation_id = "list_resource_types",
    responses(
        (status = 200, description = "The resource types", body = ResourceTypeList),
        (status = 404, description = "The policy does not allow it", body = FaultBody),
    )
)]
pub async fn all(State(app): State<App>, call: Call, _: NoBody) -> Result<Json<ResourceTypeList>> {
    check(&call, rules::LIST_METADEF_RESOURCE_TYPES, None)?;
    let types = app.database.read().await?.metadef_resource_types().await?;
    let view = |one: crate::db::MetadefResourceType| ResourceTypeView {
        name: one.name,
        created_at: one.created_at.to_seconds(),
        // Nothing of it changes.
        updated_at: one.created_at.to_seconds(),
    };
    Ok(Json(ResourceTypeList { resource_types: types.into_iter().map(view).collect() }))
}

/// The resource types that a namespace is for.
#[utoipa::path(
    get, path = "/v2/metadefs/namespaces/{namespace}/resource_types", tag = "metadefs",
    operation_id = "list_metadef_resource_types",
    params(("namespace" = String, Path, description = "Name of the namespace")),
    responses(
        (status = 200, description = "The resource types", body = AssociationList),
        (status = 404, description = "There is no such namespace", body = FaultBody),
    )
)]
pub async fn list(
    State(app): State<App>,
    call: Call,
    InPath(namespace): InPath<String>,
    _: NoBody,
) -> Result<Json<AssociationList>> {
    let rules = (rules::LIST_METADEF_RESOURCE_TYPES, rules::GET_METADEF_RESOURCE_TYPE);
    let (_, items) = items::list(&app, &call, &namespace, KIND, rules).await?;
    let resource_type_associations = items.into_iter().map(AssociationView::from).collect();
    Ok(Json(AssociationList { resource_type_associations }))
}

/// Says that the namespace is for a resource type, one that there is already or a new one.
#[utoipa::path(
    post, path = "/v2/metadefs/namespaces/{namespace}/resource_types", tag = "metadefs",
    operation_id = "create_metadef_resource_type",
    params(("namespace" = String, Path, description = "Name of the namespace")),
    request_body(content = Object, description = "See `/v2/schemas/metadefs/resource_type`"),
    responses(
        (status = 201, description = "The resource type", body = AssociationView),
        (status = 400, description = "The body does not fit the schema", body = FaultBody),
        (status = 403, description = "The policy does not allow it", body = FaultBody),
        (status = 404, description = "There is no such namespace", body = FaultBody),
        (status = 409, description = "It is for that already", body = FaultBody),
    )
)]
pub async fn create(
    State(app): State<App>,
    call: Call,
    InPath(namespace): InPath<String>,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<AssociationView>)> {
    let (draft, rule) = (parse(body)?, rules::ADD_METADEF_RESOURCE_TYPE_ASSOCIATION);
    let (_, item) = items::create(&app, &call, &namespace, KIND, rule, draft).await?;
    Ok((StatusCode::CREATED, Json(item.into())))
}

endpoints::delete!(
    KIND at "/v2/metadefs/namespaces/{namespace}/resource_types/{resource_type}" ("resource_type"),
    by REMOVE_METADEF_RESOURCE_TYPE_ASSOCIATION
);
