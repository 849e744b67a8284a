//! Statuses, and the one table of which changes into which.
//!
//! The names are those of the APIs. The tables say what the *service* may do; what a *request* may ask for
//! (the API reference's preconditions) is narrower and stands with the endpoint.

use serde::{Deserialize, Serialize};

/// A text in the database that names no status: written by a newer version, or by hand.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is not a status of a {what}")]
pub struct UnknownStatus {
    pub what: &'static str,
    pub text: String,
}

macro_rules! statuses {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$vdoc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $text)] $variant),*
        }

        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $text),*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownStatus;

            fn from_str(text: &str) -> Result<Self, UnknownStatus> {
                match text {
                    $($text => Ok($name::$variant),)*
                    _ => Err(UnknownStatus { what: $what, text: text.to_owned() }),
                }
            }
        }

        impl<DB: sqlx::Database> sqlx::Type<DB> for $name
        where
            String: sqlx::Type<DB>,
        {
            fn type_info() -> DB::TypeInfo {
                <String as sqlx::Type<DB>>::type_info()
            }

            fn compatible(info: &DB::TypeInfo) -> bool {
                <String as sqlx::Type<DB>>::compatible(info)
            }
        }

        impl<'q, DB: sqlx::Database> sqlx::Encode<'q, DB> for $name
        where
            String: sqlx::Encode<'q, DB>,
        {
            fn encode_by_ref(
                &self,
                buffer: &mut <DB as sqlx::Database>::ArgumentBuffer,
            ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
                self.as_str().to_owned().encode(buffer)
            }
        }

        impl<'r, DB: sqlx::Database> sqlx::Decode<'r, DB> for $name
        where
            &'r str: sqlx::Decode<'r, DB>,
        {
            fn decode(value: <DB as sqlx::Database>::ValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
                Ok(<&str as sqlx::Decode<'r, DB>>::decode(value)?.parse()?)
            }
        }
    };
}

statuses! {
    /// Of an image (Image API v2, `status`).
    ImageStatus, "image" {
        /// A record without bytes; may be uploaded to.
        Queued = "queued",
        /// Bytes are arriving.
        Saving = "saving",
        /// Bytes arrived, or are arriving, for an import.
        Uploading = "uploading",
        /// An import is under way.
        Importing = "importing",
        Active = "active",
        Deactivated = "deactivated",
        /// The record is kept until the bytes are gone; no request sees it.
        Deleted = "deleted",
    }
}

impl ImageStatus {
    pub fn may_become(self, next: Self) -> bool {
        use ImageStatus::*;
        matches!(
            (self, next),
            (Queued, Saving | Uploading | Importing | Active | Deleted)
                | (Saving, Active | Queued | Deleted)
                | (Uploading, Importing | Queued | Deleted)
                | (Importing, Active | Queued | Deleted)
                | (Active, Deactivated | Deleted)
                | (Deactivated, Active | Deleted)
                // The store refused (copy-on-write volumes need the bytes), or failed: as it was before.
                | (Deleted, Active | Deactivated | Uploading)
        )
    }
}

statuses! {
    /// What a project says to a `shared` image that it was given; any of these may become any other.
    MemberStatus, "member" {
        Pending = "pending",
        /// The image is in the project's lists.
        Accepted = "accepted",
        Rejected = "rejected",
    }
}

statuses! {
    /// What is in a namespace of metadata definitions.
    MetadefKind, "metadata definition" {
        Object = "object",
        Property = "property",
        Tag = "tag",
        /// A resource type that the namespace is for.
        ResourceType = "resource_type",
    }
}

statuses! {
    /// Of a volume (Block Storage API v3, `status`).
    VolumeStatus, "volume" {
        Creating = "creating",
        Downloading = "downloading",
        Available = "available",
        /// Kept for an attachment whose host is not known yet.
        Reserved = "reserved",
        Attaching = "attaching",
        InUse = "in-use",
        Detaching = "detaching",
        /// An administrator works on it, or it is on its way to another place: nobody else touches it.
        Maintenance = "maintenance",
        Extending = "extending",
        /// Gets another type.
        Retyping = "retyping",
        Deleting = "deleting",
        Error = "error",
        ErrorDeleting = "error_deleting",
        ErrorExtending = "error_extending",
        AwaitingTransfer = "awaiting-transfer",
        Uploading = "uploading",
        BackingUp = "backing-up",
        ErrorBackingUp = "error_backing-up",
        RestoringBackup = "restoring-backup",
        ErrorRestoring = "error_restoring",
        Managing = "managing",
        ErrorManaging = "error_managing",
        ErrorManagingDeleting = "error_managing_deleting",
        Unmanaging = "unmanaging",
        ErrorUnmanaging = "error_unmanaging",
        Reverting = "reverting",
    }
}

