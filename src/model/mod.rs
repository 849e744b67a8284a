//! What things are: identifiers, sizes, statuses and which change into which. No I/O.

mod client;
mod connection;
mod event;
mod host;
mod id;
mod news;
mod scope;
mod size;
mod status;
mod storage;
mod world;

pub use client::ClusterClient;
pub use connection::{Access, Connection};
pub use event::{Action, Detail, Event};
pub use host::Host;
pub use id::{
    ApplicationCredentialId, AttachmentId, DomainId, EncryptionId, ImageId, JobId, MessageId, MetadefItemId,
    MetadefNamespaceId, ProjectId, QosSpecsId, RoleId, SnapshotId, TransferId, UserId, VolumeId,
    VolumeTypeId,
};
pub use news::VolumeNews;
pub use scope::Scope;
pub use size::{GIB, Gib};
pub use status::{
    AttachMode, AttachmentStatus, Cause, ImageStatus, JobState, MemberStatus, MetadefKind, MigrationStatus,
    ReplicationStatus, SnapshotStatus, UnknownStatus, VolumeStatus,
};
pub use storage::{StorageFull, StorageLeft};
pub use world::{Clock, Ids, RandomIds, SystemClock, Timestamp, World};
