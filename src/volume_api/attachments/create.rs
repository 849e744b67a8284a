//! `POST /attachments`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::connection::{Cluster, Connector, is_readonly};
use super::super::fault::{Fault, answer};
use super::super::microversion::Microversion;
use super::super::request::{Body, Call};
use super::super::schema::{Object, only_object};
use super::super::volumes;
use super::view::{One, View};
use super::{check_room, connect, move_volume};
use crate::db::{Attachment, Repository, Volume};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::{AttachMode, AttachmentId, AttachmentStatus, VolumeStatus};

#[utoipa::path(
    post, path = "/v3/attachments", tag = "attachments", operation_id = "create_attachment",
    description = "Since 3.27. Reserves a volume or, with a `connector`, says at once how it is reached. One \
        that is being filled can be reserved as well, by one server unless it is for several.",
    request_body = Object,
    responses(
        (status = 200, body = One),
        (status = 400, description = "The body is not usable, or the volume's status forbids it"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such volume"),
        (status = 501, description = "The volume lies in a store whose volumes cannot be attached"),
    ),
)]
pub async fn create(State(app): State<App>, call: Call, Body(body): Body) -> Result<Response, Fault> {
    call.since(Microversion::ATTACHMENTS)?;
    let wanted = only_object(&body, "attachment", |attachment| Wanted::read(attachment, call.version))?;
    let cluster = match wanted.connector {
        Some(_) => {
            let mut repository = app.database.read().await?;
            let volume = volumes::find(&mut repository, &call, wanted.volume_id).await?;
            check(&mut repository, &call, &volume, &wanted).await?;
            drop(repository);
            Some(Cluster::ask(&app, &volume, "Unable to create attachment for volume.").await?)
        }
        None => None,
    };

    let mut repository = app.database.begin().await?;
    let volume = volumes::find_to_change(&mut repository, &call, wanted.volume_id).await?;
    let is_free = check(&mut repository, &call, &volume, &wanted).await?;
    let now = app.world.now();
    let mut attachment = Attachment {
        id: AttachmentId::from(app.world.ids.random()),
        volume_id: volume.id.clone(),
        instance_id: wanted.instance_id.map(str::to_owned),
        status: AttachmentStatus::Reserved,
        host: None,
        mountpoint: None,
        mode: if is_readonly(&volume) { Some(AttachMode::Ro) } else { wanted.mode },
        access: None,
        attached_at: None,
        created_at: now,
    };
    let mut status = VolumeStatus::Reserved;
    if let (Some(cluster), Some(connector)) = (cluster, &wanted.connector) {
        connect(&mut repository, &app, &cluster, &volume, &mut attachment, connector, now).await?;
        status = VolumeStatus::Attaching;
    } else if !is_free {
        // The server's second reservation leaves the volume to the first.
        status = volume.status;
    }
    repository.add_attachment(&attachment).await?;
    move_volume(&mut repository, &volume, status, now).await?;
    repository.commit().await?;
    Ok(answer(StatusCode::OK, &One { attachment: View::new(&attachment) }))
}

/// What the body says.
struct Wanted<'a> {
    volume_id: &'a str,
    instance_id: Option<&'a str>,
    connector: Option<Connector<'a>>,
    mode: Option<AttachMode>,
}

impl<'a> Wanted<'a> {
    fn read(attachment: &Object<'a>, version: Microversion) -> Result<Self, Fault> {
        let instance_id = attachment.plain_uuid("instance_uuid")?;
        let connector = attachment.object_or("connector", &["object", "null"])?;
        let volume_id = attachment.plain_uuid("volume_uuid")?;
        let mut known = vec!["instance_uuid", "connector", "volume_uuid"];
        let mut mode = None;
        if version >= Microversion::ATTACHMENT_MODE {
            known.push("mode");
            mode = attachment
                .one_text_of("mode", &["string"], &["rw", "ro"])?
                .and_then(|mode| mode.parse().ok());
        }
        attachment.require("volume_uuid")?;
        attachment.only(&known)?;
        Ok(Self {
            volume_id: volume_id.ok_or(Fault::Malformed)?,
            instance_id,
            // An empty one is as good as none.
            connector: connector.filter(|fields| !fields.is_empty()).map(Connector::new).transpose()?,
            mode,
        })
    }
}

/// Nobody's, or everybody's. What is being filled keeps that status when it is reserved: its attachments
/// alone say so.
fn is_free(volume: &Volume, attachments: &[Attachment]) -> bool {
    match volume.status {
        VolumeStatus::Available => true,
        VolumeStatus::Downloading => volume.multiattach || attachments.is_empty(),
        VolumeStatus::InUse => volume.is_shared(),
        _ => false,
    }
}

/// Whether the server has it, or is about to: one that moves to another host attaches the volume there before
/// it lets go of it here.
fn is_of(server: &str, volume: &Volume, attachments: &[Attachment]) -> bool {
    let is_its = |attachment: &Attachment| attachment.instance_id.as_deref() == Some(server);
    match volume.status {
        VolumeStatus::InUse | VolumeStatus::Reserved => attachments.iter().any(is_its),
        VolumeStatus::Downloading => attachments.iter().all(is_its),
        _ => false,
    }
}

/// Refuses what the caller, or the volume's status, forbids. Otherwise answers whether the volume is free.
async fn check(
    repository: &mut Repository,
    call: &Call,
    volume: &Volume,
    wanted: &Wanted<'_>,
) -> Result<bool, Fault> {
    let target = volumes::target(volume);
    call.check(rules::ATTACHMENT_CREATE, &target)?;
    if volume.status.is_error() {
        return Err(Fault::InvalidVolume(format!(
            "Volume attachments can not be created if the volume is in an error state. The Volume {} currently has a \
             status of: {} ",
            volume.id, volume.status
        )));
    }
    if volume.multiattach && volume.status == VolumeStatus::InUse && volume.bootable {
        call.check(rules::MULTIATTACH_BOOTABLE, &target)?;
    }
    check_room(repository, volume).await?;
    let attachments = repository.attachments_of(&volume.id).await?;
    if is_free(volume, &attachments) {
        return Ok(true);
    }
    if wanted.instance_id.is_some_and(|server| is_of(server, volume, &attachments)) {
        return Ok(false);
    }
    Err(refused(volume))
}

fn refused(volume: &Volume) -> Fault {
    let expected =
        if volume.multiattach { "available or in-use or downloading" } else { "available or downloading" };
    let current = match volume.status {
        // Somebody has reserved it: the real service calls it so from then on.
        VolumeStatus::Downloading => VolumeStatus::Reserved,
        other => other,
    };
    Fault::InvalidVolume(format!(
        "Volume {} status must be {expected} to reserve, but the current status is {current}.",
        volume.id
    ))
}
