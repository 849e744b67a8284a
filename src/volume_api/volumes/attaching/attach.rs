//! `os-attach`: someone has attached the volume, and says so.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::super::super::attachments;
use super::super::super::connection::is_readonly;
use super::super::super::fault::{Fault, empty_json};
use super::super::super::request::Call;
use super::super::super::schema::{Object, only_object};
use super::super::{find_to_change, target};
use super::check_no_maintenance;
use crate::db::{Attachment, Volume};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::{AttachMode, AttachmentId, AttachmentStatus, VolumeStatus};

/// Who has it, and how.
struct Wanted {
    instance_id: Option<String>,
    host: Option<String>,
    mountpoint: String,
    mode: AttachMode,
}

pub async fn attach(app: &App, call: &Call, id: &str, body: &Value) -> Result<Response, Fault> {
    let wanted = only_object(body, "os-attach", Wanted::read)?;
    let mut repository = app.database.begin().await?;
    let volume = find_to_change(&mut repository, call, id).await?;
    call.check(rules::ATTACH, &target(&volume))?;
    check_no_maintenance(&volume, "cannot be attached")?;
    if is_readonly(&volume) && wanted.mode != AttachMode::Ro {
        return Err(Fault::AttachMode { mode: wanted.mode, volume: volume.id });
    }
    let now = app.world.now();
    let attached = repository.attached_to(&[&volume.id]).await?;
    if !attached.iter().any(|attachment| wanted.is(attachment)) {
        check_free(&volume, wanted.mode)?;
        attachments::check_room(&mut repository, &volume).await?;
        let mut kept = volume.admin_metadata.0.clone();
        kept.entry("readonly".to_owned()).or_insert_with(|| "False".to_owned());
        kept.insert("attached_mode".to_owned(), wanted.mode.to_string());
        repository.set_admin_metadata(&volume.id, &kept, now).await?;
        let attachment = Attachment {
            id: AttachmentId::from(app.world.ids.random()),
            volume_id: volume.id.clone(),
            instance_id: wanted.instance_id,
            status: AttachmentStatus::Attached,
            host: wanted.host,
            mountpoint: Some(wanted.mountpoint),
            mode: Some(wanted.mode),
            access: None,
            attached_at: Some(now),
            created_at: now,
        };
        repository.add_attachment(&attachment).await?;
    }
    repository.follow_attachments(&volume.id, now).await?;
    repository.commit().await?;
    Ok(empty_json(StatusCode::ACCEPTED))
}

/// Refuses a volume that is somebody else's, or that is not ready.
fn check_free(volume: &Volume, mode: AttachMode) -> Result<(), Fault> {
    use VolumeStatus::{Attaching, Available, InUse};
    let begun = volume.admin_metadata.get("attached_mode");
    let refusal = match volume.status {
        Attaching if begun.is_some_and(|begun| begun != mode.as_str()) => {
            "being attached by different mode".to_owned()
        }
        Available | Attaching => return Ok(()),
        InUse if volume.is_shared() => return Ok(()),
        InUse => "volume is already attached and multiple attachments are not enabled".to_owned(),
        other => format!("status must be available or attaching, but it is {other}"),
    };
    Err(Fault::Invalid(format!("Error attaching volume - InvalidVolume: Invalid volume: {refusal}")))
}

impl Wanted {
    fn read(action: &Object<'_>) -> Result<Self, Fault> {
        let instance_id = action.plain_uuid("instance_uuid")?;
        let mountpoint = action.plain_text("mountpoint", 1)?;
        let host = action.plain_text("host_name", 0)?;
        let mode = action.one_text_of("mode", &["string"], &["rw", "ro"])?;
        action.require("mountpoint")?;
        action.only(&["instance_uuid", "mountpoint", "host_name", "mode"])?;
        if instance_id.is_none() && host.is_none() {
            let message = format!("{} is not valid under any of the given schemas", action.repr());
            return Err(action.refuse(message));
        }
        Ok(Self {
            instance_id: instance_id.map(str::to_owned),
            host: host.map(host_name).filter(|name| !name.is_empty()),
            mountpoint: mountpoint.unwrap_or_default().to_owned(),
            mode: if mode == Some("ro") { AttachMode::Ro } else { AttachMode::Rw },
        })
    }

    /// Said before: by the same server or, where there is none, by the same host. One without a name is
    /// nobody in particular.
    fn is(&self, attachment: &Attachment) -> bool {
        match &self.instance_id {
            Some(_) => attachment.instance_id == self.instance_id,
            None => self.host.is_some() && attachment.host == self.host,
        }
    }
}

/// What the real service makes of a host's name.
fn host_name(text: &str) -> String {
    let kept = text.chars().filter_map(|c| match c {
        ' ' | '_' => Some('-'),
        c if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') => Some(c.to_ascii_lowercase()),
        _ => None,
    });
    kept.collect::<String>().trim_matches(['.', '-']).to_owned()
}
