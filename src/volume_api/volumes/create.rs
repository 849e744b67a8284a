//! `POST /volumes`

pub(super) mod image;
mod source;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::super::fault::{Fault, answer};
use super::super::microversion::Microversion;
use super::super::placement::{self, HINTS, Hints};
use super::super::quotas::reserve;
use super::super::request::{Body, Call};
use super::super::schema::Object;
use super::super::types;
use super::attached::Attached;
use super::view::{One, Place, View};
use crate::config::Limits;
use crate::db::{Json, Volume, VolumeType};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::jobs::{self, Task};
use crate::model::{Gib, VolumeId, VolumeStatus};
use crate::scheduler::{Pool, Request};
use std::collections::BTreeMap;

use source::Source;

#[utoipa::path(
    post, path = "/v3/volumes", tag = "volumes", operation_id = "create_volume",
    description = "Makes a volume: empty, or from a snapshot (`snapshot_id`), a volume (`source_volid`) or \
        an image (`imageRef` or `image_id`); since 3.46 an image without bytes that Nova made of a server \
        stands for its snapshot. Until 3.52 also from a volume that must be replicated (`source_replica`).",
    request_body = Object,
    responses(
        (status = 202, body = One),
        (status = 400, description = "The body is not usable, or what it is made from is not"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "A snapshot, volume or type that the body names does not exist"),
        (status = 409, description = "Several images have the name that the body gives"),
        (status = 413, description = "There are too many volumes, or this one would be too large"),
        (status = 429, description = "Too many jobs of the project are under way"),
        (status = 501, description = "It would be encrypted, or the image must be converted"),
    ),
)]
pub async fn create(State(app): State<App>, call: Call, Body(body): Body) -> Result<Response, Fault> {
    let wanted = Wanted::read(&body, call.version, &app.config.limits)?;
    let project = call.owner("A volume")?;
    let signed_by = match &wanted.image {
        Some(reference) => image::signed_by(&app, &call, reference).await,
        None => None,
    };
    let mut repository = app.database.begin().await?;

    let asked_type = match &wanted.volume_type {
        Some(name) => Some(types::by_id_or_name(&mut repository, &call, name).await?),
        None => None,
    };
    let source = Source::find(&mut repository, &app, &call, &wanted).await?;
    if wanted.multiattach {
        return Err(Fault::Invalid(
            "multiattach parameter has been removed. The default behavior is to use multiattach enabled volume \
             types. Contact your administrator to create a multiattach enabled volume type and use it to create \
             multiattach volumes."
                .to_owned(),
        ));
    }
    call.check_own(if source.image_id().is_some() { rules::CREATE_FROM_IMAGE } else { rules::CREATE })?;
    if let Some(asked) = &asked_type {
        source.check_type(&mut repository, &app, asked).await?;
    }
    source.check_status()?;
    let size = source.size(wanted.size)?;
    source.check_image(size)?;
    let volume_type = match asked_type {
        Some(asked) => asked,
        None => match source.volume_type() {
            Some(id_or_name) => types::by_id_or_name(&mut repository, &call, id_or_name).await?,
            None => types::default(&mut repository, &call, &app.config).await?,
        },
    };
    let zones = zones(&app, &source, &volume_type, wanted.availability_zone.as_deref())?;
    let multiattach = volume_type.is_multiattach();
    if multiattach {
        call.check_own(rules::MULTIATTACH)?;
    }
    if repository.encryption(&volume_type.id).await?.is_some() {
        // Better none than one that is not encrypted.
        return Err(Fault::NotImplemented("The encryption of volumes".to_owned()));
    }
    types::check_size(&volume_type, size)?;
    let hints = wanted.hints.hosts(&mut repository, &app, &call).await?;
    // One in a backend that is not configured any more shares its place with nobody.
    let beside = source.host().map(|host| placement::place_of(&app, host).unwrap_or_default());
    let request = Request {
        size: size.get(),
        zones: &zones,
        specs: Some(&volume_type.extra_specs),
        beside: beside.as_deref(),
        lies_in: None,
        hints: hints.borrowed(),
    };
    // Nowhere: it will be in error, as the real service has it.
    let place = placement::choose(&mut repository, &app, &request).await?;
    let (host, zone) = match place {
        Some(Pool { host, zone, .. }) => (Some(host), zone),
        None => (None, zones.first().copied().unwrap_or_default().to_owned()),
    };
    reserve::volume(&mut repository, &app.config, project, &volume_type.name, size).await?;

    let volume = Volume {
        id: VolumeId::from(app.world.ids.random()),
        project_id: project.clone(),
        user_id: call.context.user_id.clone(),
        name: wanted.name,
        description: wanted.description,
        size,
        status: VolumeStatus::Creating,
        previous_status: None,
        availability_zone: zone,
        host,
        migration_status: None,
        name_id: None,
        replication_status: None,
        volume_type_id: volume_type.id,
        volume_type_name: volume_type.name,
        is_attached: false,
        bootable: source.is_bootable(),
        multiattach,
        snapshot_id: source.snapshot_id(),
        source_volume_id: source.volume_id(),
        image_id: source.image_id(),
        metadata: Json(wanted.metadata),
        admin_metadata: Json(BTreeMap::new()),
        image_metadata: source.image_metadata().map(Json),
        created_at: app.world.now(),
        updated_at: None,
    };
    repository.add_volume(&volume).await?;
    let task = Task::CreateVolume { volume_id: volume.id.clone(), source: source.into_task(signed_by) };
    jobs::enqueue(&mut repository, &app.world, task, &call.context.origin()).await?;
    repository.commit().await?;
    let attached = Attached::default();
    let volume = View::new(&volume, &attached, &call, Place::Write);
    Ok(answer(StatusCode::ACCEPTED, &One { volume }))
}

