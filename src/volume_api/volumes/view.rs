//! A volume as clients see it. The order of the fields is the order of the keys.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::links::{Link, NextLink};
use super::super::microversion::Microversion;
use super::super::request::{Call, Moment};
use super::attached::Attached;
use super::filter::TARGET_OF;
use crate::db;
use crate::identity::policy::volume as rules;
use crate::model::{Host, MigrationStatus, ReplicationStatus, VolumeId, VolumeStatus};

/// Where a view stands: in a list's detail and a show there is more than in the answers to writes.
#[derive(Clone, Copy)]
pub enum Place {
    Read(Extensions),
    Write,
}

/// What reading tells beyond the volume itself, each by a rule of its own.
#[derive(Clone, Copy, Default)]
pub struct Extensions {
    tenant: bool,
    mig_status: bool,
    image_metadata: bool,
    host: bool,
}

impl Place {
    /// As much as the caller may read.
    pub fn read(call: &Call) -> Self {
        Place::Read(Extensions {
            tenant: call.has(rules::TENANT_ATTRIBUTE),
            mig_status: call.has(rules::MIG_STATUS_ATTRIBUTE),
            image_metadata: call.has(rules::IMAGE_METADATA_SHOW),
            host: call.has(rules::HOST_ATTRIBUTE),
        })
    }
}

/// Keys that not every version, caller or place has are `None` there.
#[derive(Serialize, ToSchema)]
#[schema(as = Volume)]
pub struct View<'a> {
    id: &'a str,
    status: &'static str,
    /// GiB.
    size: i64,
    availability_zone: &'a str,
    #[schema(value_type = String)]
    created_at: Moment,
    #[schema(value_type = Option<String>)]
    updated_at: Option<Moment>,
    name: Option<&'a str>,
    description: Option<&'a str>,
    volume_type: &'a str,
    snapshot_id: Option<&'a str>,
    source_volid: Option<&'a str>,
    /// With what the service itself keeps: `readonly`, `attached_mode`.
    #[schema(value_type = BTreeMap<String, String>)]
    metadata: Cow<'a, BTreeMap<String, String>>,
    #[schema(value_type = Vec<Link>)]
    links: [Link<'a>; 2],
    user_id: &'a str,
    /// `"true"` or `"false"`: a text.
    bootable: &'static str,
    encrypted: bool,
    replication_status: Option<&'a str>,
    consistencygroup_id: Option<&'a str>,
    multiattach: bool,
    /// Those that are attached.
    attachments: Vec<Attachment<'a>>,
    /// For administrators.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    migration_status: Option<Option<Cow<'a, str>>>,
    /// Since 3.13.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    group_id: Option<Option<&'a str>>,
    /// Since 3.21, for administrators.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    provider_id: Option<Option<&'a str>>,
    /// Since 3.48.
    #[serde(skip_serializing_if = "Option::is_none")]
    shared_targets: Option<bool>,
    /// Since 3.48, of a volume that is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    service_uuid: Option<Option<Uuid>>,
    /// Since 3.61, for administrators.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    cluster_name: Option<Option<&'a str>>,
    /// Since 3.63.
    #[serde(skip_serializing_if = "Option::is_none")]
    volume_type_id: Option<&'a str>,
    /// Since 3.65.
    #[serde(skip_serializing_if = "Option::is_none")]
    consumes_quota: Option<bool>,
    #[serde(rename = "os-vol-tenant-attr:tenant_id", skip_serializing_if = "Option::is_none")]
    tenant_id: Option<&'a str>,
    /// For administrators.
    #[serde(rename = "os-vol-mig-status-attr:migstat", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    migstat: Option<Option<Cow<'a, str>>>,
    /// For administrators.
    #[serde(rename = "os-vol-mig-status-attr:name_id", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    name_id: Option<Option<&'a str>>,
    /// Of a volume that was made from an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    volume_image_metadata: Option<&'a BTreeMap<String, String>>,
    /// For administrators.
    #[serde(rename = "os-vol-host-attr:host", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    host: Option<Option<&'a str>>,
}

/// An attachment, as its volume shows it.
#[derive(Serialize, ToSchema)]
#[schema(as = VolumeAttachment)]
pub struct Attachment<'a> {
    /// Of the volume.
    id: &'a str,
    attachment_id: &'a str,
    volume_id: &'a str,
    server_id: Option<&'a str>,
    /// For administrators and services.
    host_name: Option<&'a str>,
    device: Option<&'a str>,
    #[schema(value_type = Option<String>)]
    attached_at: Option<Moment>,
}

impl<'a> Attachment<'a> {
    fn new(attachment: &'a db::Attachment, shows_host: bool) -> Self {
        Self {
            id: attachment.volume_id.as_str(),
            attachment_id: attachment.id.as_str(),
            volume_id: attachment.volume_id.as_str(),
            server_id: attachment.instance_id.as_deref(),
            host_name: attachment.host.as_deref().filter(|_| shows_host),
            device: attachment.mountpoint.as_deref(),
            attached_at: attachment.attached_at.map(Moment),
        }
    }
}

fn metadata(volume: &db::Volume) -> Cow<'_, BTreeMap<String, String>> {
    if volume.admin_metadata.is_empty() {
        return Cow::Borrowed(&volume.metadata);
    }
    let mut metadata = volume.metadata.0.clone();
    metadata.extend(volume.admin_metadata.iter().map(|(key, text)| (key.clone(), text.clone())));
    Cow::Owned(metadata)
}

