//! What instances should know of their volumes.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeNews {
    /// It has grown.
    Extended,
    /// It has the bytes of another image.
    Reimaged,
}

impl VolumeNews {
    /// As Nova calls it.
    pub fn name(self) -> &'static str {
        match self {
            VolumeNews::Extended => "volume-extended",
            VolumeNews::Reimaged => "volume-reimaged",
        }
    }

    /// Of Nova's API: the first that knows it.
    pub fn microversion(self) -> &'static str {
        match self {
            VolumeNews::Extended => "2.51",
            VolumeNews::Reimaged => "2.93",
        }
    }
}
