//! `os-volume_upload_image`

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::super::fault::{Fault, answer};
use super::super::microversion::Microversion;
use super::super::request::{Call, Moment};
use super::super::schema::Object;
use super::super::types::Shown;
use super::find;
use crate::db::{Image, Json, Repository, Volume, VolumeChange, VolumeType};
use crate::http::{App, ImageSchema, images};
use crate::identity::policy::{Access, Api, Guard, image as image_rules, volume as rules};
use crate::jobs::{self, Task};
use crate::model::{ImageId, ImageStatus, ProjectId, VolumeStatus};

const ACTION: &str = "os-volume_upload_image";
const DISK_FORMATS: [&str; 7] = ["raw", "vmdk", "vdi", "qcow2", "vhd", "vhdx", "ploop"];
const VISIBILITIES: [&str; 4] = ["community", "public", "private", "shared"];

/// What of a volume's image metadata is about that image itself, though no base property has the name.
const OF_ITS_OWN: [&str; 2] = ["image_name", "image_id"];
/// Names that the image service gives nobody's property.
const REFUSED: [&str; 3] = ["location", "deleted", "deleted_at"];
/// Properties of these name spaces are the image service's own, or tell of bytes that the new image has not.
const RESERVED: [&str; 3] = ["os_glance", "img_signature", "signature_verified"];

pub async fn upload_image(app: &App, call: &Call, id: &str, body: &Value) -> Result<Response, Fault> {
    let wanted = Wanted::read(body, call.version)?;
    let project = call.owner("An image")?;
    let mut repository = app.database.begin().await?;
    let volume = find(&mut repository, call, id).await?;
    call.check_own(rules::UPLOAD_IMAGE)?;
    if wanted.visibility == Some("public") {
        call.check_own(rules::UPLOAD_PUBLIC)?;
    }
    begin(&mut repository, app, &volume, wanted.force).await?;
    let image = image(&volume, &wanted, app, project)?;
    check_image(&mut repository, app, call, &image, &volume).await?;
    let volume_type = repository.volume_type(volume.volume_type_id.as_str()).await?;
    repository.add_image(&image).await?;
    let task = Task::UploadVolume { volume_id: volume.id.clone(), image_id: image.id.clone() };
    jobs::enqueue(&mut repository, &app.world, task, &call.context.origin()).await?;
    repository.commit().await?;
    let shown = Shown::to(call);
    let volume_type = volume_type.as_ref().map(|of| TypeView::new(of, shown));
    let said = Said { upload: Uploading::new(&volume, volume_type, &image) };
    Ok(answer(StatusCode::ACCEPTED, &said))
}

/// To `uploading`. In use it may be only where the operator lets it: otherwise `force` says nothing.
async fn begin(repository: &mut Repository, app: &App, volume: &Volume, force: bool) -> Result<(), Fault> {
    use VolumeStatus::{Available, InUse, Uploading};
    let force = force && app.config.volumes.enable_force_upload;
    let (change, now) = (VolumeChange::default(), app.world.now());
    let may = volume.status == Available || (force && volume.status == InUse);
    if may && repository.change_volume(&volume.id, volume.status, Uploading, &change, now).await? {
        return Ok(());
    }
    let statuses = if force { "available or in-use" } else { "available" };
    Err(Fault::InvalidVolume(format!("Volume {} status must be {statuses}", volume.id)))
}

fn image(volume: &Volume, wanted: &Wanted<'_>, app: &App, project: &ProjectId) -> Result<Image, Fault> {
    if wanted.container_format == "compressed" {
        return Err(Fault::Invalid(
            "Image compression upload disallowed, but container_format is compressed".to_owned(),
        ));
    }
    let options = &app.config.images;
    for (what, format, known) in [
        ("container_format", wanted.container_format, &options.container_formats),
        ("disk_format", wanted.disk_format, &options.disk_formats),
    ] {
        if known.iter().all(|known| known != format) {
            return Err(Fault::Invalid(format!("'{format}' is not a {what} that images have.")));
        }
    }
    if wanted.disk_format == "ploop" {
        return Err(Fault::NotImplemented(format!(
            "The conversion of a volume to the disk format {}",
            wanted.disk_format
        )));
    }
    let id = ImageId::from(app.world.ids.random());
    Ok(Image {
        name: Some(wanted.image_name.to_owned()),
        // From the beginning, so that nobody else brings bytes for it.
        status: ImageStatus::Saving,
        visibility: wanted.visibility.unwrap_or("shared").to_owned(),
        protected: wanted.protected,
        container_format: Some(wanted.container_format.to_owned()),
        disk_format: Some(wanted.disk_format.to_owned()),
        properties: Json(properties(volume, &app.image_schema)),
        ..Image::queued(id, Some(project.clone()), app.world.now())
    })
}