/// Where it may be: in the zone asked for, or that of its source, or those that its type names, or everybody's.
fn zones<'a>(
    app: &'a App,
    source: &'a Source,
    volume_type: &'a VolumeType,
    asked: Option<&'a str>,
) -> Result<Vec<&'a str>, Fault> {
    let exists = |zone: &str| app.places.iter().any(|place| place.zone == zone);
    let of_type = types::zones_that(volume_type, exists)?;
    let of_source = source.zone();
    let usual = || vec![app.config.volumes.storage_availability_zone.as_str()];
    let zones = match asked.or(of_source.map(|(zone, _)| zone)) {
        Some(zone) => vec![zone],
        None => of_type.clone().unwrap_or_else(usual),
    };
    let is_allowed = |zone: &str| match &of_type {
        Some(of_type) => of_type.contains(&zone),
        None => exists(zone),
    };
    if let Some(zone) = zones.iter().find(|zone| !is_allowed(zone)) {
        return Err(Fault::AvailabilityZone((*zone).to_owned()));
    }
    match of_source {
        Some((other, what)) if zones != [other] => {
            Err(Fault::InvalidInput(format!("Volume must be in the same availability zone as the {what}")))
        }
        _ => Ok(zones),
    }
}

/// What the body says.
struct Wanted {
    name: Option<String>,
    description: Option<String>,
    /// Id or name.
    volume_type: Option<String>,
    metadata: BTreeMap<String, String>,
    snapshot_id: Option<String>,
    source_volid: Option<String>,
    source_replica: Option<String>,
    size: Option<Gib>,
    availability_zone: Option<String>,
    multiattach: bool,
    /// Id or name, or an address that ends with the id.
    image: Option<String>,
    group_id: Option<String>,
    backup_id: Option<String>,
    hints: Hints,
}

const FIELDS: [&str; 16] = [
    "name",
    "description",
    "display_name",
    "display_description",
    "volume_type",
    "metadata",
    "snapshot_id",
    "source_volid",
    "consistencygroup_id",
    "size",
    "availability_zone",
    "multiattach",
    "image_id",
    "imageRef",
    "group_id",
    "backup_id",
];

impl Wanted {
    fn read(body: &Value, version: Microversion, limits: &Limits) -> Result<Self, Fault> {
        let body = Object::body(body)?;
        let volume = body.object("volume")?;
        let wanted = volume.map(|volume| Self::read_volume(&volume, version, limits)).transpose()?;
        let hints = Hints::read(&body)?;
        body.require("volume")?;
        body.only(&["volume", HINTS])?;
        Ok(Self { hints, ..wanted.ok_or(Fault::Malformed)? })
    }

    fn read_volume(volume: &Object<'_>, version: Microversion, limits: &Limits) -> Result<Self, Fault> {
        let owned = |text: &str| text.to_owned();
        let name = volume.trimmed("name", "name")?;
        let description = volume.trimmed("description", "description")?;
        let display_name = volume.trimmed("display_name", "name")?;
        let display_description = volume.trimmed("display_description", "description")?;
        let volume_type = volume.text("volume_type")?.value().filter(|name| !name.is_empty()).map(owned);
        let metadata = volume.metadata("metadata", true, limits)?.value().unwrap_or_default();
        let snapshot_id = volume.uuid("snapshot_id")?.value().map(owned);
        let source_volid = volume.uuid("source_volid")?.value().map(owned);
        // Later bodies do not have it.
        let source_replica = if version < Microversion::STRICT_BODIES {
            volume.uuid("source_replica")?.value().map(owned)
        } else {
            None
        };
        let consistency_group = volume.uuid("consistencygroup_id")?.value().map(owned);
        let size = volume.size("size", true)?;
        let availability_zone = volume.nonempty_text("availability_zone")?.value().map(owned);
        let multiattach = volume.boolean_or_null("multiattach")?.unwrap_or(false);
        let image_id = volume.text("image_id")?;
        let image_ref = volume.text("imageRef")?;
        let group_id =
            if version >= Microversion::GROUPS { volume.text("group_id")?.value().map(owned) } else { None };
        let backup_id = if version >= Microversion::FROM_BACKUP {
            volume.uuid("backup_id")?.value().map(owned)
        } else {
            None
        };
        if version >= Microversion::STRICT_BODIES {
            volume.only(&FIELDS)?;
        }
        Ok(Self {
            name: name.or(display_name).value(),
            description: description.or(display_description).value(),
            volume_type,
            metadata,
            snapshot_id,
            source_volid,
            source_replica,
            size,
            availability_zone,
            multiattach,
            image: image_id.or(image_ref).value().map(owned),
            group_id: consistency_group.or(group_id),
            backup_id,
            hints: Hints::default(),
        })
    }
}
