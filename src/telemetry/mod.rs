//! What the service tells about itself: log lines and figures.

mod chain;
pub mod levels;
pub mod logs;
pub mod metrics;

pub use chain::chain;