impl VolumeStatus {
    pub fn may_become(self, next: Self) -> bool {
        use VolumeStatus::*;
        match (self, next) {
            // An administrator may have anything deleted that no instance has.
            (from, Deleting) => !matches!(from, InUse | Detaching | Deleting),
            // Open elsewhere: back to what it was.
            (Deleting | ErrorManagingDeleting, back) => back.is_settled() && back != Detaching,
            (from, to) => {
                from != to
                    && matches!(
                        (from, to),
                        (Creating, Downloading)
                    | (Creating | Downloading, Available | Error)
                    // Who waits for it may have reserved it already.
                    | (Creating | Downloading, Reserved | Attaching | InUse)
                    | (Available, Extending | Retyping | Reserved | Attaching | InUse | Maintenance)
                    | (Available, AwaitingTransfer | Reverting | Unmanaging | Uploading | Downloading)
                     | (Reserved | Error, Downloading)
                     | (InUse, Uploading)
                    | (Reserved | Attaching, Available | Reserved | Attaching | InUse | Detaching)
                    | (InUse, Available | Reserved | Attaching | Detaching | Extending | Retyping | Maintenance)
                    | (Detaching, Available | Reserved | Attaching | InUse)
                    | (Maintenance, Available | Reserved | Attaching | InUse)
                    // Its attachments may come and go meanwhile.
                    | (Extending, Available | Reserved | Attaching | InUse | ErrorExtending)
                    | (AwaitingTransfer, Available)
                    | (Uploading, Available | Reserved | Attaching | InUse)
                     | (BackingUp, Available | InUse)
                    | (Retyping, Available | Reserved | Attaching | InUse)
                    | (RestoringBackup, Available | ErrorRestoring)
                    | (Reverting, Available | Error)
                    | (Managing, Available | ErrorManaging)
                    | (ErrorManaging, ErrorManagingDeleting)
                    | (Error | ErrorRestoring | ErrorExtending, Unmanaging)
                    | (Unmanaging, Available | Error | ErrorRestoring | ErrorExtending | ErrorUnmanaging)
                    )
            }
        }
    }

    /// No job works on it: it stays as it is until someone asks.
    pub fn is_settled(self) -> bool {
        use VolumeStatus::*;
        !matches!(
            self,
            Creating
                | Downloading
                | Extending
                | Deleting
                | Uploading
                | Retyping
                | BackingUp
                | RestoringBackup
                | Managing
                | ErrorManagingDeleting
                | Unmanaging
                | Reverting
        )
    }

    /// A job removes it.
    pub fn is_being_deleted(self) -> bool {
        matches!(self, VolumeStatus::Deleting | VolumeStatus::ErrorManagingDeleting)
    }

    /// Nothing but its attachments says what it is.
    pub fn follows_attachments(self) -> bool {
        use VolumeStatus::*;
        matches!(self, Available | Reserved | Attaching | InUse | Detaching)
    }

    /// What a volume is that has these attachments, and nothing else is done with.
    pub fn with_attachments(attachments: &[AttachmentStatus]) -> Self {
        if attachments.contains(&AttachmentStatus::Attached) {
            VolumeStatus::InUse
        } else if attachments.contains(&AttachmentStatus::Attaching) {
            VolumeStatus::Attaching
        } else if attachments.contains(&AttachmentStatus::Reserved) {
            VolumeStatus::Reserved
        } else {
            VolumeStatus::Available
        }
    }

    /// Something went wrong with it.
    pub fn is_error(self) -> bool {
        self.as_str().starts_with("error")
    }
}

statuses! {
    /// Of an attachment of a volume (Block Storage API v3, `status`).
    AttachmentStatus, "attachment" {
        /// Holds the volume for a host that is yet to be named.
        Reserved = "reserved",
        /// The host was told how to reach the volume.
        Attaching = "attaching",
        /// The host said that it has it.
        Attached = "attached",
    }
}

statuses! {
    /// Whether a volume is written to where it is attached.
    AttachMode, "mode" {
        Rw = "rw",
        Ro = "ro",
    }
}

statuses! {
    /// How far a volume is on its way to another place (Block Storage API v3, `migration_status`).
    MigrationStatus, "migration" {
        /// Asked for.
        Starting = "starting",
        /// Its bytes are on the way.
        Migrating = "migrating",
        /// Nova has moved it: what it was before is being removed.
        Completing = "completing",
        Success = "success",
        /// It is where it was.
        Error = "error",
        /// It stands in for the next copy of another volume, whose id is shown with it.
        Target = "target",
    }
}

impl MigrationStatus {
    pub fn is_under_way(self) -> bool {
        use MigrationStatus::{Completing, Migrating, Starting, Target};
        matches!(self, Starting | Migrating | Completing | Target)
    }
}

