use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::config::Config;
use crate::db::{Image, JobFilter, Location, Page, Repository};
use crate::http::App;
use crate::identity::policy::image as rules;
use crate::image_api::fault::{FaultBody, Result};
use crate::image_api::images::find;
use crate::image_api::request::{Call, InPath, NoBody};
use crate::image_api::stores;
use crate::model::{JobId, JobState};

#[derive(Serialize, ToSchema)]
pub struct LocationView {
    url: String,
    #[schema(value_type = Object)]
    metadata: BTreeMap<String, Value>,
}

impl LocationView {
    /// `None`: it has no address yet.
    pub fn new(config: &Config, location: &Location) -> Option<Self> {
        let mut metadata = location.metadata();
        if stores::are_shown(config) {
            metadata.insert("store".to_owned(), stores::id_of(config, location).into());
        }
        Some(Self { url: location.url.clone()?, metadata })
    }
}

/// The locations that have an address, in the order in which a PATCH counts them.
pub(super) fn shown(image: &Image) -> impl Iterator<Item = &Location> {
    image.places().filter(|place| place.url.is_some())
}

/// Likewise, as clients see them.
pub fn views(config: &Config, image: &Image) -> Vec<LocationView> {
    shown(image).filter_map(|place| LocationView::new(config, place)).collect()
}

/// The image with the addresses of its places. It is active a moment before it has a snapshot to clone from (a round of
/// the monitor); who asks for addresses would take "none" for an answer, and copy all of it.
pub async fn find_with_addresses(app: &App, call: &Call, id: &str) -> Result<Image> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let mut repository = app.database.read().await?;
    let image = find(&mut repository, call, id).await?;
    let Some(job) = on_its_way(&mut repository, &image).await? else { return Ok(image) };
    drop(repository);
    app.job_over(&job, PATIENCE).await?;
    find(&mut app.database.read().await?, call, id).await
}

/// The job that makes a snapshot, or will.
async fn on_its_way(repository: &mut Repository, image: &Image) -> Result<Option<JobId>> {
    if image.places().all(|place| place.url.is_some()) {
        return Ok(None);
    }
    let filter = JobFilter {
        kind: Some(vec!["seal_image".to_owned()]),
        resource_id: Some(image.id.to_string()),
        state: Some(vec![JobState::Queued, JobState::Running]),
        ..JobFilter::default()
    };
    let jobs = repository.jobs_in_brief(&filter, &Page { limit: Some(1), ..Page::default() }).await?;
    Ok(jobs.into_iter().next().map(|job| job.id))
}

/// Where the image's bytes are, for services that clone them.
#[utoipa::path(
    get, path = "/v2/images/{image_id}/locations", tag = "locations", operation_id = "list_locations",
    params(("image_id" = String, Path, description = "UUID of the image")),
    responses(
        (status = 200, description = "The locations", body = Vec<LocationView>),
        (status = 400, description = "A body came with the request", body = FaultBody),
        (status = 403, description = "The policy does not allow it", body = FaultBody),
        (status = 404, description = "There is no such image", body = FaultBody),
    )
)]
pub async fn list(
    State(app): State<App>,
    call: Call,
    InPath(id): InPath<String>,
    _: NoBody,
) -> Result<Json<Vec<LocationView>>> {
    let image = find_with_addresses(&app, &call, &id).await?;
    call.check_image(rules::FETCH_IMAGE_LOCATION, &image)?;
    let places = stores::places(&app.config, &image);
    Ok(Json(places.into_iter().filter_map(|place| LocationView::new(&app.config, place)).collect()))
}
