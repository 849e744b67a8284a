//! `/attachments`: volumes, and who uses them.

mod complete;
mod create;
mod delete;
mod forgotten;
mod list;
mod show;
mod update;
mod view;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use forgotten::Forgotten;

use super::connection::{Cluster, Connector};
use super::fault::Fault;
use super::request::Call;
use super::volumes;
use crate::db::{Attachment, Json, Repository, Volume, VolumeChange};
use crate::http::App;
use crate::identity::policy::{Target, volume as rules};
use crate::model::{Access, AttachMode, AttachmentId, AttachmentStatus, Timestamp, VolumeStatus};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(list::detail))
        .routes(routes!(show::show, update::update, delete::delete))
        .routes(routes!(complete::action))
}

/// An attachment as rules see it: it belongs to whom its volume belongs to.
fn target(attachment: &Attachment, volume: &Volume) -> Target {
    Target::new()
        .with("id", &attachment.id)
        .with("project_id", &volume.project_id)
        .with("user_id", &volume.user_id)
        .with("volume_id", &volume.id)
        .with_option("instance_uuid", attachment.instance_id.as_deref())
        .with("attach_status", attachment.status)
}

/// The attachment of this id with its volume, if the caller may see that.
pub async fn look_up(
    repository: &mut Repository,
    call: &Call,
    id: &str,
) -> Result<Option<(Attachment, Volume)>, Fault> {
    let Some(id) = AttachmentId::parse(id) else { return Ok(None) };
    let Some(attachment) = repository.attachment(&id).await? else { return Ok(None) };
    let volume = repository.volume(&attachment.volume_id).await?;
    let volume = volume.filter(|volume| call.may_see(&volume.project_id));
    let volume = volume.filter(|volume| call.guard.allows(rules::GET, &volumes::target(volume)));
    Ok(volume.map(|volume| (attachment, volume)))
}

async fn find(repository: &mut Repository, call: &Call, id: &str) -> Result<(Attachment, Volume), Fault> {
    look_up(repository, call, id).await?.ok_or_else(|| Fault::NoAttachment(id.to_owned()))
}

/// Likewise, and nobody else changes the volume or its attachments before the transaction ends.
async fn find_to_change(
    repository: &mut Repository,
    call: &Call,
    id: &str,
) -> Result<(Attachment, Volume), Fault> {
    let missing = || Fault::NoAttachment(id.to_owned());
    let (attachment, volume) = find(repository, call, id).await?;
    // The volume's row holds its attachments; they may have changed while it was waited for.
    let volume = repository.volume_to_change(&volume.id).await?.ok_or_else(missing)?;
    let attachment = repository.attachment(&attachment.id).await?.ok_or_else(missing)?;
    Ok((attachment, volume))
}

/// Whether the token of a service came with that of the caller.
fn is_asked_by_service(app: &App, call: &Call) -> bool {
    call.context.caller.comes_with_one_of(&app.config.keystone_authtoken.service_token_roles)
}

/// Refuses to take away what a server uses, unless a service asks for it or Nova has forgotten it (CVE-2023-2088): the
/// host would go on with a device that belongs to somebody else by then. `None`: nobody knows whose it is.
pub fn check_deletable(
    app: &App,
    call: &Call,
    attachment: Option<&Attachment>,
    forgotten: &Forgotten,
) -> Result<(), Fault> {
    if is_asked_by_service(app, call) {
        return Ok(());
    }
    let Some(attachment) = attachment else { return Err(Fault::InUseByServer(String::new())) };
    match forgotten::server(attachment) {
        Some(server) if !forgotten.is(attachment) => Err(Fault::InUseByServer(server.to_owned())),
        _ => Ok(()),
    }
}

/// More than any volume is attached at once, and few enough to look through.
const MOST: usize = 1000;

/// Refuses a volume that has as many attachments as any may have. The real service has no such bound.
pub async fn check_room(repository: &mut Repository, volume: &Volume) -> Result<(), Fault> {
    if repository.attachments_of(&volume.id).await?.len() < MOST {
        return Ok(());
    }
    Err(Fault::InvalidVolume(format!("Volume {} has {MOST} attachments already.", volume.id)))
}

/// Takes an attachment, if there is one, from its volume, which becomes what is left makes of it.
pub async fn remove(
    repository: &mut Repository,
    volume: &Volume,
    attachment: Option<&Attachment>,
    now: Timestamp,
) -> Result<(), Fault> {
    if let Some(attachment) = attachment {
        repository.remove_attachment(&attachment.id).await?;
    }
    let mut kept = volume.admin_metadata.0.clone();
    if kept.remove("attached_mode").is_some() {
        repository.set_admin_metadata(&volume.id, &kept, now).await?;
    }
    Ok(repository.follow_attachments(&volume.id, now).await?)
}

/// The host that the connector speaks of is told how it reaches the volume.
async fn connect(
    repository: &mut Repository,
    app: &App,
    cluster: &Cluster,
    volume: &Volume,
    attachment: &mut Attachment,
    connector: &Connector<'_>,
    now: Timestamp,
) -> Result<(), Fault> {
    // What was said when it was made counts more than what the host says.
    let mode = attachment.mode.or(connector.mode()).unwrap_or(AttachMode::Rw);
    let connection = cluster.connection(repository, app, volume, mode).await?;
    attachment.status = AttachmentStatus::Attaching;
    attachment.host = Some(connector.host().to_owned());
    attachment.mountpoint = Some(connector.mountpoint().to_owned());
    attachment.mode = Some(mode);
    attachment.access = Some(Json(Access { connection, enforce_multipath: connector.enforce_multipath() }));
    attachment.attached_at = Some(now);
    Ok(())
}

/// Changes a volume that nothing but its attachments keeps busy; any other stays as it is until its job ends, which
/// looks at the attachments then.
async fn move_volume(
    repository: &mut Repository,
    volume: &Volume,
    to: VolumeStatus,
    now: Timestamp,
) -> Result<(), Fault> {
    if volume.status.follows_attachments() && volume.status != to {
        repository.change_volume(&volume.id, volume.status, to, &VolumeChange::default(), now).await?;
    }
    Ok(())
}
