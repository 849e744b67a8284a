//! Who asks, and what they may do.

mod authority;
mod caller;
pub mod keystone;
pub mod policy;
pub mod standalone;

pub use authority::{Authority, Refusal, Tokens};
pub use caller::Caller;
