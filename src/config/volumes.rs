use std::path::PathBuf;
use std::time::Duration;

use super::faults::Faults;
use super::section::section;
use super::values::{CloneFormat, Seconds, StoreKind};

section! {
    /// Volumes and where their bytes lie. Options of Cinder and of its RBD driver have their names.
    pub struct Volumes = "volumes" {
        /// `directory`: files of this machine. `rbd`: a pool of a Ceph cluster.
        pub store: StoreKind = StoreKind::Directory, "none";
        /// Where the directory store keeps its files. Images and volumes in the same one can be cloned from
        /// each other.
        pub directory: PathBuf = "pumice-data/store".into(), "path";
        /// The name of the cluster.
        pub rbd_cluster_name: String = "ceph".into(), "none";
        /// The pool for volumes, in either store.
        pub rbd_pool: String = "rbd".into(), "none";
        /// The cephx user, without `client.`. Unset: what librados takes, `admin`.
        pub rbd_user: Option<String> = None, "none";
        /// The cluster's configuration file. Unset: where librados looks for one, `/etc/ceph/ceph.conf` first.
        pub rbd_ceph_conf: Option<PathBuf> = None, "path";
        /// The libvirt secret with the user's key, as told to Nova. Unset: the cluster's fsid.
        pub rbd_secret_uuid: Option<String> = None, "UUID";
        /// Copy what a volume made from a snapshot shares with it, and cut the tie.
        pub rbd_flatten_volume_from_snapshot: bool = false, "none";
        /// Clones of clones of clones: at this depth the source is flattened before it is cloned once more.
        /// 0 or less: a clone is a full copy.
        pub rbd_max_clone_depth: i64 = 5, "clones";
        /// Which clones are made: `auto` (what the cluster allows), `1` (of protected snapshots) or `2`.
        pub rbd_default_clone_format: CloneFormat = CloneFormat::Auto, "none";
        /// Size of the objects a new volume is cut into: a power of two from 1 to 32.
        pub rbd_store_chunk_size: u64 = 4, "MiB";
        /// How long a call to the cluster may take. Negative or 0: `operation_timeout` says so.
        pub rados_connect_timeout: i64 = -1, "seconds";
        /// How long a call to the store may take when `rados_connect_timeout` does not say: a cluster that
        /// hangs gives an error then.
        pub operation_timeout: Seconds = Seconds(60), "seconds";
        /// How often connecting, and removing what is busy, is tried.
        pub rados_connection_retries: u32 = 3, "tries";
        /// The pause after the first try; it doubles from try to try.
        pub rados_connection_interval: Seconds = Seconds(5), "seconds";
        /// Keep a raw copy of each image that is not raw and becomes a volume: the next volume from it is a clone of
        /// the copy, and there at once.
        pub image_volume_cache_enabled: bool = false, "none";
        /// How much these copies may hold in all, each counted with the size of its disk: the ones that were used
        /// least recently go first. 0: no limit.
        pub image_volume_cache_max_size_gb: u32 = 0, "GiB";
        /// How many copies are kept. 0: no limit.
        pub image_volume_cache_max_count: u32 = 0, "images";
        /// Volumes that are in use may be uploaded to images, where the request says so (`force`).
        pub enable_force_upload: bool = false, "none";
        /// For files that exist only during a conversion. There are none: images are converted where they lie.
        pub image_conversion_dir formerly "volume_tmp_dir": PathBuf = "pumice-data/conversion".into(), "path";
        /// The type of a volume when neither the request nor a default of its project says.
        pub default_volume_type: String = "__DEFAULT__".into(), "none";
        /// The availability zone of every volume.
        pub storage_availability_zone: String = "nova".into(), "none";
        /// The name of this backend, as volume types ask for it and as it stands in a volume's host. Unset:
        /// the name of the store, `directory` or `rbd`.
        pub volume_backend_name: Option<String> = None, "none";
        /// Volumes or snapshots on a page, unless the request says less.
        pub osapi_max_limit: u32 = 1000, "items";
    }
}

impl Volumes {
    /// How long one call to the store may take.
    pub fn call_timeout(&self) -> Duration {
        call_timeout(self.rados_connect_timeout, self.operation_timeout)
    }

    /// Size in bytes of the objects a new volume is cut into.
    pub fn object_size(&self) -> u64 {
        self.rbd_store_chunk_size << 20
    }

    /// The name of this backend, given or not.
    pub fn backend_name(&self) -> &str {
        match (&self.volume_backend_name, self.store) {
            (Some(name), _) => name,
            (None, StoreKind::Directory) => "directory",
            (None, StoreKind::Rbd) => "rbd",
        }
    }

    pub(super) fn check(&self, faults: &mut Faults) {
        check_pool(faults, "volumes.rbd_pool", &self.rbd_pool);
        check_text(faults, "volumes.rbd_cluster_name", Some(&self.rbd_cluster_name));
        check_text(faults, "volumes.rbd_user", self.rbd_user.as_deref());
        check_text(faults, "volumes.rbd_secret_uuid", self.rbd_secret_uuid.as_deref());
        check_text(faults, "volumes.default_volume_type", Some(&self.default_volume_type));
        check_text(faults, "volumes.storage_availability_zone", Some(&self.storage_availability_zone));
        check_text(faults, "volumes.volume_backend_name", self.volume_backend_name.as_deref());
        for (option, path) in [
            ("volumes.directory", Some(&self.directory)),
            ("volumes.rbd_ceph_conf", self.rbd_ceph_conf.as_ref()),
            ("volumes.image_conversion_dir", Some(&self.image_conversion_dir)),
        ] {
            let empty = path.is_some_and(|path| path.as_os_str().is_empty());
            faults.require(!empty, option, "must be a path", "empty");
        }
        check_chunk_size(faults, "volumes.rbd_store_chunk_size", self.rbd_store_chunk_size);
        faults.require(self.operation_timeout.0 > 0, "volumes.operation_timeout", "must be at least 1", 0);
        let retries = self.rados_connection_retries;
        // The pause doubles: more tries than this would wait for days.
        faults.require(
            (1..=16).contains(&retries),
            "volumes.rados_connection_retries",
            "must be from 1 to 16",
            retries,
        );
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
