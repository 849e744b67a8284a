//! What users are told when something they asked for came to nothing: numbers and texts of the Block Storage API.

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $code:literal: $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($variant),*
        }

        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            pub fn code(self) -> &'static str {
                match self {
                    $($name::$variant => $code),*
                }
            }

            pub fn text(self) -> &'static str {
                match self {
                    $($name::$variant => $text),*
                }
            }

            fn by_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.code() == code)
            }
        }
    };
}

codes! {
    /// What was asked for.
    Action {
        ScheduleVolume = "001": "schedule allocate volume",
        AttachVolume = "002": "attach volume",
        CopyVolumeToImage = "003": "copy volume to image",
        UpdateAttachment = "004": "update attachment",
        CopyImageToVolume = "005": "copy image to volume",
        UnmanageVolume = "006": "unmanage volume",
        ExtendVolume = "007": "extend volume",
        CreateVolume = "008": "create volume from backend storage",
        CreateSnapshot = "009": "create snapshot",
        DeleteSnapshot = "010": "delete snapshot",
        UpdateSnapshot = "011": "update snapshot",
        UpdateSnapshotMetadata = "012": "update snapshot metadata",
        CreateBackup = "013": "create backup",
        DeleteBackup = "014": "delete backup",
        RestoreBackup = "015": "restore backup",
        ReimageVolume = "016": "reimage volume",
    }
}

codes! {
    /// What kept it from happening.
    Detail {
        Unknown = "001": "An unknown error occurred.",
        NotInitialized = "002": "Driver is not initialized at present.",
        NoBackend = "003": "Could not find any available weighted backend.",
        UploadFailed = "004": "Failed to upload volume to image at backend.",
        AttachMode = "005": "Volume's attach mode is invalid.",
        Quota = "006": "Not enough quota resource for operation.",
        NoSpaceForImage = "007": "Image used for creating volume exceeds available space.",
        UnmanageEncrypted = "008": "Unmanaging encrypted volumes is not supported.",
        ComputeExtend = "009": "Compute service failed to extend volume.",
        StoreExtend = "010": "Volume Driver failed to extend volume.",
        Signature = "011": "Image signature verification failed.",
        StoreCreate = "012": "Driver failed to create the volume.",
        SnapshotCreate = "013": "Snapshot failed to create.",
        SnapshotMetadata = "014": "Volume snapshot update metadata failed.",
        SnapshotBusy = "015": "Snapshot is busy.",
        SnapshotDelete = "016": "Snapshot failed to delete.",
        BackupStatus = "017": "Backup status is invalid.",
        BackupServiceDown = "018": "Backup service is down.",
        BackupDevice = "019": "Failed to get backup device from the volume service.",
        BackupCreate = "020": "Backup driver failed to create backup.",
        Attach = "021": "Failed to attach volume.",
        Detach = "022": "Failed to detach volume.",
        BackupCleanup = "023": "Cleanup of temporary volume/snapshot failed.",
        BackupSchedule = "024": "Backup failed to schedule. Service not found for creating backup.",
        BackupDelete = "025": "Backup driver failed to delete backup.",
        BackupRestore = "026": "Backup driver failed to restore backup.",
        VolumeStatus = "027": "Volume status is invalid.",
        Reimage = "028": "Compute service failed to reimage volume.",
        ImageFormat = "029":
            "The image disk format must be the same as the volume format for the volume type you are requesting.",
        FullBackup = "030": "Incremental backup not possible, forcing full backup.",
    }
}

/// An action that failed, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    pub action: Action,
    pub detail: Detail,
}

impl Event {
    pub fn new(action: Action, detail: Detail) -> Self {
        Self { action, detail }
    }

    /// `VOLUME_<kind of resource>_<action>_<detail>`
    pub fn id(self, resource_type: &str) -> String {
        format!("VOLUME_{resource_type}_{}_{}", self.action.code(), self.detail.code())
    }

    /// What an id says; `None` for one that is none.
    pub fn parse(id: &str) -> Option<Self> {
        let mut codes = id.rsplit('_');
        let (detail, action) = (codes.next()?, codes.next()?);
        Some(Self { action: Action::by_code(action)?, detail: Detail::by_code(detail)? })
    }

    pub fn text(self) -> String {
        format!("{}:{}", self.action.text(), self.detail.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_what_happened() {
        for &action in Action::ALL {
            for &detail in Detail::ALL {
                let event = Event::new(action, detail);
                assert_eq!(Event::parse(&event.id("VOLUME_SNAPSHOT")), Some(event));
            }
        }
        let event = Event::new(Action::ScheduleVolume, Detail::NoBackend);
        assert_eq!(event.id("VOLUME"), "VOLUME_VOLUME_001_003");
        assert_eq!(event.text(), "schedule allocate volume:Could not find any available weighted backend.");
        for wrong in ["", "_", "VOLUME_VOLUME_001_999", "VOLUME_VOLUME_999_001", "001"] {
            assert_eq!(Event::parse(wrong), None, "{wrong}");
        }
    }
}
