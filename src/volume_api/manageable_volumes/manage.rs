//! `POST /manageable_volumes`

use std::collections::BTreeMap;

use axum::extract::{MatchedPath, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::super::fault::{Fault, answer};
use super::super::manageable::{Place, Reference, check_name, invalid_reference, place, sizes};
use super::super::microversion::Microversion;
use super::super::placement;
use super::super::quotas::reserve;
use super::super::request::{Body, Call};
use super::super::schema::{Object, only_object};
use super::super::types;
use super::super::volumes::attached::Attached;
use super::super::volumes::view::{One, View};
use crate::block::ErrorKind;
use crate::config::Limits;
use crate::db::{Json, Repository, Volume, VolumeType};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::jobs::{self, Task};
use crate::model::{Gib, VolumeId, VolumeStatus};
use crate::scheduler::{self, Request};
use crate::workflows::{manageable, names};

#[utoipa::path(
    post, path = "/v3/manageable_volumes", tag = "manageable volumes", operation_id = "manage_volume",
    description = "Since 3.8. Makes a volume of an image on the pool of a host: `ref` is `{\"source-name\": name}`. The \
        image gets the volume's name.",
    request_body = Object,
    responses(
        (status = 202, body = One),
        (status = 400, description = "The body is not usable, there is no such host or image, the host is \
            disabled, frozen or down, or has not what the type asks for, the image is needed by the \
            service itself, or its size is not a whole number of GiB"),
        (status = 403, description = "The policy does not allow it"),
        (status = 413, description = "There are too many volumes, or this one would be too large"),
        (status = 429, description = "Too many jobs of the project are under way"),
    ),
)]
pub async fn manage(
    State(app): State<App>,
    path: MatchedPath,
    call: Call,
    Body(body): Body,
) -> Result<Response, Fault> {
    check_name(&call, &path)?;
    let wanted =
        only_object(&body, "volume", |fields| Wanted::read(fields, call.version, &app.config.limits))?;
    call.check_own(rules::MANAGE_VOLUME)?;
    let project = call.owner("A volume")?;
    let place =
        place(&app, &call, wanted.host.as_deref(), wanted.cluster.as_deref(), Microversion::MANAGE_CLUSTER)?;
    let reference = Reference::read(&wanted.reference)?;
    placement::check_in_service(&mut app.database.read().await?, &app, Some(&place.host)).await?;
    let size = look(&place, &reference).await?;

    let mut repository = app.database.begin().await?;
    // It may have been frozen while the store was asked.
    placement::check_in_service(&mut repository, &app, Some(&place.host)).await?;
    let volume_type = wanted.volume_type(&mut repository, &app, &call).await?;
    check_type(&mut repository, &app, &place, &volume_type).await?;
    check_unmanaged(&mut repository, &reference).await?;
    if repository.encryption(&volume_type.id).await?.is_some() {
        return Err(Fault::Invalid("Managing to an encrypted volume type is not supported.".to_owned()));
    }
    reserve::volume(&mut repository, &app.config, project, &volume_type.name, size).await?;
    let volume = Volume {
        id: VolumeId::from(app.world.ids.random()),
        project_id: project.clone(),
        user_id: call.context.user_id.clone(),
        name: wanted.name,
        description: wanted.description,
        size,
        status: VolumeStatus::Managing,
        previous_status: None,
        // Any that is asked for, as the real service has it.
        availability_zone: wanted.availability_zone.unwrap_or_else(|| place.zone.to_owned()),
        host: Some(place.host),
        multiattach: volume_type.is_multiattach(),
        volume_type_id: volume_type.id,
        volume_type_name: volume_type.name,
        is_attached: false,
        bootable: wanted.bootable,
        snapshot_id: None,
        source_volume_id: None,
        image_id: None,
        metadata: Json(wanted.metadata),
        admin_metadata: Json(BTreeMap::new()),
        image_metadata: None,
        migration_status: None,
        name_id: None,
        replication_status: None,
        created_at: app.world.now(),
        updated_at: None,
    };
    repository.add_volume(&volume).await?;
    let task = Task::ManageVolume { volume_id: volume.id.clone(), source: reference.name };
    jobs::enqueue(&mut repository, &app.world, task, &call.context.origin()).await?;
    repository.commit().await?;
    Ok(answer(
        StatusCode::ACCEPTED,
        &One { volume: View::of_every_version(&volume, &Attached::default(), &call) },
    ))
}

