//! Images.

pub(super) mod create;
pub(super) mod delete;
pub(super) mod download;
mod draft;
mod filter;
pub(super) mod list;
mod patch;
pub(super) mod property;
pub(super) mod show;
pub(super) mod update;
pub(super) mod upload;
mod view;

pub(super) use draft::Draft;
pub(super) use view::{ImageView, find, find_to_change};
