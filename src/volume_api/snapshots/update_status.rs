//! `os-update_snapshot_status`: how far whoever takes a snapshot has come (Nova, for volumes whose snapshots it takes
//! itself).

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::super::fault::{Fault, empty};
use super::super::request::Call;
use super::super::schema::{Object, only_object};
use super::{find_to_change, target};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::SnapshotStatus::{self, *};

pub async fn update_status(app: &App, call: &Call, id: &str, body: &Value) -> Result<Response, Fault> {
    let (status, progress) = only_object(body, "os-update_snapshot_status", read)?;
    let mut repository = app.database.begin().await?;
    let snapshot = find_to_change(&mut repository, call, id).await?;
    call.check(rules::SNAPSHOT_UPDATE_STATUS, &target(&snapshot))?;
    let allowed: &[SnapshotStatus] = match snapshot.status {
        Creating => &[Creating, Available, Error],
        Deleting => &[Deleting, ErrorDeleting],
        other => {
            return Err(Fault::Invalid(format!(
                "Snapshot status {other} not allowed for update_snapshot_status"
            )));
        }
    };
    let Some(&next) = allowed.iter().find(|allowed| allowed.as_str() == status) else {
        return Err(Fault::Invalid(format!(
            "Provided snapshot status {status} not allowed for snapshot with status {}.",
            snapshot.status
        )));
    };
    let now = app.world.now();
    if next != snapshot.status {
        repository.change_snapshot(&snapshot.id, snapshot.status, next, now).await?;
    }
    if let Some(progress) = progress {
        repository.set_snapshot_progress(&snapshot.id, &progress, now).await?;
    }
    repository.commit().await?;
    Ok(empty(StatusCode::ACCEPTED))
}

fn read<'a>(fields: &Object<'a>) -> Result<(&'a str, Option<String>), Fault> {
    let status = fields.plain_text("status", 0)?;
    let progress = match fields.fields().get("progress") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.is_empty() => None,
        Some(Value::String(text)) => Some(percentage(text)?),
        Some(_) => return Err(no_percentage()),
    };
    fields.require("status")?;
    fields.only(&["status", "progress"])?;
    Ok((status.ok_or(Fault::Malformed)?, progress))
}

/// `0%` to `100%`, and no longer than that, however much was written.
fn percentage(text: &str) -> Result<String, Fault> {
    let digits = text.char_indices().next_back().map_or("", |(last, _)| &text[..last]);
    let number = digits.trim().parse::<i64>().map_err(|_| no_percentage())?;
    if text.ends_with('%') && (0..=100).contains(&number) {
        Ok(format!("{number}%"))
    } else {
        Err(Fault::InvalidInput("progress must be an integer percentage between 0 and 100".to_owned()))
    }
}

fn no_percentage() -> Fault {
    Fault::InvalidInput("progress must be an integer percentage".to_owned())
}
