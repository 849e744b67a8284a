use std::path::PathBuf;
use std::time::Duration;

use super::faults::Faults;
use super::section::section;
use super::values::{HashingAlgorithm, IdentityMode, Seconds, StorageQuota, StoreKind};
use super::volumes::{call_timeout, check_chunk_size, check_pool, check_text};
use crate::formats;

/// Ways to import that are allowed unless told.
const IMPORT_METHODS: [&str; 3] = ["glance-direct", "web-download", "copy-image"];

const CONTAINER_FORMATS: [&str; 8] = ["ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"];
const DISK_FORMATS: [&str; 11] =
    ["ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"];

/// Characters of the name of a format.
const LONGEST_FORMAT: usize = 20;

/// One more, which wants a Keystone that knows several regions.
pub const GLANCE_DOWNLOAD: &str = "glance-download";

section! {
    /// Images and where their bytes lie. Options of Glance and of its RBD store have their names.
    pub struct Images = "images" {
        /// `directory`: files of this machine. `rbd`: a pool of a Ceph cluster.
        pub store: StoreKind = StoreKind::Directory, "none";
        /// The id of this store, where there are several: see `[image_stores.NAME]`. Uploads go there unless they say
        /// otherwise.
        pub default_backend: String = "default".into(), "none";
        /// What this store is, for people.
        pub store_description: Option<String> = None, "none";
        /// An image that is in several stores is read from that with the largest one.
        pub weight: i64 = 0, "none";
        /// Where the directory store keeps its files. One process uses it at a time.
        pub directory: PathBuf = "pumice-data/store".into(), "path";
        /// The pool for images, in either store.
        pub rbd_store_pool: String = "images".into(), "none";
        /// The cephx user, without `client.`. Unset: what librados takes, `admin`.
        pub rbd_store_user: Option<String> = None, "none";
        /// The cluster's configuration file. Unset: where librados looks for one, `/etc/ceph/ceph.conf` first.
        pub rbd_store_ceph_conf: Option<PathBuf> = None, "path";
        /// Size of the objects a new image is cut into: a power of two from 1 to 32.
        pub rbd_store_chunk_size: u64 = 8, "MiB";
        /// How long a call to the cluster may take. Negative or 0: `operation_timeout` says so.
        pub rados_connect_timeout: i64 = -1, "seconds";
        /// How long a call to the store may take when `rados_connect_timeout` does not say: a cluster that
        /// hangs gives an error then.
        pub operation_timeout: Seconds = Seconds(60), "seconds";
        /// Stretches of zeros take no space. Glance's own default is false.
        pub rbd_thin_provisioning: bool = true, "none";
        /// The algorithm behind `os_hash_value`: `sha256`, `sha384` or `sha512`.
        pub hashing_algorithm: HashingAlgorithm = HashingAlgorithm::Sha512, "none";
        /// Compute `checksum` and `os_hash_value` while data come in. Without them clients cannot verify a
        /// download; meant for measurements.
        pub compute_digests: bool = true, "none";
        /// Writes to the store under way at once for each upload.
        pub writes_in_flight: u32 = 4, "writes";
        /// How long an upload, or the web server of an import, may send nothing before it is given up.
        pub upload_idle_timeout: Seconds = Seconds(60), "seconds";
        /// Fewer bytes a second than these, on average over `upload_idle_timeout`, are as good as nothing: whoever sends a
        /// byte now and then does not hold a place and a part of the store for ever. The time that the store takes does
        /// not count. `0`: a single byte is enough.
        pub upload_min_rate: u32 = 1024, "bytes/second";
        /// Ways to import an image: `glance-direct` (of what was staged before), `web-download`, `copy-image` (to other
        /// stores), `glance-download` (from another region, with a Keystone).
        pub enabled_import_methods: Vec<String> = IMPORT_METHODS.map(str::to_owned).into(), "none";
        /// How long a `web-download` or a `glance-download` may take, or a client with the bytes of an image that lies on a
        /// web server.
        pub web_download_timeout: Seconds = Seconds(14_400), "seconds";
        /// Bytes that are registered where a web server has them (`POST /v2/images/{id}/locations`) are read once, for
        /// their digests. Else those that the request names are believed.
        pub do_secure_hash: bool = true, "none";
        /// How often a download from a web server is gone on with when it breaks off.
        pub http_retries: u32 = 3, "times";
        /// The largest image that may be uploaded.
        pub image_size_cap: u64 = 1_099_511_627_776, "bytes";
        /// The bytes of a project's images together, each as often as it is in a store: a number with `B`, `KB`, `MB`, `GB`
        /// or `TB`. More is refused while it comes. `0`: no limit.
        pub user_storage_quota: StorageQuota = StorageQuota::NONE, "none";
        /// What may wrap the disk in an image (`container_format`).
        pub container_formats: Vec<String> = CONTAINER_FORMATS.map(str::to_owned).into(), "none";
        /// How the disk in an image may be written (`disk_format`). What is not known here by its name is kept as it
        /// comes, and a volume gets the bytes themselves.
        pub disk_formats: Vec<String> = DISK_FORMATS.map(str::to_owned).into(), "none";
        /// Custom properties that have a form, as JSON schemas by name, in either form of Glance's `schema-image.json`: a
        /// value that does not fit is refused, and a new image must have what is `required`. It is read at the start.
        /// Unset: the properties that Glance comes with (`kernel_id`, `ramdisk_id`, `architecture`, `os_distro` ...). With
        /// `{}` in it none has a form.
        pub schema_file: Option<PathBuf> = None, "path";
        /// Properties of an image beside the base ones. Negative: no limit.
        pub image_property_quota: i64 = 128, "properties";
        /// Tags of an image. Negative: no limit.
        pub image_tag_quota: i64 = 128, "tags";
        /// Projects that an image is shared with. Negative: no limit.
        pub image_member_quota: i64 = 128, "projects";
        /// Locations of an image that a PATCH gives it. Negative: no limit.
        pub image_location_quota: i64 = 10, "locations";
        /// Images on a page when the request does not say.
        pub limit_param_default: u32 = 25, "images";
        /// Images on a page at most, whatever the request says.
        pub api_limit_max: u32 = 1000, "images";
        /// The content of an upload must be of the `disk_format` the image claims. Unsafe content is refused in any
        /// case.
        pub require_image_format_match: bool = true, "none";
        /// Checks of partition tables that do not matter: `mbr`. Glance's other word, `gptmbr`, is taken as well, and names
        /// no check: neither does it there.
        pub gpt_safety_checks_nonfatal: Vec<String> = Vec::new(), "none";
        /// Where the certificates of signed images (`img_signature` and its kin) are: `<uuid>.pem`. Those that are not
        /// there are asked for as `[barbican]` says. A signed image whose certificate cannot be had is refused.
        pub certificates_directory: Option<PathBuf> = None, "path";
        /// Show where an image's bytes lie, as `direct_url`, once they can be cloned from there.
        pub show_image_direct_url: bool = false, "none";
        /// Show all places where an image's bytes lie, as `locations`, and let a PATCH change them: give an image bytes
        /// that Nova or Cinder cloned into a pool of images, or that a web server has. Not for clouds whose users are
        /// not to know: whoever may modify an image may then say what is in it.
        pub show_multiple_locations: bool = false, "none";
    }
}

