//! What callers may do.

pub mod gate;
mod hangup;
mod language;
mod members;
mod properties;
mod quotas;
mod sight;
pub mod stage;
mod types;
