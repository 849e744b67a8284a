//! What the service says of itself, and of what is used of it.

pub(super) mod import;
pub(super) mod stores;
pub(super) mod usage;
