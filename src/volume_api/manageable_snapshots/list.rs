//! `GET /manageable_snapshots`, `GET /manageable_snapshots/detail`

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
use crate::db::{Page, Repository, SnapshotFilter};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::SnapshotId;
use crate::workflows::{manageable, names};

/// The order of the fields is the order of the keys.
#[derive(Serialize, ToSchema)]
#[schema(as = ManageableSnapshot)]
struct View {
    reference: Reference,
    /// GiB, of which the last may not be full.
    size: u64,
    safe_to_manage: bool,
    #[serde(flatten)]
    detail: Option<Detail>,
    /// The image that has it.
    source_reference: Reference,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ManageableSnapshotDetail)]
struct Detail {
    reason_not_safe: Option<&'static str>,
    extra_info: Option<String>,
    /// The snapshot that it is already.
    #[schema(value_type = Option<String>)]
    cinder_id: Option<SnapshotId>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ManageableSnapshots)]
pub struct Many {
    #[serde(rename = "manageable-snapshots")]
    snapshots: Vec<View>,
}

#[utoipa::path(
    get, path = "/v3/manageable_snapshots", tag = "manageable snapshots",
    operation_id = "list_manageable_snapshots",
    description = "Since 3.8. All snapshots of all images on the pool of a host.",
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
    get, path = "/v3/manageable_snapshots/detail", tag = "manageable snapshots",
    operation_id = "list_manageable_snapshots_in_detail",
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
    let (place, order) = asked(app, path, call, rules::LIST_MANAGEABLE_SNAPSHOTS)?;
    let found = look(&place, &order).await?;
    let mut repository = app.database.read().await?;
    let known = known(&mut repository, &found).await?;
    let snapshots = found.iter().map(|snapshot| snapshot.view(&known, with_detail)).collect();
    Ok(answer(StatusCode::OK, &Many { snapshots }))
}

struct Found {
    image: String,
    name: String,
    /// Bytes.
    size: u64,
}

/// The snapshots of the page: their images must be opened before one knows what they are called.
async fn look(place: &Place<'_>, order: &Order) -> Result<Vec<Found>, Fault> {
    let names = place.store.list().await?;
    let mut images = std::pin::pin!(manageable::snapshots(place.store.clone(), names));
    let mut found = Vec::new();
    while let Some((image, snapshots)) = images.next().await {
        found.extend(snapshots.into_iter().map(|snapshot| Found {
            image: image.clone(),
            name: snapshot.name,
            size: snapshot.size,
        }));
    }
    order.page(found, |snapshot| &snapshot.name, |snapshot| sizes(snapshot.size).0)
}

/// Those that are somebody's already.
async fn known(repository: &mut Repository, found: &[Found]) -> Result<BTreeSet<SnapshotId>, Fault> {
    let ids = found.iter().filter_map(|snapshot| names::snapshot_of(&snapshot.name));
    let filter =
        SnapshotFilter { id: Some(ids.map(|id| id.to_string()).collect()), ..SnapshotFilter::default() };
    let rows = repository.snapshots(&filter, &Page::default()).await?;
    Ok(rows.into_iter().map(|snapshot| snapshot.id).collect())
}

impl Found {
    fn view(&self, known: &BTreeSet<SnapshotId>, with_detail: bool) -> View {
        let cinder_id = names::snapshot_of(&self.name).filter(|id| known.contains(id));
        let (size, exact) = sizes(self.size);
        let reason_not_safe = if cinder_id.is_some() {
            Some("already managed")
        } else {
            names::needed_for(&self.name)
                .or(exact.is_none().then_some("its size is not a whole number of GiB"))
        };
        let detail = Detail { reason_not_safe, extra_info: None, cinder_id };
        View {
            reference: Reference::new(&self.name),
            size,
            safe_to_manage: reason_not_safe.is_none(),
            detail: with_detail.then_some(detail),
            source_reference: Reference::new(&self.image),
        }
    }
}
