//! A message as clients see it. The order of the fields is the order of the keys.

use serde::Serialize;
use utoipa::ToSchema;

use super::super::links::{Link, NextLink};
use super::super::request::{Call, Moment};
use crate::config::Config;
use crate::db;
use crate::model::Event;

#[derive(Serialize, ToSchema)]
#[schema(as = Message)]
pub struct View<'a> {
    id: &'a str,
    event_id: &'a str,
    user_message: String,
    message_level: &'a str,
    #[schema(value_type = String)]
    created_at: Moment,
    /// Later it may be gone.
    #[schema(value_type = String)]
    guaranteed_until: Moment,
    request_id: Option<&'a str>,
    #[schema(value_type = Vec<Link>)]
    links: [Link<'a>; 2],
    /// `VOLUME` or `VOLUME_SNAPSHOT`.
    resource_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_uuid: Option<&'a str>,
}

impl<'a> View<'a> {
    pub fn new(message: &'a db::Message, call: &'a Call, config: &Config) -> Self {
        let event = Event::parse(&message.event_id);
        Self {
            id: message.id.as_str(),
            event_id: &message.event_id,
            user_message: event.map_or_else(|| "unknown action".to_owned(), Event::text),
            message_level: &message.message_level,
            created_at: Moment(message.created_at),
            guaranteed_until: Moment(message.created_at.plus_seconds(config.volumes.message_lifetime())),
            request_id: message.request_id.as_deref(),
            links: call.links.of("messages", message.id.as_str()),
            resource_type: &message.resource_type,
            resource_uuid: message.resource_uuid.as_deref(),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = OneMessage)]
pub struct One<'a> {
    pub message: View<'a>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Messages)]
pub struct Many<'a> {
    pub messages: Vec<View<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<NextLink>>)]
    pub messages_links: Option<[NextLink; 1]>,
}
