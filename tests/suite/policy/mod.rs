//! What callers may do.

mod gate;
mod hangup;
mod language;
mod members;
mod quotas;
mod sight;
pub mod stage;
mod strangers;
mod types;
