//! Where an image's bytes are: told to services, and registered.

pub(super) mod add;
mod found;
pub(super) mod list;
pub(super) mod patch;

/// In the address of bytes on a web server: it is kept with the job that asks for them, or with the image.
pub(super) const LONGEST_URL: usize = 2048;
