//! Image stores: the places for images. `[images]` says where the first one is, `[image_stores.NAME]` where others are.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Config;
use super::faults::Faults;
use super::images::Images;
use super::section::{SectionReference, section};
use super::values::{ImageStoreKind, Seconds, StoreKind};
use super::volumes::{call_timeout, check_pool, check_text};

section! {
    /// One more place for images, under an id of your own: `[image_stores.fast]`. An id is letters, digits, `.`, `_` and
    /// `-`; clients see it and rows keep it, so it stays as long as images lie there. As soon as there is one, the API
    /// shows several stores (`enabled_backends` of Glance). In the environment the section is
    /// `PUMICE_IMAGE_STORES__<NAME>__<OPTION>`, with the id in small letters.
    pub struct ImageStore = "image_stores.NAME" {
        /// `directory`: files of this machine. `rbd`: a pool of a Ceph cluster. `http`: other people's web servers,
        /// which are only read from.
        pub store: ImageStoreKind = ImageStoreKind::Directory, "none";
        /// Where the directory store keeps its files. One process uses it at a time.
        pub directory: PathBuf = "pumice-data/store".into(), "path";
        /// The pool for images, in either store.
        pub rbd_store_pool: String = "images".into(), "none";
        /// The cephx user, without `client.`. Unset: what librados takes, `admin`.
        pub rbd_store_user: Option<String> = None, "none";
        /// The cluster's configuration file. Unset: where librados looks for one, `/etc/ceph/ceph.conf` first.
        pub rbd_store_ceph_conf: Option<PathBuf> = None, "path";
        /// How long a call to the cluster may take. Negative or 0: `operation_timeout` says so.
        pub rados_connect_timeout: i64 = -1, "seconds";
        /// How long a call to the store may take when `rados_connect_timeout` does not say.
        pub operation_timeout: Seconds = Seconds(60), "seconds";
        /// What the store is, for people.
        pub store_description: Option<String> = None, "none";
        /// An image is read from where it is that has the largest one.
        pub weight: i64 = 0, "none";
    }
}

impl ImageStore {
    /// How long one call to the store may take.
    pub fn call_timeout(&self) -> Duration {
        call_timeout(self.rados_connect_timeout, self.operation_timeout)
    }

    fn check(&self, section: &str, faults: &mut Faults) {
        let option = |name: &str| format!("{section}.{name}");
        check_pool(faults, &option("rbd_store_pool"), &self.rbd_store_pool);
        check_text(faults, &option("rbd_store_user"), self.rbd_store_user.as_deref());
        check_text(faults, &option("store_description"), self.store_description.as_deref());
        for (name, path) in
            [("directory", Some(&self.directory)), ("rbd_store_ceph_conf", self.rbd_store_ceph_conf.as_ref())]
        {
            let empty = path.is_some_and(|path| path.as_os_str().is_empty());
            faults.require(!empty, &option(name), "must be a path", "empty");
        }
        faults.require(self.operation_timeout.0 > 0, &option("operation_timeout"), "must be at least 1", 0);
    }
}

/// The stores beside that of `[images]`, by id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageStores(pub BTreeMap<String, ImageStore>);

impl ImageStores {
    pub fn reference() -> SectionReference {
        ImageStore::reference()
    }

    pub(super) fn check(&self, faults: &mut Faults) {
        for (id, store) in &self.0 {
            let section = format!("image_stores.{id}");
            check_id(faults, &section, id);
            store.check(&section, faults);
        }
    }

    /// An id names one store only, and a place has one id.
    pub(super) fn check_beside(&self, first: &Images, faults: &mut Faults) {
        check_id(faults, "images.default_backend", &first.default_backend);
        if self.0.contains_key(&first.default_backend) {
            let id = &first.default_backend;
            faults.add(format!("image_stores.{id}: the store of [images] has this id already"));
        }
        let mut places = vec![match first.store {
            StoreKind::Directory => (None, Some(&first.directory), &first.rbd_store_pool),
            StoreKind::Rbd => (first.rbd_store_ceph_conf.as_ref(), None, &first.rbd_store_pool),
        }];
        for (id, store) in &self.0 {
            let place = match store.store {
                ImageStoreKind::Directory => (None, Some(&store.directory), &store.rbd_store_pool),
                ImageStoreKind::Rbd => (store.rbd_store_ceph_conf.as_ref(), None, &store.rbd_store_pool),
                ImageStoreKind::Http => continue,
            };
            if places.contains(&place) {
                faults.add(format!("image_stores.{id}: another store of images is in this pool already"));
            }
            places.push(place);
        }
    }
}

impl Config {
    /// An image that is in several stores is read from that with the largest one. `None` is that of `[images]`.
    pub fn store_weights(&self) -> HashMap<Option<String>, i64> {
        let others = self.image_stores.0.iter().map(|(id, store)| (Some(id.clone()), store.weight));
        others.chain([(None, self.images.weight)]).collect()
    }
}

/// It stands in lists with commas, and in paths.
fn check_id(faults: &mut Faults, section: &str, id: &str) {
    let fits = (1..=64).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && !id.starts_with("os_glance");
    let rule =
        "a store's id must be 1 to 64 characters out of A-Z a-z 0-9 . _ - and not begin with os_glance";
    faults.require(fits, section, rule, format_args!("{id:?}"));
}
