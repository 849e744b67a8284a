//! Images that another cluster has too: its `rbd-mirror` reads their journals.
//!
//! Functions: `rbd_mirror_mode_get`, `rbd_mirror_image_enable2`, `rbd_mirror_image_disable`,
//! `rbd_mirror_image_get_info`, `rbd_get_features`, `rbd_update_features`.

#![allow(unsafe_code)]

use std::mem::MaybeUninit;

use super::cluster::Pool;
use super::errno::{Failure, c_own, check};
use super::handle::Handle;
use super::image::{remove_metadata, set_metadata};
use super::{list, sys};
use crate::block::ErrorKind;

/// What a mirrored image must have.
const FEATURES: u64 = sys::FEATURE_EXCLUSIVE_LOCK | sys::FEATURE_JOURNALING;

/// Where the image itself says which of them it was given for that, by their bits. Whoever mirrors it no more takes them
/// away again: a journal costs every write a second one.
const ADDED: &str = "pumice_mirroring_features";

/// Whether each image of the pool says for itself whether it is mirrored.
pub(super) fn is_by_image(pool: &Pool) -> Result<bool, Failure> {
    let mut mode = 0;
    // SAFETY: the pool is alive and the variable outlives the call.
    check("rbd_mirror_mode_get", unsafe { sys::rbd_mirror_mode_get(pool.io(), &mut mode) })?;
    Ok(mode == sys::MIRROR_MODE_IMAGE)
}

pub(super) fn is_on(image: &Handle) -> Result<bool, Failure> {
    let mut info = MaybeUninit::<sys::rbd_mirror_image_info_t>::zeroed();
    let size = size_of::<sys::rbd_mirror_image_info_t>();
    // SAFETY: the image is open and the structure is as long as said.
    let asked = unsafe { sys::rbd_mirror_image_get_info(image.raw(), info.as_mut_ptr(), size) };
    check("rbd_mirror_image_get_info", asked)?;
    // SAFETY: librbd has filled it, and takes back the text in it.
    unsafe {
        let mut info = info.assume_init();
        sys::rbd_mirror_image_get_info_cleanup(&mut info);
        Ok(info.state != sys::MIRROR_IMAGE_DISABLED)
    }
}

pub(super) fn start(image: &Handle) -> Result<(), Failure> {
    if is_on(image)? {
        return Ok(());
    }
    let missing = FEATURES & !features(image)?;
    if missing != 0 {
        let text = c_own(&(added(image)? | missing).to_string())?;
        set_metadata(image, &c_own(ADDED)?, &text)?;
        update_features(image, missing, true)?;
    }
    // SAFETY: the image is open.
    let enabled = unsafe { sys::rbd_mirror_image_enable2(image.raw(), sys::MIRROR_IMAGE_MODE_JOURNAL) };
    check("rbd_mirror_image_enable2", enabled).map(|_| ())
}

pub(super) fn stop(image: &Handle) -> Result<(), Failure> {
    if is_on(image)? {
        // SAFETY: the image is open.
        let disabled = unsafe { sys::rbd_mirror_image_disable(image.raw(), false) };
        check("rbd_mirror_image_disable", disabled).map_err(|failure| match failure.kind {
            ErrorKind::Busy => failure.meaning(ErrorKind::HasChildren),
            _ => failure,
        })?;
    }
    let added = added(image)?;
    if added == 0 {
        return Ok(());
    }
    // One that others depend on comes after those.
    for feature in [sys::FEATURE_JOURNALING, sys::FEATURE_EXCLUSIVE_LOCK] {
        if added & features(image)? & feature != 0 {
            update_features(image, feature, false)?;
        }
    }
    remove_metadata(image, &c_own(ADDED)?)
}

fn features(image: &Handle) -> Result<u64, Failure> {
    let mut features = 0;
    // SAFETY: the image is open and the variable outlives the call.
    check("rbd_get_features", unsafe { sys::rbd_get_features(image.raw(), &mut features) })?;
    Ok(features)
}

/// What is no number there is not ours, and names none.
fn added(image: &Handle) -> Result<u64, Failure> {
    let metadata = list::metadata(image)?;
    Ok(metadata.get(ADDED).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) & FEATURES)
}

fn update_features(image: &Handle, features: u64, enabled: bool) -> Result<(), Failure> {
    // SAFETY: the image is open.
    let updated = unsafe { sys::rbd_update_features(image.raw(), features, enabled.into()) };
    check("rbd_update_features", updated).map(|_| ())
}
