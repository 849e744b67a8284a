use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::super::{check, items};
use super::{Held, NamespaceView, PATH};
use crate::db::{DbError, MetadefNamespace, Repository};
use crate::http::App;
use crate::identity::policy::image as rules;
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::request::{Call, JsonBody};
use crate::image_api::versions::Base;
use crate::model::{MetadefKind, MetadefNamespaceId, ProjectId};

/// What a segment of a path may not hold as it is. No header takes all that a name may hold.
const SEGMENT: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'/').add(b'<').add(b'>').add(b'?');

/// Makes a namespace, with all that the body says is in it, or nothing.
#[utoipa::path(
    post, path = "/v2/metadefs/namespaces", tag = "metadefs", operation_id = "create_namespace",
    request_body(content = Object, description = "See `/v2/schemas/metadefs/namespace`"),
    responses(
        (status = 201, description = "The namespace", body = NamespaceView,
            headers(("Location" = String, description = "Address of the namespace"))),
        (status = 400, description = "The body does not fit the schema", body = FaultBody),
        (status = 403, description = "The policy does not allow it", body = FaultBody),
        (status = 404, description = "The policy does not even let the namespaces be looked at", body = FaultBody),
        (status = 409, description = "The name, or one in it, is taken", body = FaultBody),
    )
)]
pub async fn create(
    State(app): State<App>,
    call: Call,
    base: Base,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<NamespaceView>)> {
    let wanted = super::parse(body)?;
    check(&call, rules::ADD_METADEF_NAMESPACE, None)?;
    for (some, rule) in [
        (!wanted.resource_types.is_empty(), rules::ADD_METADEF_RESOURCE_TYPE_ASSOCIATION),
        (!wanted.objects.is_empty(), rules::ADD_METADEF_OBJECT),
        (!wanted.properties.is_empty(), rules::ADD_METADEF_PROPERTY),
        (!wanted.tags.is_empty(), rules::ADD_METADEF_TAG),
    ] {
        if some {
            check(&call, rule, None)?;
        }
    }
    let now = app.world.now();
    let namespace = MetadefNamespace {
        id: MetadefNamespaceId::from(app.world.ids.random()),
        name: wanted.name,
        display_name: wanted.display_name,
        description: wanted.description,
        visibility: wanted.visibility,
        protected: wanted.protected,
        project_id: Some(wanted.owner.map_or_else(|| call.project_id().clone(), ProjectId)),
        created_at: now,
        updated_at: now,
    };
    let mut repository = app.database.begin().await?;
    repository.add_metadef_namespace(&namespace).await.map_err(|error| match error {
        DbError::Exists => {
            Fault::Conflict(format!("The metadata definition namespace={} already exists.", namespace.name))
        }
        other => other.into(),
    })?;
    let add = async |kind, drafts, repository: &mut Repository| {
        items::add(&app, repository, &namespace, kind, drafts, now).await
    };
    let held = Held {
        resource_types: add(MetadefKind::ResourceType, wanted.resource_types, &mut repository).await?,
        objects: add(MetadefKind::Object, wanted.objects, &mut repository).await?,
        tags: add(MetadefKind::Tag, wanted.tags, &mut repository).await?,
        properties: add(MetadefKind::Property, wanted.properties, &mut repository).await?,
    };
    repository.commit().await?;

    let location = format!("{}{PATH}/{}", base.0, utf8_percent_encode(&namespace.name, SEGMENT));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(NamespaceView::whole(namespace, held, ""))))
}