/// The size of the image, which the real service rounds up in silence.
async fn look(place: &Place<'_>, reference: &Reference) -> Result<Gib, Fault> {
    let name = &reference.name;
    let missing = || invalid_reference(name, "Specified RBD image does not exist.");
    let found = match manageable::image(place.store, name).await {
        // No image has such a name.
        Err(error) if error.kind == ErrorKind::Invalid => None,
        other => other?,
    };
    let found = found.ok_or_else(missing)?;
    if names::is_deleted(name) {
        return Err(invalid_reference(name, "It is kept only for volumes that were made from it."));
    }
    if let Some(reason) = names::kept_for(name) {
        return Err(invalid_reference(name, reason));
    }
    let (gib, exact) = sizes(found.size);
    exact.ok_or_else(|| {
        let bytes = found.size;
        invalid_reference(
            name,
            &format!(
                "Its size of {bytes} bytes is not a whole number of GiB; resize it first, to {} GiB.",
                gib.max(1)
            ),
        )
    })
}

/// Whether the place has what the type asks for. The bytes have found room there already. The real service
/// notices when it has answered, and leaves a volume in error.
async fn check_type(
    repository: &mut Repository,
    app: &App,
    place: &Place<'_>,
    volume_type: &VolumeType,
) -> Result<(), Fault> {
    let request =
        Request { specs: Some(&volume_type.extra_specs), lies_in: Some(&place.host), ..Request::default() };
    let pools = placement::pools(repository, app).await?;
    if pools.iter().any(|pool| pool.host == place.host && scheduler::fits(pool, &request)) {
        return Ok(());
    }
    Err(Fault::Invalid(format!(
        "Manage existing volume failed due to volume type mismatch: {} has not what the volume type {} asks for.",
        place.host, volume_type.name
    )))
}

async fn check_unmanaged(repository: &mut Repository, reference: &Reference) -> Result<(), Fault> {
    let is_volume = match names::volume_of(&reference.name) {
        Some(id) => repository.volume(&id).await?.is_some(),
        None => false,
    };
    let is_image = match crate::model::ImageId::parse(&reference.name) {
        Some(id) => repository.image(&id).await?.is_some(),
        None => false,
    };
    if is_volume || is_image {
        return Err(Fault::Invalid(
            "Unable to manage existing volume. The volume is already managed".to_owned(),
        ));
    }
    Ok(())
}

/// What the body says.
struct Wanted {
    name: Option<String>,
    description: Option<String>,
    /// Id or name.
    volume_type: Option<String>,
    metadata: BTreeMap<String, String>,
    availability_zone: Option<String>,
    bootable: bool,
    host: Option<String>,
    cluster: Option<String>,
    reference: Value,
}

impl Wanted {
    fn read(fields: &Object<'_>, version: Microversion, limits: &Limits) -> Result<Self, Fault> {
        let knows_clusters = version >= Microversion::MANAGE_CLUSTER;
        let description = fields.printable_text("description")?;
        let availability_zone = fields.text("availability_zone")?;
        let bootable = fields.boolean("bootable")?;
        let volume_type = fields.text("volume_type")?;
        let name = fields.text("name")?;
        let host = fields.host_name("host", "[]")?;
        let reference = fields.object_or_text("ref")?;
        let metadata = fields.metadata("metadata", true, limits)?;
        let cluster = if knows_clusters { fields.text("cluster")?.value() } else { None };
        fields.require("ref")?;
        let known = [
            "description",
            "availability_zone",
            "bootable",
            "volume_type",
            "name",
            "host",
            "ref",
            "metadata",
            "cluster",
        ];
        fields.only(if knows_clusters { &known } else { &known[..8] })?;
        let trimmed = |text: &str| text.trim().to_owned();
        let given = |text: &&str| !text.is_empty();
        Ok(Self {
            name: name.value().filter(given).map(trimmed),
            description: description.value().filter(given).map(trimmed),
            volume_type: volume_type.value().filter(given).map(str::to_owned),
            metadata: metadata.value().unwrap_or_default(),
            availability_zone: availability_zone.value().filter(given).map(str::to_owned),
            bootable: bootable.unwrap_or(false),
            host: host.map(str::to_owned),
            cluster: cluster.map(str::to_owned),
            reference: reference.ok_or(Fault::Malformed)?.clone(),
        })
    }

    async fn volume_type(
        &self,
        repository: &mut Repository,
        app: &App,
        call: &Call,
    ) -> Result<VolumeType, Fault> {
        let Some(asked) = &self.volume_type else {
            return types::default(repository, call, &app.config).await;
        };
        types::by_id_or_name(repository, call, asked).await.map_err(|fault| match fault {
            Fault::NoSuch(_) | Fault::Missing(..) => {
                Fault::InvalidVolumeType(format!("Cannot find requested '{asked}' volume type"))
            }
            other => other,
        })
    }
}
