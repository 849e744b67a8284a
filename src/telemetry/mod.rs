//! What the service tells about itself: log lines and figures.

pub mod levels;
pub mod logs;
pub mod metrics;
