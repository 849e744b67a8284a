//! Backends: the places for volumes. `[volumes]` says where the first one is, `[backends.NAME]` where others are.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::faults::Faults;
use super::section::SectionReference;
use super::values::{CloneFormat, Seconds, StoreKind};
use super::volumes::{call_timeout, check_chunk_size, check_pool, check_text};

/// Declares a section with the options that every backend has, and more.
macro_rules! backend_section {
    (
        $(#[doc = $about:literal])+
        pub struct $Section:ident = $name:literal { $($more:tt)* }
    ) => {
        $crate::config::section::section! {
            $(#[doc = $about])+
            pub struct $Section = $name {
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
                /// Keep a raw copy of each image that is not raw and becomes a volume here: the next volume from it is a clone
                /// of the copy, and there at once.
                pub image_volume_cache_enabled: bool = false, "none";
                /// How much these copies may hold in all, each counted with the size of its disk: the ones that were used
                /// least recently go first. 0: no limit.
                pub image_volume_cache_max_size_gb: u32 = 0, "GiB";
                /// How many copies are kept. 0: no limit.
                pub image_volume_cache_max_count: u32 = 0, "images";
                /// The name of this backend, as volume types ask for it; several may share one. Unset: the name of
                /// the section, and in `[volumes]` that of the store, `directory` or `rbd`.
                pub volume_backend_name: Option<String> = None, "none";
                /// The availability zone of the volumes there. Unset: `volumes.storage_availability_zone`.
                pub backend_availability_zone: Option<String> = None, "none";
                /// How much of the room is left alone when volumes are placed.
                pub reserved_percentage: u32 = 0, "percent";
                /// How many times the room may be promised: volumes take up only what is written. At least 1.
                pub max_over_subscription_ratio: f64 = 20.0, "none";
                $($more)*
            }
        }
    };
}

pub(super) use backend_section;

backend_section! {
    /// One more place for volumes, under a name of your own: `[backends.fast]`, `[backends.archive]`. A name is letters,
    /// digits, `.`, `_` and `-`; it stands in the `host` of the volumes there, so it stays as long as they do. In the
    /// environment the section is `PUMICE_BACKENDS__<NAME>__<OPTION>`, with the name in small letters.
    pub struct Backend = "backends.NAME" {}
}

impl Backend {
    /// How long one call to the store may take.
    pub fn call_timeout(&self) -> Duration {
        call_timeout(self.rados_connect_timeout, self.operation_timeout)
    }

    /// Size in bytes of the objects a new volume is cut into.
    pub fn object_size(&self) -> u64 {
        self.rbd_store_chunk_size << 20
    }

    pub(super) fn check(&self, section: &str, faults: &mut Faults) {
        let option = |name: &str| format!("{section}.{name}");
        check_pool(faults, &option("rbd_pool"), &self.rbd_pool);
        for (name, text) in [
            ("rbd_cluster_name", Some(self.rbd_cluster_name.as_str())),
            ("rbd_user", self.rbd_user.as_deref()),
            ("rbd_secret_uuid", self.rbd_secret_uuid.as_deref()),
            ("volume_backend_name", self.volume_backend_name.as_deref()),
            ("backend_availability_zone", self.backend_availability_zone.as_deref()),
        ] {
            check_text(faults, &option(name), text);
        }
        for (name, path) in
            [("directory", Some(&self.directory)), ("rbd_ceph_conf", self.rbd_ceph_conf.as_ref())]
        {
            check_path(faults, &option(name), path);
        }
        let reserved = self.reserved_percentage;
        faults.require(reserved <= 100, &option("reserved_percentage"), "must be from 0 to 100", reserved);
        let ratio = self.max_over_subscription_ratio;
        let fits = ratio.is_finite() && ratio >= 1.0;
        faults.require(fits, &option("max_over_subscription_ratio"), "must be at least 1", ratio);
        check_chunk_size(faults, &option("rbd_store_chunk_size"), self.rbd_store_chunk_size);
        faults.require(self.operation_timeout.0 > 0, &option("operation_timeout"), "must be at least 1", 0);
        // The pause doubles: more tries than this would wait for days.
        let retries = self.rados_connection_retries;
        let few = (1..=10).contains(&retries);
        faults.require(few, &option("rados_connection_retries"), "must be from 1 to 10", retries);
        let pause = self.rados_connection_interval.0;
        faults.require(pause <= 3600, &option("rados_connection_interval"), "must be at most 3600", pause);
    }
}

/// The backends beside that of `[volumes]`, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Backends(pub BTreeMap<String, Backend>);

impl Backends {
    pub fn reference() -> SectionReference {
        Backend::reference()
    }

    pub(super) fn check(&self, faults: &mut Faults) {
        for (name, backend) in &self.0 {
            let section = format!("backends.{name}");
            check_name(faults, &section, name);
            backend.check(&section, faults);
        }
    }

    /// A host that names a backend must name one only.
    pub(super) fn check_beside(&self, first: &str, faults: &mut Faults) {
        if self.0.contains_key(first) {
            faults.add(format!("backends.{first}: the backend of [volumes] has this name already"));
        }
        if !self.0.is_empty() {
            check_name(faults, "volumes.volume_backend_name", first);
        }
    }
}

pub(super) fn check_path(faults: &mut Faults, option: &str, path: Option<&PathBuf>) {
    let empty = path.is_some_and(|path| path.as_os_str().is_empty());
    faults.require(!empty, option, "must be a path", "empty");
}

/// It stands between `@` and `#`.
fn check_name(faults: &mut Faults, section: &str, name: &str) {
    let fits = (1..=128).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    let rule = "a backend's name must be 1 to 128 characters out of A-Z a-z 0-9 . _ -";
    faults.require(fits, section, rule, format_args!("{name:?}"));
}
