use super::faults::Faults;
use super::section::section;

section! {
    /// How much of everything a project may have. What goes beyond is refused with 413. Negative: no limit. Limits of
    /// volumes are defaults, with Cinder's names: `os-quota-sets` sets a project's own, `os-quota-class-sets` those of
    /// all others.
    pub struct Quotas = "quotas" {
        /// Volumes of a project.
        pub quota_volumes: i64 = 10, "volumes";
        /// Snapshots of a project.
        pub quota_snapshots: i64 = 10, "snapshots";
        /// Volumes and snapshots of a project together.
        pub quota_gigabytes: i64 = 1000, "GiB";
        /// Snapshots do not count as gigabytes.
        pub no_snapshot_gb_quota: bool = false, "none";
        /// Size of one volume.
        pub per_volume_size_limit: i64 = -1, "GiB";
        /// Backups of a project. There are none yet: this is only shown.
        pub quota_backups: i64 = 10, "backups";
        /// Backups of a project together. There are none yet: this is only shown.
        pub quota_backup_gigabytes: i64 = 1000, "GiB";
        /// Groups of a project. There are none yet: this is only shown.
        pub quota_groups: i64 = 10, "groups";
        /// Images of a project. Glance leaves this and the next three to Keystone's limits, or does without.
        pub image_count_total: i64 = 100_000, "images";
        /// Images of a project together, looked at when an upload begins.
        pub image_size_total: i64 = -1, "MiB";
        /// What was staged for imports into images of a project, together.
        pub image_stage_total: i64 = -1, "MiB";
        /// Uploads and imports into images of a project at once.
        pub image_count_uploading: i64 = -1, "images";
    }
}

impl Quotas {
    /// Every number is a limit or none.
    pub(super) fn check(&self, _: &mut Faults) {}
}
