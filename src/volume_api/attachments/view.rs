//! An attachment as clients see it. The order of the fields is the order of the keys.

use serde::Serialize;
use utoipa::ToSchema;

use super::super::connection::Flat;
use super::super::request::Moment;
use crate::db;
use crate::model::AttachmentStatus;

/// What a list without detail says.
#[derive(Serialize, ToSchema)]
#[schema(as = AttachmentSummary)]
pub struct Summary<'a> {
    id: &'a str,
    status: &'static str,
    /// The server.
    instance: Option<&'a str>,
    volume_id: &'a str,
}

impl<'a> Summary<'a> {
    pub fn new(attachment: &'a db::Attachment) -> Self {
        Self {
            id: attachment.id.as_str(),
            status: attachment.status.as_str(),
            instance: attachment.instance_id.as_deref(),
            volume_id: attachment.volume_id.as_str(),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Attachment)]
pub struct View<'a> {
    id: &'a str,
    status: &'static str,
    /// The server.
    instance: Option<&'a str>,
    volume_id: &'a str,
    /// Empty before that.
    #[schema(value_type = String)]
    attached_at: MomentOrEmpty,
    /// Always empty: a detached one is not shown.
    detached_at: &'static str,
    /// `rw`, `ro`, or the text `null` as long as nobody said.
    attach_mode: &'static str,
    /// `null` of what `os-attach` made: nobody will ask.
    connection_info: Option<Info<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum MomentOrEmpty {
    Moment(Moment),
    Empty(&'static str),
}

/// How the volume is reached; empty as long as nobody asked.
#[derive(Serialize, ToSchema)]
#[schema(as = AttachmentConnectionInfo)]
struct Info<'a> {
    #[serde(flatten)]
    known: Option<Flat<'a>>,
}

impl<'a> View<'a> {
    pub fn new(attachment: &'a db::Attachment) -> Self {
        let Summary { id, status, instance, volume_id } = Summary::new(attachment);
        Self {
            id,
            status,
            instance,
            volume_id,
            attached_at: match attachment.attached_at {
                Some(moment) => MomentOrEmpty::Moment(Moment(moment)),
                None => MomentOrEmpty::Empty(""),
            },
            detached_at: "",
            attach_mode: attachment.mode.map_or("null", |mode| mode.as_str()),
            connection_info: match (&attachment.access, attachment.status) {
                (Some(access), _) => Some(Info { known: Some(Flat::new(access, id)) }),
                (None, AttachmentStatus::Attached) => None,
                (None, _) => Some(Info { known: None }),
            },
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = OneAttachment)]
pub struct One<'a> {
    pub attachment: View<'a>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AttachmentDetails)]
pub struct Details<'a> {
    pub attachments: Vec<View<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AttachmentSummaries)]
pub struct Summaries<'a> {
    pub attachments: Vec<Summary<'a>>,
}