/// What the volume's image had beside the base properties, the new one has too.
fn properties(volume: &Volume, images: &ImageSchema) -> BTreeMap<String, String> {
    let metadata = volume.image_metadata.as_ref().map(|metadata| metadata.0.clone()).unwrap_or_default();
    let is_reserved = |key: &str| RESERVED.iter().any(|space| key.starts_with(space));
    let is_other = |key: &str| OF_ITS_OWN.contains(&key) || REFUSED.contains(&key) || images.is_base(key);
    let is_custom = |key: &str| !is_other(key) && !is_reserved(key);
    metadata.into_iter().filter(|(key, _)| is_custom(key)).collect()
}

/// The image service is asked on the caller's behalf. Whatever it refuses, the real service says 400.
async fn check_image(
    repository: &mut Repository,
    app: &App,
    call: &Call,
    image: &Image,
    volume: &Volume,
) -> Result<(), Fault> {
    let guard = Guard::new(&app.policies, Api::Image, call.context.caller.clone());
    let target = images::target(image, &call.context.project_id);
    let visible = match image.visibility.as_str() {
        "public" => guard.allows(image_rules::PUBLICIZE_IMAGE, &target),
        "community" => guard.allows(image_rules::COMMUNITIZE_IMAGE, &target),
        _ => true,
    };
    let has_all = image.properties.0.keys().all(|name| guard.allows_property(Access::Create, name));
    if !visible || !has_all || !guard.allows(image_rules::ADD_IMAGE, &target) {
        return Err(Fault::Invalid("Not authorized.".to_owned()));
    }
    let (properties, limits) = (&image.properties.0, &app.config.images);
    images::check_properties(properties, properties.len(), limits.image_property_quota)
        .map_err(Fault::Invalid)?;
    if let Some(said) = properties.iter().find_map(|(name, text)| app.image_schema.misfit(name, text)) {
        return Err(Fault::Invalid(said));
    }
    if let Some(name) = app.image_schema.missing(|name| image.properties.0.contains_key(name)) {
        return Err(Fault::Invalid(format!(
            "Provided object does not match schema 'image': '{name}' is a required property"
        )));
    }
    let (project, quotas) = (&call.context.project_id, &app.config.quotas);
    if let Some(quota) = app.config.images.user_storage_quota.bytes() {
        let size = (image.disk_format.as_deref() == Some("raw")).then(|| volume.size.bytes());
        // What cannot end well is not begun. How large a file of another format than raw becomes only its job knows,
        // which looks again.
        let left = repository.storage_left(quota, project, &image.id).await?;
        left.check(size.map(i128::from))
            .map_err(|full| Fault::Invalid(format!("Image exceeds the storage quota: {full}")))?;
    }
    if quotas.image_count_total < 0 && quotas.image_size_total < 0 {
        return Ok(());
    }
    repository.take_quota_turn(project).await?;
    let used = repository.image_use(project.as_str()).await?;
    let mebibytes = |bytes: i64| bytes >> 20;
    let more = i64::try_from(volume.size.bytes()).map_or(i64::MAX, mebibytes);
    for (resource, limit, used, more) in [
        ("image_count_total", quotas.image_count_total, used.count, 1),
        ("image_size_total", quotas.image_size_total, mebibytes(used.bytes), more),
    ] {
        if limit >= 0 && used.saturating_add(more) > limit {
            return Err(Fault::Invalid(images::over_quota(project, resource, limit, used, more)));
        }
    }
    Ok(())
}