pub fn migration_status(volume: &db::Volume) -> Option<Cow<'static, str>> {
    match (volume.migration_status?, &volume.name_id) {
        (MigrationStatus::Target, Some(of)) => Some(Cow::Owned(format!("{TARGET_OF}{of}"))),
        (status, _) => Some(Cow::Borrowed(status.as_str())),
    }
}

/// Whoever makes a volume says so when it is done.
fn service_uuid(volume: &db::Volume) -> Option<Uuid> {
    let is_made = !matches!(volume.status, VolumeStatus::Creating | VolumeStatus::Downloading);
    let host = volume.host.as_deref().filter(|_| is_made)?;
    Some(Host::parse(host).service_id())
}

impl<'a> View<'a> {
    pub fn new(volume: &'a db::Volume, attached: &'a Attached, call: &'a Call, place: Place) -> Self {
        let since = |version| call.version >= version;
        let is_admin = call.guard.is_admin();
        let shows_host = is_admin || call.context.caller.has_role("service");
        let shown = match place {
            Place::Read(extensions) => extensions,
            Place::Write => Extensions::default(),
        };
        let migration_status = migration_status(volume);
        Self {
            id: volume.id.as_str(),
            status: shown_status(volume.status),
            size: volume.size.get(),
            availability_zone: &volume.availability_zone,
            created_at: Moment(volume.created_at),
            updated_at: volume.updated_at.map(Moment),
            name: volume.name.as_deref(),
            description: volume.description.as_deref(),
            volume_type: &volume.volume_type_name,
            snapshot_id: volume.snapshot_id.as_ref().map(|id| id.as_str()),
            source_volid: volume.source_volume_id.as_ref().map(|id| id.as_str()),
            metadata: metadata(volume),
            links: call.links.of("volumes", volume.id.as_str()),
            user_id: volume.user_id.as_str(),
            bootable: if volume.bootable { "true" } else { "false" },
            encrypted: false,
            replication_status: volume.replication_status.map(ReplicationStatus::as_str),
            consistencygroup_id: None,
            multiattach: volume.multiattach,
            attachments: attached.of(volume).iter().map(|one| Attachment::new(one, shows_host)).collect(),
            migration_status: is_admin.then(|| migration_status.clone()),
            group_id: since(Microversion::GROUPS).then_some(None),
            provider_id: (is_admin && since(Microversion::PROVIDER_ID)).then_some(None),
            shared_targets: since(Microversion::SHARED_TARGETS).then_some(false),
            service_uuid: since(Microversion::SHARED_TARGETS).then(|| service_uuid(volume)),
            cluster_name: (is_admin && since(Microversion::CLUSTER_NAME)).then_some(None),
            volume_type_id: since(Microversion::TYPE_ID).then_some(volume.volume_type_id.as_str()),
            consumes_quota: since(Microversion::CONSUMES_QUOTA).then_some(volume.name_id.is_none()),
            tenant_id: shown.tenant.then_some(volume.project_id.as_str()),
            migstat: shown.mig_status.then_some(migration_status),
            name_id: shown.mig_status.then_some(volume.name_id.as_ref().map(VolumeId::as_str)),
            volume_image_metadata: volume
                .image_metadata
                .as_ref()
                .map(|metadata| &metadata.0)
                .filter(|metadata| shown.image_metadata && !metadata.is_empty()),
            host: shown.host.then_some(volume.host.as_deref()),
        }
    }
}

impl<'a> View<'a> {
    /// With the keys of the first version alone.
    pub fn of_every_version(volume: &'a db::Volume, attached: &'a Attached, call: &'a Call) -> Self {
        Self {
            group_id: None,
            provider_id: None,
            shared_targets: None,
            service_uuid: None,
            cluster_name: None,
            volume_type_id: None,
            consumes_quota: None,
            ..Self::new(volume, attached, call, Place::Write)
        }
    }
}

/// How a volume came to be here is nobody's business.
fn shown_status(status: VolumeStatus) -> &'static str {
    match status {
        VolumeStatus::Managing => VolumeStatus::Creating,
        VolumeStatus::ErrorManaging => VolumeStatus::Error,
        VolumeStatus::ErrorManagingDeleting => VolumeStatus::Deleting,
        other => other,
    }
    .as_str()
}

/// What a list without detail says of a volume.
#[derive(Serialize, ToSchema)]
#[schema(as = VolumeSummary)]
pub struct Summary<'a> {
    id: &'a str,
    name: Option<&'a str>,
    #[schema(value_type = Vec<Link>)]
    links: [Link<'a>; 2],
}

impl<'a> Summary<'a> {
    pub fn new(volume: &'a db::Volume, call: &'a Call) -> Self {
        Self {
            id: volume.id.as_str(),
            name: volume.name.as_deref(),
            links: call.links.of("volumes", volume.id.as_str()),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = OneVolume)]
pub struct One<'a> {
    pub volume: View<'a>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = VolumeDetails)]
pub struct Details<'a> {
    pub volumes: Vec<View<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<NextLink>>)]
    pub volumes_links: Option<[NextLink; 1]>,
    /// Since 3.45, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i64>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = VolumeSummaries)]
pub struct Summaries<'a> {
    pub volumes: Vec<Summary<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<NextLink>>)]
    pub volumes_links: Option<[NextLink; 1]>,
    /// Since 3.45, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i64>,
}
