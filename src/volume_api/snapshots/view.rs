//! A snapshot as clients see it. The order of the fields is the order of the keys.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::super::links::NextLink;
use super::super::microversion::Microversion;
use super::super::request::{Call, Moment};
use crate::db;
use crate::identity::policy::volume as rules;
use crate::model::SnapshotStatus;

/// How much a view tells.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// A list without detail: the same keys in every version.
    Base,
    /// The answers to writes.
    Write,
    /// A show, and a list's detail.
    Read,
}

impl Depth {
    /// As much as the caller may read.
    pub fn read(call: &Call) -> Self {
        if call.has(rules::EXTENDED_SNAPSHOT_ATTRIBUTES) { Depth::Read } else { Depth::Write }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Snapshot)]
pub struct View<'a> {
    id: &'a str,
    #[schema(value_type = String)]
    created_at: Moment,
    #[schema(value_type = Option<String>)]
    updated_at: Option<Moment>,
    name: Option<&'a str>,
    description: Option<&'a str>,
    volume_id: &'a str,
    status: &'static str,
    /// GiB, of the volume when it was taken.
    size: i64,
    metadata: &'a BTreeMap<String, String>,
    /// Since 3.14.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    group_snapshot_id: Option<Option<&'a str>>,
    /// Since 3.41.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    /// Since 3.65.
    #[serde(skip_serializing_if = "Option::is_none")]
    consumes_quota: Option<bool>,
    #[serde(rename = "os-extended-snapshot-attributes:project_id", skip_serializing_if = "Option::is_none")]
    project_id: Option<&'a str>,
    /// `0%` or `100%`, unless someone said otherwise.
    #[serde(rename = "os-extended-snapshot-attributes:progress", skip_serializing_if = "Option::is_none")]
    progress: Option<&'a str>,
}

impl<'a> View<'a> {
    pub fn new(snapshot: &'a db::Snapshot, call: &Call, depth: Depth) -> Self {
        let since = |version| depth != Depth::Base && call.version >= version;
        let is_read = depth == Depth::Read;
        let taken = !matches!(snapshot.status, SnapshotStatus::Creating | SnapshotStatus::Error);
        Self {
            id: snapshot.id.as_str(),
            created_at: Moment(snapshot.created_at),
            updated_at: snapshot.updated_at.map(Moment),
            name: snapshot.name.as_deref(),
            description: snapshot.description.as_deref(),
            volume_id: snapshot.volume_id.as_str(),
            status: snapshot.status.as_str(),
            size: snapshot.size.get(),
            metadata: &snapshot.metadata,
            group_snapshot_id: since(Microversion::GROUP_SNAPSHOTS).then_some(None),
            user_id: since(Microversion::SNAPSHOT_USER_ID).then_some(snapshot.user_id.as_str()),
            consumes_quota: since(Microversion::CONSUMES_QUOTA).then_some(true),
            project_id: is_read.then_some(snapshot.project_id.as_str()),
            progress: is_read
                .then(|| snapshot.progress.as_deref().unwrap_or(if taken { "100%" } else { "0%" })),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = OneSnapshot)]
pub struct One<'a> {
    pub snapshot: View<'a>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Snapshots)]
pub struct Many<'a> {
    pub snapshots: Vec<View<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<NextLink>>)]
    pub snapshots_links: Option<[NextLink; 1]>,
    /// Since 3.45, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i64>,
}
