//! Where an image's bytes are: told to services, and registered.

pub(super) mod add;
mod found;
pub(super) mod list;
pub(super) mod patch;