struct Wanted<'a> {
    image_name: &'a str,
    force: bool,
    disk_format: &'a str,
    container_format: &'a str,
    visibility: Option<&'a str>,
    protected: bool,
}

impl<'a> Wanted<'a> {
    fn read(body: &'a Value, version: Microversion) -> Result<Self, Fault> {
        let body = Object::body(body)?;
        let action = body.object(ACTION)?.ok_or(Fault::MalformedBody)?;
        let with_visibility = version >= Microversion::UPLOAD_IMAGE_PARAMS;
        let image_name = action.plain_text("image_name", 1)?;
        let force = action.boolean("force")?.unwrap_or(false);
        let disk_format = action.one_text_of("disk_format", &["string"], &DISK_FORMATS)?.unwrap_or("raw");
        let container_format = action.text("container_format")?.value().unwrap_or("bare");
        let (visibility, protected) = match with_visibility {
            true => {
                let visibility = action.one_text_of("visibility", &["string"], &VISIBILITIES)?;
                (Some(visibility.unwrap_or("private")), action.boolean("protected")?.unwrap_or(false))
            }
            false => (None, false),
        };
        action.require("image_name")?;
        let known = ["image_name", "force", "disk_format", "container_format", "visibility", "protected"];
        action.only(&known[..if with_visibility { 6 } else { 4 }])?;
        let image_name = image_name.ok_or(Fault::MalformedBody)?;
        Ok(Self { image_name, force, disk_format, container_format, visibility, protected })
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = VolumeUpload)]
pub struct Said<'a> {
    #[serde(rename = "os-volume_upload_image")]
    upload: Uploading<'a>,
}

/// The order of the fields is the order of the keys.
#[derive(Serialize, ToSchema)]
#[schema(as = UploadingVolume)]
struct Uploading<'a> {
    id: &'a str,
    #[schema(value_type = Option<String>)]
    updated_at: Option<Moment>,
    status: &'static str,
    display_description: Option<&'a str>,
    size: i64,
    volume_type: Option<TypeView<'a>>,
    image_id: &'a str,
    container_format: Option<&'a str>,
    disk_format: Option<&'a str>,
    image_name: Option<&'a str>,
    protected: bool,
    visibility: &'a str,
}

/// A volume type with the keys that the real service keeps of it, not as it shows it. Of their texts the
/// caller reads what the type itself would show: the real service tells everybody all.
#[derive(Serialize, ToSchema)]
#[schema(as = UploadingVolumeType)]
struct TypeView<'a> {
    id: &'a str,
    name: &'a str,
    description: Option<&'a str>,
    is_public: bool,
    extra_specs: BTreeMap<&'a str, Option<&'a str>>,
    qos_specs_id: Option<&'a str>,
    #[schema(value_type = String)]
    created_at: Moment,
    #[schema(value_type = Option<String>)]
    updated_at: Option<Moment>,
    #[schema(value_type = Option<String>)]
    deleted_at: Option<Moment>,
    deleted: bool,
}

impl<'a> TypeView<'a> {
    fn new(of: &'a VolumeType, shown: Shown) -> Self {
        Self {
            id: of.id.as_str(),
            name: &of.name,
            description: of.description.as_deref(),
            is_public: of.is_public,
            extra_specs: shown.extra_specs(of).unwrap_or_default(),
            qos_specs_id: shown.qos_specs_id(of).flatten(),
            created_at: Moment(of.created_at),
            updated_at: of.updated_at.map(Moment),
            deleted_at: None,
            deleted: false,
        }
    }
}

impl<'a> Uploading<'a> {
    fn new(volume: &'a Volume, volume_type: Option<TypeView<'a>>, image: &'a Image) -> Self {
        Self {
            id: volume.id.as_str(),
            updated_at: volume.updated_at.map(Moment),
            status: VolumeStatus::Uploading.as_str(),
            display_description: volume.description.as_deref(),
            size: volume.size.get(),
            volume_type,
            image_id: image.id.as_str(),
            container_format: image.container_format.as_deref(),
            disk_format: image.disk_format.as_deref(),
            image_name: image.name.as_deref(),
            protected: image.protected,
            visibility: &image.visibility,
        }
    }
}
