//! Who asks, and what they may do.

mod caller;
pub mod policy;

pub use caller::Caller;
