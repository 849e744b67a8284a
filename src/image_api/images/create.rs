use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value};

use super::draft::Draft;
use super::{ImageView, check_visibility, property};
use crate::db::{DbError, Image, Repository};
use crate::http::App;
use crate::identity::policy::image as rules;
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::request::{Call, JsonBody};
use crate::image_api::versions::Base;
use crate::image_api::{quota, schema, stores};
use crate::model::{ImageId, ProjectId};

/// Makes a record, without bytes as yet. All properties may be left out.
#[utoipa::path(
    post, path = "/v2/images", tag = "images", operation_id = "create_image",
    request_body(content = Object, description = "Base properties, and texts under other names"),
    responses(
        (status = 201, description = "The image, `queued`", body = ImageView,
            headers(
                ("Location" = String, description = "Address of the image"),
                ("OpenStack-image-import-methods" = String, description = "Ways to import bytes into it"),
                ("OpenStack-image-store-ids" = String, description = "Stores for them, where there are several"),
            )),
        (status = 400, description = "The body does not fit the schema", body = FaultBody),
        (status = 403, description = "A property that may not be written", body = FaultBody),
        (status = 409, description = "An image has the id, or had it", body = FaultBody),
        (status = 413, description = "Too many images, properties or tags, or too large a body",
            body = FaultBody),
    )
)]
pub async fn create(
    State(app): State<App>,
    call: Call,
    base: Base,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, HeaderMap, Json<ImageView>)> {
    let Value::Object(wanted) = body else {
        return Err(Fault::BadRequest("Request body must be a JSON object.".to_owned()));
    };
    let image = drafted(wanted, &app, &call)?;

    let mut repository = app.database.begin().await?;
    add(&mut repository, &app, &call, &image).await?;
    repository.commit().await?;

    let mut headers = HeaderMap::new();
    let methods = stores::import_methods(&app.config).collect::<Vec<_>>().join(",");
    let stores: Vec<&str> = stores::all(&app.config).map(|store| store.id).collect();
    let stores = if stores::are_shown(&app.config) { stores.join(",") } else { String::new() };
    for (name, text) in [
        (header::LOCATION, format!("{}/v2/images/{}", base.0, image.id)),
        (HeaderName::from_static("openstack-image-import-methods"), methods),
        (HeaderName::from_static("openstack-image-store-ids"), stores),
    ] {
        if let Some(value) = HeaderValue::from_str(&text).ok().filter(|value| !value.is_empty()) {
            headers.insert(name, value);
        }
    }
    let view = ImageView::new(image, &call.guard, &app);
    Ok((StatusCode::CREATED, headers, Json(view)))
}

/// Puts a new record to the others, if the project may have one more.
pub async fn add(repository: &mut Repository, app: &App, call: &Call, image: &Image) -> Result<()> {
    quota::one_more(repository, &app.config.quotas, call.project_id()).await?;
    repository.add_image(image).await.map_err(|error| match error {
        DbError::Exists => Fault::Conflict(format!("Image ID {} already exists!", image.id)),
        other => other.into(),
    })
}

/// A record as a request wants it.
pub fn drafted(wanted: Map<String, Value>, app: &App, call: &Call) -> Result<Image> {
    // Glance's order: names that are never accepted, then forms, then names that are not accepted here.
    for name in ["direct_url", "self", "file", "schema", "stores"] {
        if wanted.contains_key(name) {
            return Err(read_only(name));
        }
    }
    if let Some(name) = app.image_schema.required().iter().find(|name| !wanted.contains_key(*name)) {
        return Err(schema::lacks("image", name));
    }
    wanted.iter().try_for_each(|(name, value)| property::check(name, value, &app.image_schema))?;
    for name in wanted.keys() {
        if property::is_reserved(name) {
            return Err(Fault::ForbiddenDetail(format!("Attribute '{name}' is reserved.")));
        }
        // Glance keeps os_hash_algo and os_hash_value as custom properties that shadow its own.
        if property::is_read_only(name) {
            return Err(read_only(name));
        }
        if name == "locations" {
            return Err(Fault::Forbidden(format!("Attribute '{name}' is reserved.")));
        }
    }
    may_add(&wanted, call)?;
    let now = app.world.now();
    let id = match wanted.get("id").and_then(Value::as_str).and_then(ImageId::parse) {
        Some(id) => id,
        None => ImageId::from(app.world.ids.random()),
    };
    let mut draft = Draft::new(Image::queued(id, owner(&wanted, call), now), call);
    for (name, value) in wanted {
        if name != "id" {
            draft.set(&name, value)?;
        }
    }
    draft.finished(&app.config.images, now)
}

/// The caller's project, unless the body names another one, or none.
fn owner(wanted: &Map<String, Value>, call: &Call) -> Option<ProjectId> {
    match wanted.get("owner") {
        Some(owner) => owner.as_str().map(|owner| ProjectId(owner.to_owned())),
        None => Some(call.project_id().clone()),
    }
}

fn may_add(wanted: &Map<String, Value>, call: &Call) -> Result<()> {
    let owner = owner(wanted, call);
    let visibility = wanted.get("visibility").and_then(Value::as_str).unwrap_or("private");
    let target = call.planned(owner.as_ref().map(ProjectId::as_str), visibility);
    call.check(rules::ADD_IMAGE, &target).map_err(|refusal| {
        if owner.as_ref() == Some(call.project_id()) {
            return refusal;
        }
        let owner = owner.map_or_else(|| "None".to_owned(), |owner| owner.0);
        Fault::Forbidden(format!("You are not permitted to create images owned by '{owner}'."))
    })?;
    check_visibility(call, visibility, &target)
}

fn read_only(name: &str) -> Fault {
    Fault::Forbidden(format!("Attribute '{name}' is read-only."))
}
