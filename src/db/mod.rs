//! What is remembered. A [`Repository`] is a transaction: it is committed by its last line, [`Repository::commit`],
//! or it never happened. One file a resource; each adds its methods to the repository.
//!
//! There is one text of every query for both engines: `$1` placeholders, JSON through `->>`, booleans as booleans.
//! [`on!`] runs the same expression on whichever engine is there.

mod attachments;
mod audit;
mod clients;
mod durable;
mod encryptions;
mod engine;
mod error;
mod filter;
mod forget;
mod identity;
mod image_cache;
mod image_members;
mod images;
mod jobs;
mod leftovers;
mod locations;
mod messages;
mod metadefs;
mod qos;
pub mod quotas;
mod services;
mod snapshots;
mod staged;
mod transfers;
mod used_image_ids;
mod volume_types;
mod volumes;

pub use attachments::{Attachment, AttachmentFilter};
pub use audit::{KnownCopy, KnownImage, KnownSnapshot, KnownVolume};
pub use encryptions::Encryption;
pub use engine::{Database, Options, QueueBounds, Repository};
pub use error::{DbError, Result};
pub use filter::{Direction, Operator, Page, SortKey, Value};
pub use identity::{
    ApplicationCredential, Domain, Extra, Project, ProjectFilter, Role, RoleAssignment, RoleAssignmentFilter,
    SecretHash, SigningKey, User, UserFilter,
};
pub use image_cache::CachedImage;
pub use image_members::ImageMember;
pub use images::{Image, ImageChange, ImageFilter, ImageNumber};
pub use jobs::{Beat, Claimant, Heartbeat, Job, JobFilter, JobOutcome, NewJob, OF_STORES, Resource, Share};
pub use leftovers::Leftover;
pub use locations::Location;
pub use messages::{Message, MessageFilter};
pub use metadefs::{MetadefItem, MetadefNamespace, MetadefNamespaceFilter, MetadefResourceType};
pub use qos::{QosSpecs, QosSpecsFilter};
pub use services::{HostUse, Service, ServiceFilter};
pub use snapshots::{Snapshot, SnapshotFilter};
pub use staged::Staged;
pub use transfers::{Transfer, TransferFilter};
pub use volume_types::{DefaultVolumeType, Specs, VolumeType};
pub use volumes::{ATTACH_STATUS, NewVolume, Volume, VolumeChange, VolumeFilter, VolumeMove, VolumeReset};

/// What a column holds as JSON: rows are made outside of this room, where nobody knows the engine.
pub use sqlx::types::Json;

/// Runs one expression on the repository's connection, whichever engine it speaks to.
macro_rules! on {
    ($repository:expr, $connection:ident => $body:expr) => {
        match $repository.connection() {
            $crate::db::engine::Connection::Sqlite($connection) => $body,
            $crate::db::engine::Connection::Postgres($connection) => {
                $crate::db::engine::bounded(async { $body }).await
            }
        }
    };
}
pub(crate) use on;

/// Binds a list of [`Value`]s to a query, in order.
macro_rules! bind_all {
    ($query:expr, $values:expr) => {{
        let mut query = $query;
        for value in $values {
            query = match value {
                $crate::db::Value::Text(text) => query.bind(text.clone()),
                $crate::db::Value::Integer(number) => query.bind(*number),
                $crate::db::Value::Boolean(truth) => query.bind(*truth),
                $crate::db::Value::Key(key) => query.bind(key.clone()),
            };
        }
        query
    }};
}
pub(crate) use bind_all;
