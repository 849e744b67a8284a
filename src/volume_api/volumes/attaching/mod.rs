//! Actions by which a volume is attached and detached, a file each.

mod attach;
mod begin_detaching;
mod detach;
mod force_detach;
mod initialize_connection;
mod reserve;
mod roll_detaching;
mod terminate_connection;
mod unreserve;

pub use attach::attach;
pub use begin_detaching::begin_detaching;
pub use detach::detach;
pub use force_detach::force_detach;
pub use initialize_connection::initialize_connection;
pub use reserve::reserve;
pub use roll_detaching::roll_detaching;
pub use terminate_connection::terminate_connection;
pub use unreserve::unreserve;

use super::super::attachments::{self, Forgotten};
use super::super::fault::Fault;
use super::super::request::Call;
use super::{find, target};
use crate::db::{Attachment, Repository, Volume};
use crate::http::App;
use crate::identity::policy::Rule;
use crate::model::{AttachmentId, VolumeStatus};

/// Refuses while an administrator works on the volume: it cannot be what `what` says.
fn check_no_maintenance(volume: &Volume, what: &str) -> Result<(), Fault> {
    match volume.status {
        VolumeStatus::Maintenance => {
            Err(Fault::InvalidVolume(format!("The volume {what} in maintenance mode.")))
        }
        _ => Ok(()),
    }
}

/// Asks Nova of the attachment of this id or, without one, of the only one there is; by the rule that stands before it.
async fn forgotten(
    app: &App,
    call: &Call,
    volume: &str,
    id: Option<&str>,
    rule: Rule,
) -> Result<Forgotten, Fault> {
    if !Forgotten::matters(app, call) {
        return Ok(Forgotten::default());
    }
    let mut repository = app.database.read().await?;
    let volume = find(&mut repository, call, volume).await?;
    let all = repository.attachments_of(&volume.id).await?;
    drop(repository);
    call.check(rule, &target(&volume))?;
    let one = match (id, all.as_slice()) {
        (Some(id), all) => named(all, id),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    Ok(Forgotten::ask(app, &volume, one).await)
}

/// Refuses to take away what a server uses: the attachment of this id or, without one, the only one there is.
async fn check_detachable(
    repository: &mut Repository,
    app: &App,
    call: &Call,
    volume: &Volume,
    id: Option<&str>,
    forgotten: &Forgotten,
) -> Result<(), Fault> {
    let all = repository.attachments_of(&volume.id).await?;
    match (id, all.as_slice()) {
        (None, []) => Ok(()),
        (None, [only]) => attachments::check_deletable(app, call, Some(only), forgotten),
        (None, _) => attachments::check_deletable(app, call, None, forgotten),
        (Some(id), all) => {
            let named = named(all, id);
            if named.is_none() && attachments::look_up(repository, call, id).await?.is_some() {
                return Err(Fault::InvalidInput("Mismatched volume and attachment".to_owned()));
            }
            attachments::check_deletable(app, call, named, forgotten)
        }
    }
}

fn named<'a>(attachments: &'a [Attachment], id: &str) -> Option<&'a Attachment> {
    let id = AttachmentId::parse(id)?;
    attachments.iter().find(|attachment| attachment.id == id)
}

/// `doing`: what a refusal says that could not be done.
async fn take_away(
    repository: &mut Repository,
    app: &App,
    volume: &Volume,
    id: Option<&str>,
    doing: &str,
) -> Result<(), Fault> {
    let all = repository.attachments_of(&volume.id).await?;
    let chosen = match (id, all.as_slice()) {
        (Some(id), all) => named(all, id),
        (None, [] | [_]) => all.first(),
        (None, _) => {
            return Err(Fault::Invalid(format!(
                "Error {doing} volume - InvalidVolume: Invalid volume: Detach volume failed: More than one \
                 attachment, but no attachment_id provided."
            )));
        }
    };
    attachments::remove(repository, volume, chosen, app.world.now()).await
}
