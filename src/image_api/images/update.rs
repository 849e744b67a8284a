use axum::Json;
use axum::extract::{FromRequest, Request, State};

use super::check_visibility;
use super::draft::Draft;
use super::patch::{Change, Dialect, MEDIA_TYPES};
use super::{ImageView, delete_from_store, find_to_change};
use crate::http::{App, images, media_type};
use crate::identity::policy::image as rules;
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::locations::patch as locations;
use crate::image_api::quota;
use crate::image_api::request::{Call, InPath, JsonBody};

/// Changes properties: all that the list names, or none. Where `show_multiple_locations` says so, also where the bytes
/// are: `/locations/-`, `/locations/0` and so on, `/locations`.
#[utoipa::path(
    patch, path = "/v2/images/{image_id}", tag = "images", operation_id = "update_image",
    params(("image_id" = String, Path, description = "UUID of the image")),
    request_body(
        content = Vec<Object>, content_type = "application/openstack-images-v2.1-json-patch",
        description = "A list of changes. `application/openstack-images-v2.0-json-patch` is taken as well: there the \
            key of the path is the operation, as in `{\"replace\": \"/name\", \"value\": \"another\"}`",
    ),
    responses(
        (status = 200, description = "The image", body = ImageView),
        (status = 400, description = "A change that cannot be read, or does not fit the schema",
            body = FaultBody),
        (status = 403, description = "A property that may not be written", body = FaultBody),
        (status = 404, description = "There is no such image", body = FaultBody),
        (status = 409, description = "A custom property that is not there, or there already; locations of an image in \
            no status for it, or the removal of one was cancelled",
            body = FaultBody),
        (status = 413, description = "Too many properties, tags or locations, too much metadata of these, or too large \
            a body",
            body = FaultBody),
        (status = 429, description = "Too many jobs of the project are under way", body = FaultBody),
        (status = 415, description = "Neither of the two media types", body = FaultBody,
            headers(("Accept-Patch" = String, description = "The two media types"))),
    )
)]
pub async fn update(
    State(app): State<App>,
    call: Call,
    InPath(id): InPath<String>,
    request: Request,
) -> Result<Json<ImageView>> {
    let given = media_type(request.headers()).to_owned();
    let Some(dialect) = Dialect::of(&given) else {
        return Err(Fault::UnsupportedMediaType {
            given,
            detail: format!("Image PATCH expects Content-Type one of: {MEDIA_TYPES}"),
            accept_patch: Some(MEDIA_TYPES),
        });
    };
    let JsonBody(body) = JsonBody::from_request(request, &app).await?;
    let changes = dialect.parse(body, &app.image_schema)?;
    let known = locations::look(&app, &call, &id, changes.iter().filter_map(Change::of_locations)).await?;

    let mut repository = app.database.begin().await?;
    let mut image = find_to_change(&mut repository, &call, &id).await?;
    if changes.is_empty() || changes.iter().any(|change| change.of_locations().is_none()) {
        call.check_image(rules::MODIFY_IMAGE, &image)?;
    }
    for visibility in changes.iter().filter_map(Change::visibility) {
        check_visibility(&call, visibility, &images::target(&image, call.project_id()))?;
    }
    let mut removals = Vec::new();
    if !changes.is_empty() {
        let before = image.clone();
        let mut draft = Draft::new(image, &call);
        for change in changes {
            match change {
                Change::Property(change) => change.apply(&mut draft)?,
                Change::Locations(change) => change.apply(&app, &call, draft.image_mut(), &known)?,
            }
        }
        image = draft.finished(&app.config.images, app.world.now())?;
        repository.update_image(&image).await?;
        if image.locations != before.locations {
            removals = locations::keep(&mut repository, &app, &call, &before, &image).await?;
            if image.locations.len() > before.locations.len() {
                let size = image.size.and_then(|size| u64::try_from(size).ok());
                let size = size.map(|size| size.saturating_mul(image.locations.len() as u64));
                let (options, project) = (&app.config.images, call.project_id());
                if options.user_storage_quota.bytes().is_some() {
                    repository.take_quota_turn(project).await?;
                }
                let told = quota::IN_PATCH;
                quota::storage(&mut repository, options, project, &image.id, size, told).await?;
            }
        }
    }
    repository.commit().await?;
    for job in removals {
        delete_from_store::ended(&app, &id, &job).await?;
    }
    Ok(Json(ImageView::new(image, &call.guard, &app)))
}
