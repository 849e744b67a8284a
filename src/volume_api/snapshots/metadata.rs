//! `/snapshots/{snapshot_id}/metadata`: as of volumes, but without ETags.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::fault::Fault;
use super::super::metadata::{self, All, Holder, Item, Rules, Write};
use super::super::request::{Body, Call};
use super::{find, find_to_change, target};
use crate::db::{Json, Repository, Snapshot};
use crate::http::App;
use crate::identity::policy::{Target, volume as rules};
use crate::model::Timestamp;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, merge, replace)).routes(routes!(show, write, remove))
}

impl Holder for Snapshot {
    const KIND: &'static str = "Snapshot";
    const TAKES_STRANGERS: bool = true;
    const RULES: Rules = Rules {
        get: rules::GET_SNAPSHOT_METADATA,
        merge: rules::UPDATE_SNAPSHOT_METADATA,
        replace: rules::UPDATE_SNAPSHOT_METADATA,
        delete: rules::DELETE_SNAPSHOT_METADATA,
    };

    async fn find(repository: &mut Repository, call: &Call, id: &str) -> Result<Self, Fault> {
        find(repository, call, id).await
    }

    async fn find_to_change(repository: &mut Repository, call: &Call, id: &str) -> Result<Self, Fault> {
        find_to_change(repository, call, id).await
    }

    fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    fn target(&self) -> Target {
        target(self)
    }

    fn check_change(&self, _: &str) -> Result<(), Fault> {
        Ok(())
    }

    async fn save(
        mut self,
        repository: &mut Repository,
        metadata: BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<bool, Fault> {
        self.metadata = Json(metadata);
        self.updated_at = Some(now);
        Ok(repository.update_snapshot(&self).await?)
    }
}

#[utoipa::path(
    get, path = "/v3/snapshots/{snapshot_id}/metadata", tag = "snapshots",
    operation_id = "list_snapshot_metadata",
    params(("snapshot_id" = String, Path)),
    responses(
        (status = 200, body = All),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such snapshot"),
    ),
)]
async fn list(State(app): State<App>, call: Call, Path(id): Path<String>) -> Result<Response, Fault> {
    metadata::list::<Snapshot>(&app, &call, &id, false).await
}

#[utoipa::path(
    post, path = "/v3/snapshots/{snapshot_id}/metadata", tag = "snapshots",
    operation_id = "add_snapshot_metadata",
    params(("snapshot_id" = String, Path)), request_body = All,
    responses(
        (status = 200, body = All),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such snapshot"),
        (status = 413, description = "There are too many items"),
    ),
)]
async fn merge(
    State(app): State<App>,
    call: Call,
    Path(id): Path<String>,
    Body(body): Body,
) -> Result<Response, Fault> {
    metadata::write::<Snapshot>(&app, &call, &id, &body, Write::Merge, None).await
}

#[utoipa::path(
    put, path = "/v3/snapshots/{snapshot_id}/metadata", tag = "snapshots",
    operation_id = "replace_snapshot_metadata",
    params(("snapshot_id" = String, Path)), request_body = All,
    responses(
        (status = 200, body = All),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such snapshot"),
        (status = 413, description = "There are too many items"),
    ),
)]
async fn replace(
    State(app): State<App>,
    call: Call,
    Path(id): Path<String>,
    Body(body): Body,
) -> Result<Response, Fault> {
    metadata::write::<Snapshot>(&app, &call, &id, &body, Write::Replace, None).await
}

#[utoipa::path(
    get, path = "/v3/snapshots/{snapshot_id}/metadata/{key}", tag = "snapshots",
    operation_id = "show_snapshot_metadata_item",
    params(("snapshot_id" = String, Path), ("key" = String, Path)),
    responses(
        (status = 200, body = Item),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such snapshot or key"),
    ),
)]
async fn show(
    State(app): State<App>,
    call: Call,
    Path((id, key)): Path<(String, String)>,
) -> Result<Response, Fault> {
    metadata::show::<Snapshot>(&app, &call, &id, &key).await
}

#[utoipa::path(
    put, path = "/v3/snapshots/{snapshot_id}/metadata/{key}", tag = "snapshots",
    operation_id = "write_snapshot_metadata_item",
    params(("snapshot_id" = String, Path), ("key" = String, Path)), request_body = Item,
    responses(
        (status = 200, body = Item),
        (status = 400, description = "The body is of another key"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such snapshot"),
        (status = 413, description = "There are too many items"),
    ),
)]
async fn write(
    State(app): State<App>,
    call: Call,
    Path((id, key)): Path<(String, String)>,
    Body(body): Body,
) -> Result<Response, Fault> {
    metadata::write_item::<Snapshot>(&app, &call, &id, &key, &body, None).await
}

#[utoipa::path(
    delete, path = "/v3/snapshots/{snapshot_id}/metadata/{key}", tag = "snapshots",
    operation_id = "delete_snapshot_metadata_item",
    params(("snapshot_id" = String, Path), ("key" = String, Path)),
    responses(
        (status = 200, description = "It is gone"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such snapshot or key"),
    ),
)]
async fn remove(
    State(app): State<App>,
    call: Call,
    Path((id, key)): Path<(String, String)>,
) -> Result<Response, Fault> {
    metadata::delete_item::<Snapshot>(&app, &call, &id, &key).await
}
