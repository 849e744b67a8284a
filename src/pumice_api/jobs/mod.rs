//! Jobs.

pub(super) mod cancel;
pub(super) mod events;
pub(super) mod list;
pub(super) mod show;
mod view;
