//! A transfer as clients see it. The order of the fields is the order of the keys.

use serde::Serialize;
use utoipa::ToSchema;

use super::super::links::{Link, NextLink};
use super::super::microversion::Microversion;
use super::super::request::{Call, Moment};
use crate::db;

/// By this name in links to a transfer, whatever the request called it.
const COLLECTION: &str = "os-volume-transfer";

/// Keys that not every version or answer has are `None` there.
#[derive(Serialize, ToSchema)]
#[schema(as = Transfer)]
pub struct View<'a> {
    id: &'a str,
    #[schema(value_type = String)]
    created_at: Moment,
    name: Option<&'a str>,
    volume_id: &'a str,
    /// Told to who makes the transfer, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_key: Option<&'a str>,
    #[schema(value_type = Vec<Link>)]
    links: [Link<'a>; 2],
    /// Since 3.55.
    #[serde(skip_serializing_if = "Option::is_none")]
    no_snapshots: Option<bool>,
    /// Since 3.57; null, for a transfer that was accepted is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    destination_project_id: Option<Option<&'a str>>,
    /// Since 3.57.
    #[serde(skip_serializing_if = "Option::is_none")]
    source_project_id: Option<&'a str>,
    /// Since 3.57.
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<bool>,
}

impl<'a> View<'a> {
    pub fn new(transfer: &'a db::Transfer, call: &'a Call) -> Self {
        let has_history = call.version >= Microversion::TRANSFER_HISTORY;
        Self {
            id: transfer.id.as_str(),
            created_at: Moment(transfer.created_at),
            name: transfer.name.as_deref(),
            volume_id: transfer.volume_id.as_str(),
            auth_key: None,
            links: call.links.of(COLLECTION, transfer.id.as_str()),
            no_snapshots: (call.version >= Microversion::TRANSFER_SNAPSHOTS).then_some(transfer.no_snapshots),
            destination_project_id: has_history.then_some(None),
            source_project_id: has_history.then_some(transfer.source_project_id.as_str()),
            accepted: has_history.then_some(false),
        }
    }

    pub fn with_key(self, key: &'a str) -> Self {
        Self { auth_key: Some(key), ..self }
    }
}

/// What a list without detail, and who accepts it, is told of a transfer.
#[derive(Serialize, ToSchema)]
#[schema(as = TransferSummary)]
pub struct Summary<'a> {
    id: &'a str,
    volume_id: &'a str,
    name: Option<&'a str>,
    #[schema(value_type = Vec<Link>)]
    links: [Link<'a>; 2],
}

impl<'a> Summary<'a> {
    pub fn new(transfer: &'a db::Transfer, call: &'a Call) -> Self {
        Self {
            id: transfer.id.as_str(),
            volume_id: transfer.volume_id.as_str(),
            name: transfer.name.as_deref(),
            links: call.links.of(COLLECTION, transfer.id.as_str()),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = OneTransfer)]
pub struct One<'a> {
    pub transfer: View<'a>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = OneTransferSummary)]
pub struct OneSummary<'a> {
    pub transfer: Summary<'a>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = TransferDetails)]
pub struct Details<'a> {
    pub transfers: Vec<View<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<NextLink>>)]
    pub transfers_links: Option<[NextLink; 1]>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = TransferSummaries)]
pub struct Summaries<'a> {
    pub transfers: Vec<Summary<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<NextLink>>)]
    pub transfers_links: Option<[NextLink; 1]>,
}
