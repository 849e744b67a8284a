//! What callers may do.

mod gate;
mod hangup;
mod language;
mod sight;
mod stage;
