use std::path::PathBuf;
use std::time::Duration;

use super::backends::{Backend, backend_section, check_path};
use super::faults::Faults;
use super::values::{CloneFormat, Seconds, StoreKind};

backend_section! {
    /// Volumes and where their bytes lie. Options of Cinder and of its RBD driver have their names. More places than
    /// one: see `[backends.NAME]`.
    pub struct Volumes = "volumes" {
        /// Volumes that are in use may be uploaded to images, where the request says so (`force`).
        pub enable_force_upload: bool = false, "none";
        /// For files that exist only during a conversion. There are none: images are converted where they lie.
        pub image_conversion_dir formerly "volume_tmp_dir": PathBuf = "pumice-data/conversion".into(), "path";
        /// The type of a volume when neither the request nor a default of its project says.
        pub default_volume_type: String = "__DEFAULT__".into(), "none";
        /// The availability zone of volumes, unless their backend is in another one.
        pub storage_availability_zone: String = "nova".into(), "none";
        /// How long messages to users are kept.
        pub message_ttl: Seconds = Seconds(2_592_000), "seconds";
        /// Volumes or snapshots on a page, unless the request says less.
        pub osapi_max_limit: u32 = 1000, "items";
    }
}

impl Volumes {
    /// Its name, as it stands in the host of its volumes.
    pub fn backend_name(&self) -> &str {
        match (&self.volume_backend_name, self.store) {
            (Some(name), _) => name,
            (None, StoreKind::Directory) => "directory",
            (None, StoreKind::Rbd) => "rbd",
        }
    }

    /// How many seconds messages to users are kept.
    pub fn message_lifetime(&self) -> i64 {
        i64::try_from(self.message_ttl.0).unwrap_or(i64::MAX)
    }

    /// The backend that this section describes.
    pub fn backend(&self) -> Backend {
        Backend {
            store: self.store,
            directory: self.directory.clone(),
            rbd_cluster_name: self.rbd_cluster_name.clone(),
            rbd_pool: self.rbd_pool.clone(),
            rbd_user: self.rbd_user.clone(),
            rbd_ceph_conf: self.rbd_ceph_conf.clone(),
            rbd_secret_uuid: self.rbd_secret_uuid.clone(),
            rbd_flatten_volume_from_snapshot: self.rbd_flatten_volume_from_snapshot,
            rbd_max_clone_depth: self.rbd_max_clone_depth,
            image_volume_cache_enabled: self.image_volume_cache_enabled,
            image_volume_cache_max_size_gb: self.image_volume_cache_max_size_gb,
            image_volume_cache_max_count: self.image_volume_cache_max_count,
            rbd_default_clone_format: self.rbd_default_clone_format,
            rbd_store_chunk_size: self.rbd_store_chunk_size,
            rados_connect_timeout: self.rados_connect_timeout,
            operation_timeout: self.operation_timeout,
            rados_connection_retries: self.rados_connection_retries,
            rados_connection_interval: self.rados_connection_interval,
            volume_backend_name: self.volume_backend_name.clone(),
            backend_availability_zone: self.backend_availability_zone.clone(),
            reserved_percentage: self.reserved_percentage,
            max_over_subscription_ratio: self.max_over_subscription_ratio,
        }
    }

    pub(super) fn check(&self, faults: &mut Faults) {
        self.backend().check("volumes", faults);
        check_text(faults, "volumes.default_volume_type", Some(&self.default_volume_type));
        check_text(faults, "volumes.storage_availability_zone", Some(&self.storage_availability_zone));
        check_path(faults, "volumes.image_conversion_dir", Some(&self.image_conversion_dir));
        faults.require(self.message_ttl.0 > 0, "volumes.message_ttl", "must be at least 1", 0);
        faults.require(self.osapi_max_limit > 0, "volumes.osapi_max_limit", "must be at least 1", 0);
    }
}

pub(super) fn call_timeout(rados_connect_timeout: i64, operation_timeout: Seconds) -> Duration {
    match u64::try_from(rados_connect_timeout) {
        Ok(seconds) if seconds > 0 => Duration::from_secs(seconds),
        _ => operation_timeout.duration(),
    }
}

pub(super) fn check_chunk_size(faults: &mut Faults, option: &str, mebibytes: u64) {
    let fits = mebibytes.is_power_of_two() && mebibytes <= 32;
    faults.require(fits, option, "must be a power of two from 1 to 32", mebibytes);
}

/// A pool becomes part of `rbd://fsid/pool/image/snap`, and of a path in the directory store.
pub(super) fn check_pool(faults: &mut Faults, option: &str, pool: &str) {
    let fits = (1..=128).contains(&pool.len())
        && !pool.starts_with('.')
        && pool.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    let rule = "must be 1 to 128 characters out of A-Z a-z 0-9 . _ -, the first not a dot";
    faults.require(fits, option, rule, format_args!("{pool:?}"));
}

pub(super) fn check_text(faults: &mut Faults, option: &str, text: Option<&str>) {
    let fits = text.is_none_or(|text| (1..=255).contains(&text.chars().count()));
    faults.require(fits, option, "must be 1 to 255 characters", "that");
}
