//! `/volumes/{volume_id}/metadata`

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::fault::Fault;
use super::super::metadata::{self, All, Holder, Item, Rules, Write};
use super::super::microversion::Microversion;
use super::super::request::{Body, Call};
use super::{find, find_to_change, target};
use crate::db::{Json, Repository, Volume};
use crate::http::App;
use crate::identity::policy::{Target, volume as rules};
use crate::model::{Timestamp, VolumeStatus};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, merge, replace)).routes(routes!(show, write, remove))
}

impl Holder for Volume {
    const KIND: &'static str = "Volume";
    const TAKES_STRANGERS: bool = false;
    const RULES: Rules = Rules {
        get: rules::GET_METADATA,
        merge: rules::CREATE_METADATA,
        replace: rules::UPDATE_METADATA,
        delete: rules::DELETE_METADATA,
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

    fn check_change(&self, doing: &str) -> Result<(), Fault> {
        match self.status {
            VolumeStatus::Maintenance | VolumeStatus::Uploading => Err(Fault::InvalidVolume(format!(
                "{doing} volume metadata is not allowed for volumes in {} status.",
                self.status
            ))),
            _ => Ok(()),
        }
    }

    async fn save(
        mut self,
        repository: &mut Repository,
        metadata: BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<bool, Fault> {
        self.metadata = Json(metadata);
        self.updated_at = Some(now);
        Ok(repository.update_volume(&self).await?)
    }
}

#[utoipa::path(
    get, path = "/v3/volumes/{volume_id}/metadata", tag = "volumes", operation_id = "list_volume_metadata",
    params(("volume_id" = String, Path)),
    responses(
        (status = 200, body = All,
            headers(("ETag" = String, description = "Since 3.15: of the metadata as it is, for `If-Match`"))),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such volume"),
    ),
)]
async fn list(State(app): State<App>, call: Call, Path(id): Path<String>) -> Result<Response, Fault> {
    metadata::list::<Volume>(&app, &call, &id, call.version >= Microversion::ETAGS).await
}

#[utoipa::path(
    post, path = "/v3/volumes/{volume_id}/metadata", tag = "volumes", operation_id = "add_volume_metadata",
    params(("volume_id" = String, Path)), request_body = All,
    responses(
        (status = 200, body = All),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such volume"),
        (status = 413, description = "There are too many items"),
    ),
)]
async fn merge(
    State(app): State<App>,
    call: Call,
    Path(id): Path<String>,
    Body(body): Body,
) -> Result<Response, Fault> {
    metadata::write::<Volume>(&app, &call, &id, &body, Write::Merge, None).await
}

#[utoipa::path(
    put, path = "/v3/volumes/{volume_id}/metadata", tag = "volumes", operation_id = "replace_volume_metadata",
    params(("volume_id" = String, Path), ("If-Match" = Option<String>, Header, description = "Since 3.15")),
    request_body = All,
    responses(
        (status = 200, body = All),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such volume"),
        (status = 412, description = "It is not any more what the ETag was of"),
        (status = 413, description = "There are too many items"),
    ),
)]
async fn replace(
    State(app): State<App>,
    call: Call,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Fault> {
    let headers = matched(&call, &headers);
    metadata::write::<Volume>(&app, &call, &id, &body, Write::Replace, headers).await
}

#[utoipa::path(
    get, path = "/v3/volumes/{volume_id}/metadata/{key}", tag = "volumes",
    operation_id = "show_volume_metadata_item",
    params(("volume_id" = String, Path), ("key" = String, Path)),
    responses(
        (status = 200, body = Item),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such volume or key"),
    ),
)]
async fn show(
    State(app): State<App>,
    call: Call,
    Path((id, key)): Path<(String, String)>,
) -> Result<Response, Fault> {
    metadata::show::<Volume>(&app, &call, &id, &key).await
}

#[utoipa::path(
    put, path = "/v3/volumes/{volume_id}/metadata/{key}", tag = "volumes",
    operation_id = "write_volume_metadata_item",
    params(("volume_id" = String, Path), ("key" = String, Path),
        ("If-Match" = Option<String>, Header, description = "Since 3.15")),
    request_body = Item,
    responses(
        (status = 200, body = Item),
        (status = 400, description = "The body is of another key"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such volume"),
        (status = 412, description = "The metadata is not any more what the ETag was of"),
        (status = 413, description = "There are too many items"),
    ),
)]
async fn write(
    State(app): State<App>,
    call: Call,
    Path((id, key)): Path<(String, String)>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Fault> {
    let headers = matched(&call, &headers);
    metadata::write_item::<Volume>(&app, &call, &id, &key, &body, headers).await
}

#[utoipa::path(
    delete, path = "/v3/volumes/{volume_id}/metadata/{key}", tag = "volumes",
    operation_id = "delete_volume_metadata_item",
    params(("volume_id" = String, Path), ("key" = String, Path)),
    responses(
        (status = 200, description = "It is gone"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such volume or key"),
    ),
)]
async fn remove(
    State(app): State<App>,
    call: Call,
    Path((id, key)): Path<(String, String)>,
) -> Result<Response, Fault> {
    metadata::delete_item::<Volume>(&app, &call, &id, &key).await
}

/// The headers, where the version knows of ETags.
fn matched<'a>(call: &Call, headers: &'a HeaderMap) -> Option<&'a HeaderMap> {
    (call.version >= Microversion::ETAGS).then_some(headers)
}
