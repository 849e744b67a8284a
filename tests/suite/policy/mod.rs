//! What callers may do.

mod language;
