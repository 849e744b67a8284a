//! `os-reset_status`: a snapshot is what an administrator says it is, whatever it was.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::super::fault::{Fault, empty_json};
use super::super::python;
use super::super::request::Call;
use super::super::schema::{Object, only_object};
use super::{find_to_change, target};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::SnapshotStatus::{self, *};

/// What may be said, in the order in which refusals name it.
const STATUSES: [SnapshotStatus; 10] = [
    Error,
    Available,
    Creating,
    Deleting,
    Deleted,
    Updating,
    ErrorDeleting,
    Unmanaging,
    BackingUp,
    Restoring,
];

pub async fn reset_status(app: &App, call: &Call, id: &str, body: &Value) -> Result<Response, Fault> {
    let status = only_object(body, "os-reset_status", read)?;
    let mut repository = app.database.begin().await?;
    let snapshot = find_to_change(&mut repository, call, id).await?;
    call.check(rules::SNAPSHOT_RESET_STATUS, &target(&snapshot))?;
    tracing::info!(snapshot.id = %snapshot.id, from = %snapshot.status, to = %status, "a snapshot's status was reset");
    repository.reset_snapshot(&snapshot.id, status, app.world.now()).await?;
    repository.commit().await?;
    Ok(empty_json(StatusCode::ACCEPTED))
}

fn read(fields: &Object<'_>) -> Result<SnapshotStatus, Fault> {
    let given = fields.plain_text("status", 0)?;
    let status = given.map(|given| {
        let name = given.to_lowercase();
        STATUSES.into_iter().find(|status| status.as_str() == name).ok_or_else(|| {
            let shown = python::tuple(&STATUSES.map(SnapshotStatus::as_str));
            Fault::Invalid(format!("Snapshot status: {given} is invalid, valid statuses are: {shown}."))
        })
    });
    let status = status.transpose()?;
    fields.require("status")?;
    fields.only(&["status"])?;
    status.ok_or(Fault::Malformed)
}
