//! What things are, as JSON schemas. Clients take the names of an image's base properties from here, to tell them from
//! custom ones; bodies of requests about metadata definitions are checked against the same schemas.

pub(super) mod documents;
pub(super) mod metadefs;

use axum::Json;
use axum::extract::State;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::fault::{FaultBody, Result};
use super::request::NoBody;
use crate::http::{App, ImageSchema};

/// An endpoint each; all that they have to say is their document.
macro_rules! schemas {
    ($($(#[doc = $doc:literal])+ $name:ident: $path:literal = $document:expr;)+) => {
        $(
            $(#[doc = $doc])+
            #[utoipa::path(
                get, path = $path, tag = "schemas", operation_id = concat!("show_schema_of_", stringify!($name)),
                responses(
                    (status = 200, description = "A JSON schema", body = Object),
                    (status = 400, description = "A body came with the request", body = FaultBody),
                )
            )]
            async fn $name(State(app): State<App>, _: NoBody) -> Result<Json<Value>> {
                let document: fn(&ImageSchema) -> Value = $document;
                Ok(Json(document(&app.image_schema)))
            }
        )+

        pub(super) fn endpoints() -> OpenApiRouter<App> {
            OpenApiRouter::new()$(.routes(routes!($name)))+
        }
    };
}

schemas! {
    /// The schema of an image.
    image: "/v2/schemas/image" = documents::image;
    /// The schema of a list of images.
    images: "/v2/schemas/images" = |images| documents::paged("images", documents::image(images));
    /// The schema of a member of an image.
    member: "/v2/schemas/member" = |_| documents::member();
    /// The schema of a list of members.
    members: "/v2/schemas/members" = |_| documents::unpaged("members", documents::member());
    /// The schema of a task.
    task: "/v2/schemas/task" = |_| documents::task();
    /// The schema of a list of tasks, which say less than one alone.
    tasks: "/v2/schemas/tasks" = |_| documents::unpaged("tasks", documents::task_in_list());
    /// The schema of a namespace of metadata definitions.
    namespace: "/v2/schemas/metadefs/namespace" = |_| metadefs::namespace();
    /// The schema of a list of namespaces.
    namespaces: "/v2/schemas/metadefs/namespaces" = |_| documents::paged("namespaces", metadefs::namespace());
    /// The schema of a resource type that a namespace is for.
    resource_type: "/v2/schemas/metadefs/resource_type" = |_| metadefs::resource_type();
    /// The schema of a list of resource types.
    resource_types: "/v2/schemas/metadefs/resource_types" =
        |_| documents::paged("resource_type_associations", metadefs::resource_type());
    /// The schema of a property.
    property: "/v2/schemas/metadefs/property" = |_| metadefs::property();
    /// The schema of properties under their names.
    properties: "/v2/schemas/metadefs/properties" =
        |_| documents::paged_by_name("properties", metadefs::property_under_its_name());
    /// The schema of an object.
    object: "/v2/schemas/metadefs/object" = |_| metadefs::object();
    /// The schema of a list of objects.
    objects: "/v2/schemas/metadefs/objects" = |_| documents::paged("objects", metadefs::object());
    /// The schema of a tag.
    tag: "/v2/schemas/metadefs/tag" = |_| metadefs::tag();
    /// The schema of a list of tags.
    tags: "/v2/schemas/metadefs/tags" = |_| documents::paged("tags", metadefs::tag());
}
