//! Who asks, and what they may do.

mod caller;

pub use caller::Caller;
