//! `os-reset_status`: a volume is what an administrator says it is, whatever it was.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::super::fault::{Fault, empty_json};
use super::super::python;
use super::super::request::Call;
use super::super::schema::{Object, only_object};
use super::{find_to_change, target};
use crate::db::VolumeReset;
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::MigrationStatus;
use crate::model::VolumeStatus::{self, *};

/// What may be said, in the order in which refusals name it.
const STATUSES: [VolumeStatus; 22] = [
    Creating,
    Available,
    Deleting,
    Error,
    ErrorDeleting,
    ErrorManaging,
    Managing,
    Attaching,
    InUse,
    Detaching,
    Maintenance,
    RestoringBackup,
    ErrorRestoring,
    Reserved,
    AwaitingTransfer,
    BackingUp,
    ErrorBackingUp,
    ErrorExtending,
    Downloading,
    Uploading,
    Retyping,
    Extending,
];
const ATTACH_STATUSES: [&str; 2] = ["attached", "detached"];
const MIGRATION_STATUSES: [&str; 6] = ["migrating", "error", "success", "completing", "none", "starting"];

pub async fn reset_status(app: &App, call: &Call, id: &str, body: &Value) -> Result<Response, Fault> {
    let (reset, detach) = only_object(body, "os-reset_status", read)?;
    let mut repository = app.database.begin().await?;
    let volume = find_to_change(&mut repository, call, id).await?;
    call.check(rules::RESET_STATUS, &target(&volume))?;
    let attachments = repository.attachments_of(&volume.id).await?;
    match reset.status {
        Some(Deleting) => return Err(Fault::Invalid("Cannot reset-state to deleting".to_owned())),
        Some(InUse) if attachments.is_empty() => {
            return Err(Fault::Invalid(
                "Cannot reset-state to in-use because volume does not have any attachments.".to_owned(),
            ));
        }
        _ => {}
    }
    tracing::info!(volume.id = %volume.id, from = %volume.status, ?reset, "a volume's status was reset");
    let now = app.world.now();
    repository.reset_volume(&volume.id, &reset, now).await?;
    if detach {
        for attachment in attachments {
            repository.remove_attachment(&attachment.id).await?;
        }
        let mut kept = volume.admin_metadata.0;
        kept.remove("attached_mode");
        repository.set_admin_metadata(&volume.id, &kept, now).await?;
        if reset.status.is_none() {
            repository.follow_attachments(&volume.id, now).await?;
        }
    }
    repository.commit().await?;
    Ok(empty_json(StatusCode::ACCEPTED))
}

/// What the body says, and whether all attachments are to go.
fn read(fields: &Object<'_>) -> Result<(VolumeReset, bool), Fault> {
    let says = |key| fields.fields().get(key).is_some_and(|value| !value.is_null() && value != "");
    if !["status", "attach_status", "migration_status"].into_iter().any(says) {
        return Err(Fault::Invalid(
            "Must specify 'status', 'attach_status' or 'migration_status' for update.".to_owned(),
        ));
    }
    let names = STATUSES.map(VolumeStatus::as_str);
    let status = choice(fields, "status", "Volume status", &names, python::tuple(&names))?;
    let attach_statuses = python::list(&ATTACH_STATUSES);
    // What is attached shows in the attachments alone: nobody makes some by saying so.
    let attach_status =
        choice(fields, "attach_status", "Volume attach status", &ATTACH_STATUSES, attach_statuses)?;
    let migration_statuses = python::tuple(&MIGRATION_STATUSES);
    let migration = "Volume migration status";
    let migration_status =
        choice(fields, "migration_status", migration, &MIGRATION_STATUSES, migration_statuses)?;
    fields.only(&["status", "attach_status", "migration_status"])?;
    let reset = VolumeReset {
        status: status.and_then(|name| STATUSES.into_iter().find(|status| status.as_str() == name)),
        migration_status: migration_status.map(|status| status.parse::<MigrationStatus>().ok()),
    };
    Ok((reset, attach_status.as_deref() == Some("detached")))
}

/// One of these, in lower case; nothing when it is left out, null or empty.
fn choice(
    fields: &Object<'_>,
    key: &str,
    what: &str,
    valid: &[&str],
    shown: String,
) -> Result<Option<String>, Fault> {
    let Some(given) = fields.string(key)?.value().filter(|given| !given.is_empty()) else { return Ok(None) };
    let name = given.to_lowercase();
    if valid.contains(&name.as_str()) {
        Ok(Some(name))
    } else {
        Err(Fault::Invalid(format!("{what}: {given} is invalid, valid statuses are: {shown}.")))
    }
}
