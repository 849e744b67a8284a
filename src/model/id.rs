//! Identifiers, one type each, so that a snapshot is never taken for its volume.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A type for UUIDs, kept in their canonical text form (lower case, hyphens), as both databases store them.
macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(String);

        impl $name {
            /// `None` for what is not a UUID; hyphens and case do not matter.
            pub fn parse(text: &str) -> Option<Self> {
                Uuid::try_parse(text).ok().map(Self::from)
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id.hyphenated().to_string())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

uuid_ids! {
    /// An image of the Image API.
    ImageId;
    /// A volume of the Block Storage API.
    VolumeId;
    /// A volume snapshot.
    SnapshotId;
    /// An attachment of a volume.
    AttachmentId;
    /// A volume type.
    VolumeTypeId;
    /// QoS specs of volume types.
    QosSpecsId;
    /// The offer of a volume to another project.
    TransferId;
    /// A message to a user.
    MessageId;
    /// The encryption of a volume type.
    EncryptionId;
    /// A namespace of metadata definitions.
    MetadefNamespaceId;
    /// An object, property, tag or resource type in such a namespace.
    MetadefItemId;
    /// A job; version 7, so that they sort by the time they were enqueued.
    JobId;
}

/// A type for identifiers that another service gives out; OpenStack promises no form for them.
macro_rules! text_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type,
        )]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(pub String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        /// As Identity writes the ones it makes: without hyphens.
        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id.simple().to_string())
            }
        }
    )*};
}

text_ids! {
    /// A project (tenant) of the identity service.
    ProjectId;
    /// A user of the identity service.
    UserId;
    /// A domain of the identity service: it has projects and users.
    DomainId;
    /// A role of the identity service.
    RoleId;
    /// An application credential of the identity service.
    ApplicationCredentialId;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_one_form() {
        let id = VolumeId::parse("6F2D1C0A-0000-4000-8000-00000000ABCD").unwrap();
        assert_eq!(id.as_str(), "6f2d1c0a-0000-4000-8000-00000000abcd");
        assert_eq!(VolumeId::parse("6f2d1c0a00004000800000000000abcd"), Some(id));
        assert_eq!(VolumeId::parse("../../etc/passwd"), None);
    }
}
