//! `GET /manageable_volumes`, `GET /manageable_volumes/detail`

use std::collections::BTreeSet;

use axum::extract::{MatchedPath, State};
use axum::http::StatusCode;
use axum::response::Response;
use futures::StreamExt;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::fault::{Fault, answer};
use super::super::manageable::{Order, Place, Reference, asked, sizes};
use super::super::request::Call;
use crate::db::{Direction, ImageFilter, Page, Repository, VolumeFilter};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::{ImageId, VolumeId};
use crate::workflows::manageable::{self, FoundImage};
use crate::workflows::names;

/// The order of the fields is the order of the keys.
#[derive(Serialize, ToSchema)]
#[schema(as = ManageableVolume)]
struct View {
    reference: Reference,
    /// GiB, of which the last may not be full.
    size: u64,
    safe_to_manage: bool,
    #[serde(flatten)]
    detail: Option<Detail>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ManageableVolumeDetail)]
struct Detail {
    reason_not_safe: Option<&'static str>,
    /// The volume that it is already.
    #[schema(value_type = Option<String>)]
    cinder_id: Option<VolumeId>,
    extra_info: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ManageableVolumes)]
pub struct Many {
    #[serde(rename = "manageable-volumes")]
    volumes: Vec<View>,
}

#[utoipa::path(
    get, path = "/v3/manageable_volumes", tag = "manageable volumes", operation_id = "list_manageable_volumes",
    description = "Since 3.8. All images on the pool of a host, whatever they are.",
    params(
        ("host" = Option<String>, Query), ("cluster" = Option<String>, Query, description = "Since 3.17"),
        ("limit" = Option<i64>, Query), ("offset" = Option<i64>, Query),
        ("marker" = Option<String>, Query, description = "The `reference` of the last one before, in JSON"),
        ("sort" = Option<String>, Query, description = "`reference` or `size`, `:asc` or `:desc`"),
    ),
    responses(
        (status = 200, body = Many),
        (status = 400, description = "A parameter is not usable, or there is no such host"),
        (status = 403, description = "The policy does not allow it"),
    ),
)]
pub async fn list(State(app): State<App>, path: MatchedPath, call: Call) -> Result<Response, Fault> {
    search(&app, &path, &call, false).await
}

#[utoipa::path(
    get, path = "/v3/manageable_volumes/detail", tag = "manageable volumes",
    operation_id = "list_manageable_volumes_in_detail",
    description = "Since 3.8. Takes the parameters of the list without detail.",
    responses(
        (status = 200, body = Many),
        (status = 400, description = "A parameter is not usable, or there is no such host"),
        (status = 403, description = "The policy does not allow it"),
    ),
)]
pub async fn detail(State(app): State<App>, path: MatchedPath, call: Call) -> Result<Response, Fault> {
    search(&app, &path, &call, true).await
}

async fn search(app: &App, path: &MatchedPath, call: &Call, with_detail: bool) -> Result<Response, Fault> {
    let (place, order) = asked(app, path, call, rules::LIST_MANAGEABLE_VOLUMES)?;
    let found = look(&place, &order).await?;
    let mut repository = app.database.read().await?;
    let known = Known::among(&mut repository, &found).await?;
    let volumes = found.iter().map(|image| known.view(image, with_detail)).collect();
    Ok(answer(StatusCode::OK, &Many { volumes }))
}

/// The images of the page.
async fn look(place: &Place<'_>, order: &Order) -> Result<Vec<FoundImage>, Fault> {
    let mut names = place.store.list().await?;
    if let Some(direction) = order.direction_by_name() {
        if direction == Direction::Descending {
            names.reverse();
        }
        let start = order.start(names.iter().map(String::as_str))?;
        let images = manageable::images(place.store.clone(), names.split_off(start));
        return Ok(images.skip(order.offset).take(order.limit).collect().await);
    }
    let found = manageable::images(place.store.clone(), names).collect().await;
    order.page(found, |image: &FoundImage| &image.name, |image| sizes(image.size).0)
}

/// What is somebody's already.
struct Known {
    volumes: BTreeSet<VolumeId>,
    images: BTreeSet<ImageId>,
}

impl Known {
    async fn among(repository: &mut Repository, found: &[FoundImage]) -> Result<Self, Fault> {
        let volumes: Vec<String> =
            found.iter().filter_map(|image| names::volume_of(&image.name)).map(|id| id.to_string()).collect();
        let volumes = VolumeFilter { id: Some(volumes), ..VolumeFilter::default() };
        let volumes = repository.volumes(&volumes, &Page::default()).await?;
        let images: Vec<String> = found
            .iter()
            .filter_map(|image| ImageId::parse(&image.name).filter(|id| id.as_str() == image.name))
            .map(|id| id.to_string())
            .collect();
        let images = ImageFilter { id: Some(images), ..ImageFilter::default() };
        let images = repository.images(&images, &Page::default()).await?;
        Ok(Self {
            volumes: volumes.into_iter().map(|volume| volume.id).collect(),
            images: images.into_iter().map(|image| image.id).collect(),
        })
    }

    fn view(&self, image: &FoundImage, with_detail: bool) -> View {
        let volume = names::volume_of(&image.name).filter(|id| self.volumes.contains(id));
        let is_image = ImageId::parse(&image.name).is_some_and(|id| self.images.contains(&id));
        let (size, exact) = sizes(image.size);
        let reason_not_safe = if volume.is_some() || is_image {
            Some("already managed")
        } else if image.is_in_use {
            Some("volume in use")
        } else if names::is_deleted(&image.name) {
            Some("volume marked as deleted")
        } else {
            let of_its_size = exact.is_none().then_some("its size is not a whole number of GiB");
            names::kept_for(&image.name).or(of_its_size)
        };
        let detail = Detail { reason_not_safe, cinder_id: volume, extra_info: None };
        View {
            reference: Reference::new(&image.name),
            size,
            safe_to_manage: reason_not_safe.is_none(),
            detail: with_detail.then_some(detail),
        }
    }
}
