//! The image a volume is made from.

use serde_json::Value;

use super::super::super::fault::Fault;
use super::super::super::request::Call;
use crate::db::{Image, ImageFilter, Page, Repository};
use crate::formats;
use crate::http::{App, images};
use crate::identity::policy::{Access, Api, Guard};
use crate::model::{GIB, Gib, ImageId, ImageStatus, MemberStatus};

/// Images of one name that are looked at. More than one is too many already, but a rule may keep some from the caller.
const MOST_OF_A_NAME: i64 = 100;

/// By the id, which may be the end of an address, or by the name.
pub async fn find(
    repository: &mut Repository,
    app: &App,
    call: &Call,
    reference: &str,
) -> Result<Image, Fault> {
    // Cinder asks the image service on the caller's behalf: its rules decide.
    let guard = Guard::new(&app.policies, Api::Image, call.context.caller.clone());
    let mut image = found(repository, &guard, call, reference).await?;
    image.properties.0.retain(|name, _| guard.allows_property(Access::Read, name));
    Ok(image)
}

/// Of a server that booted from a volume, Nova makes an image without bytes, which names the snapshot of the volume.
pub fn snapshot_of_server(image: &Image) -> Option<String> {
    let devices: Value = serde_json::from_str(image.properties.get("block_device_mapping")?).ok()?;
    let is_boot = |device: &&Value| device["source_type"] == "snapshot" && device["boot_index"] == 0;
    Some(devices.as_array()?.iter().find(is_boot)?["snapshot_id"].as_str()?.to_owned())
}

/// What such an image is told for when its snapshot is not there.
pub fn without_snapshot(fault: Fault, id: &str) -> Fault {
    match fault {
        Fault::Missing(..) => Fault::NoSuch(format!(
            "Nova specific image is found, but boot volume snapshot id:{id} not found."
        )),
        other => other,
    }
}

/// Whoever deletes it waits until the transaction ends, and then finds the job that reads from it; or was faster.
pub async fn hold(repository: &mut Repository, image: Image) -> Result<Image, Fault> {
    let held = repository.image_to_use(&image.id).await?;
    let status = held.map_or(ImageStatus::Deleted, |held| held.status);
    Ok(Image { status, ..image })
}

/// The key of who signed an image that is on the web alone, for the job that takes its bytes in: a job has nobody's
/// token. To be asked for before anything is locked, for Barbican may take its time. Where it cannot be had the job says
/// why.
pub async fn signed_by(app: &App, call: &Call, reference: &str) -> Option<String> {
    let guard = Guard::new(&app.policies, Api::Image, call.context.caller.clone());
    let mut repository = app.database.read().await.ok()?;
    let image = found(&mut repository, &guard, call, reference).await.ok()?;
    drop(repository);
    if !image.is_on_the_web_alone() {
        return None;
    }
    let signed = app.certificates.signed(&image.properties.0, call.token.as_ref()).await.ok()??;
    signed.key().ok()
}

async fn found(
    repository: &mut Repository,
    guard: &Guard,
    call: &Call,
    reference: &str,
) -> Result<Image, Fault> {
    let project = &call.context.project_id;
    let last = reference.rsplit('/').next().unwrap_or(reference);
    if let Some(id) = ImageId::parse(last)
        && let Some(image) = repository.image(&id).await?
        && images::may_get(repository, &image, guard, project).await?
    {
        return Ok(image);
    }
    let filter = ImageFilter {
        name: Some(vec![reference.to_owned()]),
        // As a list without filters shows them.
        visible_to: (!guard.is_admin()).then(|| project.clone()),
        community_of: Some(project.clone()),
        member_status: Some(MemberStatus::Accepted),
        os_hidden: Some(false),
        ..ImageFilter::default()
    };
    let page = Page { limit: Some(MOST_OF_A_NAME), ..Page::default() };
    let mut named = Vec::new();
    for image in repository.images(&filter, &page).await? {
        if images::may_get(repository, &image, guard, project).await? {
            named.push(image);
        }
    }
    if named.len() > 1 {
        return Err(Fault::Ambiguous(reference.to_owned()));
    }
    named.pop().ok_or_else(|| {
        Fault::Invalid("Invalid image identifier or unable to access requested image.".to_owned())
    })
}

pub fn check(image: &Image, size: Gib) -> Result<(), Fault> {
    if image.status != ImageStatus::Active {
        return Err(Fault::InvalidInput(format!("Image {} is not active.", image.id)));
    }
    let gib = |bytes: Option<i64>| bytes.unwrap_or(0).unsigned_abs().div_ceil(GIB);
    let room = size.get().unsigned_abs();
    if gib(image.size) > room {
        return Err(Fault::InvalidInput(format!(
            "Size of specified image {}GB is larger than volume size {room}GB.",
            gib(image.size)
        )));
    }
    if size.get() < image.min_disk {
        return Err(Fault::InvalidInput(format!(
            "Volume size {room}GB cannot be smaller than the image minDisk size {}GB.",
            image.min_disk
        )));
    }
    if gib(image.virtual_size) > room {
        return Err(Fault::Invalid(format!(
            "Image {} is unacceptable: Image virtual size is {}GB and doesn't fit in a volume of size {room}GB.",
            image.id,
            gib(image.virtual_size)
        )));
    }
    let format = image.disk_format.as_deref().unwrap_or("none");
    if is_plain(format) || formats::readable(format).is_some() {
        return Ok(());
    }
    Err(Fault::NotImplemented(format!("The conversion of images of disk format {format}")))
}

/// Whether the bytes of such an image are those of its disk.
fn is_plain(format: &str) -> bool {
    matches!(format, "raw" | "iso" | "aki" | "ari" | "ami")
}
