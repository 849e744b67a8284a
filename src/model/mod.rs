//! What things are: identifiers, sizes, statuses and which change into which. No I/O.

mod id;
mod size;
mod status;
mod world;

pub use id::{
    EncryptionId, ImageId, JobId, ProjectId, QosSpecsId, SnapshotId, UserId, VolumeId, VolumeTypeId,
};
pub use size::{GIB, Gib, MIB};
pub use status::{Cause, ImageStatus, JobState, SnapshotStatus, UnknownStatus, VolumeStatus};
pub use world::{Clock, Ids, RandomIds, SystemClock, Timestamp, World};