impl Images {
    /// How long one call to the store may take.
    pub fn call_timeout(&self) -> Duration {
        call_timeout(self.rados_connect_timeout, self.operation_timeout)
    }

    /// Size in bytes of the objects a new image is cut into.
    pub fn object_size(&self) -> u64 {
        self.rbd_store_chunk_size << 20
    }

    /// What an upload is measured by.
    pub fn format_rules(&self) -> formats::Rules {
        formats::Rules {
            require_match: self.require_image_format_match,
            allow_invalid_partitions: self.gpt_safety_checks_nonfatal.iter().any(|name| name == "mbr"),
        }
    }

    /// A token opens other regions only where all believe one Keystone.
    pub(super) fn check_with(&self, mode: IdentityMode, faults: &mut Faults) {
        let is_asked = self.enabled_import_methods.iter().any(|name| name == GLANCE_DOWNLOAD);
        if is_asked && mode != IdentityMode::Keystone {
            let option = "images.enabled_import_methods";
            faults.add(format!("{option}: {GLANCE_DOWNLOAD} needs identity.mode = \"keystone\""));
        }
    }

    pub(super) fn check(&self, faults: &mut Faults) {
        check_pool(faults, "images.rbd_store_pool", &self.rbd_store_pool);
        check_text(faults, "images.store_description", self.store_description.as_deref());
        check_text(faults, "images.rbd_store_user", self.rbd_store_user.as_deref());
        let empty = self.directory.as_os_str().is_empty();
        faults.require(!empty, "images.directory", "must be a path", "empty");
        let empty = self.rbd_store_ceph_conf.as_ref().is_some_and(|path| path.as_os_str().is_empty());
        faults.require(!empty, "images.rbd_store_ceph_conf", "must be a path or left out", "empty");
        let empty = self.certificates_directory.as_ref().is_some_and(|path| path.as_os_str().is_empty());
        faults.require(!empty, "images.certificates_directory", "must be a path or left out", "empty");
        let empty = self.schema_file.as_ref().is_some_and(|path| path.as_os_str().is_empty());
        faults.require(!empty, "images.schema_file", "must be a path or left out", "empty");
        check_chunk_size(faults, "images.rbd_store_chunk_size", self.rbd_store_chunk_size);
        faults.require(self.operation_timeout.0 > 0, "images.operation_timeout", "must be at least 1", 0);
        let writes = self.writes_in_flight;
        faults.require((1..=64).contains(&writes), "images.writes_in_flight", "must be from 1 to 64", writes);
        faults.require(self.upload_idle_timeout.0 > 0, "images.upload_idle_timeout", "must be at least 1", 0);
        faults.require(self.image_size_cap > 0, "images.image_size_cap", "must be at least 1", 0);
        for name in &self.gpt_safety_checks_nonfatal {
            let is_known = matches!(name.as_str(), "mbr" | "gptmbr");
            faults.require(is_known, "images.gpt_safety_checks_nonfatal", "may hold mbr and gptmbr", name);
        }
        for name in &self.enabled_import_methods {
            let is_known = name == GLANCE_DOWNLOAD || IMPORT_METHODS.contains(&name.as_str());
            let must = format!("may hold {}, {GLANCE_DOWNLOAD}", IMPORT_METHODS.join(", "));
            faults.require(is_known, "images.enabled_import_methods", &must, name);
        }
        for (option, names) in [
            ("images.container_formats", &self.container_formats),
            ("images.disk_formats", &self.disk_formats),
        ] {
            for name in names {
                let is_plain = name.bytes().all(|byte| byte.is_ascii_graphic());
                let fits = (1..=LONGEST_FORMAT).contains(&name.len());
                let must = format!("may hold names of at most {LONGEST_FORMAT} characters, without blanks");
                faults.require(is_plain && fits, option, &must, name);
            }
        }
        let time = self.web_download_timeout.0;
        faults.require(time > 0, "images.web_download_timeout", "must be at least 1", 0);
        let (default, max) = (self.limit_param_default, self.api_limit_max);
        faults.require(max > 0, "images.api_limit_max", "must be at least 1", max);
        faults.require(
            (1..=max.max(1)).contains(&default),
            "images.limit_param_default",
            "must be from 1 to images.api_limit_max",
            default,
        );
    }
}
