//! Images.

pub(super) mod create;
mod custom;
pub(super) mod delete;
pub(super) mod delete_from_store;
pub(super) mod download;
mod draft;
mod encryption;
mod filter;
mod formats;
pub(super) mod import;
pub(super) mod list;
mod patch;
pub(super) mod property;
pub(super) mod show;
pub(super) mod stage;
pub(super) mod update;
pub(super) mod upload;
mod view;

pub use custom::image_schema;
pub(super) use draft::Draft;
pub(crate) use filter::parse as parse_filter;
pub(super) use formats::check_formats;
pub(super) use import::LONGEST_SOURCE;
pub(crate) use patch::Dialect;
pub(super) use view::{ImageView, find, find_to_change};

use super::fault::Result;
use super::request::Call;
use crate::identity::policy::{Target, image as rules};

/// To show an image to other projects is a right of its own.
fn check_visibility(call: &Call, visibility: &str, target: &Target) -> Result<()> {
    match visibility {
        "public" => call.check(rules::PUBLICIZE_IMAGE, target),
        "community" => call.check(rules::COMMUNITIZE_IMAGE, target),
        _ => Ok(()),
    }
}
