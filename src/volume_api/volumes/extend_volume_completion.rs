//! `os-extend_volume_completion`: for volumes whose growth waits for Nova.

use axum::response::Response;
use serde_json::Value;

use super::super::fault::Fault;
use super::super::request::Call;
use super::super::schema::only_object;
use super::{find, target};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::VolumeStatus;

/// On our stores volumes grow by themselves, attached or not: no extension ever waits to be completed, and what is
/// left of the action are its refusals.
pub async fn extend_volume_completion(
    app: &App,
    call: &Call,
    id: &str,
    body: &Value,
) -> Result<Response, Fault> {
    only_object(body, "os-extend_volume_completion", |action| {
        action.says("error")?;
        action.only(&["error"])
    })?;
    let volume = find(&mut app.database.read().await?, call, id).await?;
    call.check(rules::EXTEND_COMPLETE, &target(&volume))?;
    Err(Fault::InvalidVolume(match volume.status {
        VolumeStatus::Extending => "Required volume admin metadata is malformed or missing.".to_owned(),
        _ => "Volume is not being extended.".to_owned(),
    }))
}