statuses! {
    /// Whether another cluster has a volume too (Block Storage API v3, `replication_status`).
    ReplicationStatus, "replication" {
        Enabled = "enabled",
        /// It could be where it lies, and is not.
        Disabled = "disabled",
    }
}

statuses! {
    /// Of a volume snapshot (Block Storage API v3, `status`).
    SnapshotStatus, "snapshot" {
        Creating = "creating",
        Available = "available",
        Deleting = "deleting",
        Error = "error",
        ErrorDeleting = "error_deleting",
        /// An administrator says so; a snapshot that is gone has no row.
        Deleted = "deleted",
        Updating = "updating",
        Unmanaging = "unmanaging",
        BackingUp = "backing-up",
        /// Its volume is being given its bytes.
        Restoring = "restoring",
    }
}

impl SnapshotStatus {
    pub fn may_become(self, next: Self) -> bool {
        use SnapshotStatus::*;
        match (self, next) {
            // An administrator may have anything deleted.
            (from, Deleting) => from != Deleting,
            (Deleting, back) => back.is_settled(),
            (from, to) => matches!(
                (from, to),
                (Creating, Available | Error)
                    | (Available, Restoring | Unmanaging)
                    | (Error, Unmanaging)
                    | (Unmanaging, Available | Error | ErrorDeleting)
                    | (Restoring | BackingUp, Available | Error)
            ),
        }
    }

    pub fn is_settled(self) -> bool {
        use SnapshotStatus::*;
        !matches!(self, Creating | Deleting | Unmanaging | BackingUp | Restoring)
    }
}

statuses! {
    /// Of a job (`/pumice/v1/jobs`, `state`).
    JobState, "job" {
        /// Waits for its turn, its time, or the job before it on the same resource.
        Queued = "queued",
        /// A worker holds a lease on it.
        Running = "running",
        Done = "done",
        Failed = "failed",
        Cancelled = "cancelled",
    }
}

statuses! {
    /// Why a job did not succeed.
    Cause, "cause" {
        /// It may pass by itself: worth another try.
        Transient = "transient",
        /// Open elsewhere: worth another try; then as `InUse`.
        Busy = "busy",
        /// Something else needs it: the resource goes back to what it was.
        InUse = "in_use",
        Cancelled = "cancelled",
        /// What it was about is not there any more: nothing is left to do, or to undo.
        Gone = "gone",
        /// The lease went to another worker, which goes on with the job: nothing may be written any more.
        LeaseLost = "lease_lost",
        Fatal = "fatal",
    }
}

impl Cause {
    /// Whether the job is worth another try.
    pub fn may_pass(self) -> bool {
        matches!(self, Cause::Transient | Cause::Busy)
    }

    /// Whether the resource, unharmed, goes back to what it was.
    pub fn is_refusal(self) -> bool {
        matches!(self, Cause::Busy | Cause::InUse)
    }
}

impl JobState {
    pub fn is_over(self) -> bool {
        matches!(self, JobState::Done | JobState::Failed | JobState::Cancelled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unsettled_status_has_a_way_out_to_a_settled_one() {
        for &from in VolumeStatus::ALL {
            assert!(
                from.is_settled()
                    || VolumeStatus::ALL.iter().any(|&to| to.is_settled() && from.may_become(to)),
                "{from}"
            );
        }
        for &from in SnapshotStatus::ALL {
            assert!(
                from.is_settled()
                    || SnapshotStatus::ALL.iter().any(|&to| to.is_settled() && from.may_become(to)),
                "{from}"
            );
        }
    }

    #[test]
    fn nothing_becomes_what_it_is() {
        assert!(ImageStatus::ALL.iter().all(|&s| !s.may_become(s)));
        assert!(VolumeStatus::ALL.iter().all(|&s| !s.may_become(s)));
        assert!(SnapshotStatus::ALL.iter().all(|&s| !s.may_become(s)));
    }

    #[test]
    fn the_strongest_attachment_says_what_a_volume_is() {
        use AttachmentStatus::*;
        for (attachments, status) in [
            (&[][..], VolumeStatus::Available),
            (&[Reserved], VolumeStatus::Reserved),
            (&[Reserved, Attaching], VolumeStatus::Attaching),
            (&[Attaching, Attached, Reserved], VolumeStatus::InUse),
        ] {
            assert_eq!(VolumeStatus::with_attachments(attachments), status, "{attachments:?}");
            assert!(status.follows_attachments());
        }
    }

    #[test]
    fn a_foreign_text_is_an_error_that_names_it() {
        let error = "melted".parse::<VolumeStatus>().unwrap_err();
        assert_eq!(error.to_string(), "\"melted\" is not a status of a volume");
    }
}
