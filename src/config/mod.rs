//! Options: defaults, then a TOML file, then the environment; later ones win, option by option.
//!
//! A [`Config`] is made once, when the process starts, is whole and valid, and is passed down. There is one
//! file a section; `docs/configuration.md` is made from the same lines (see [`reference()`]).

mod api;
mod backends;
mod barbican;
mod credentials;
mod database;
mod faults;
mod identity;
mod image_import;
mod image_stores;
mod images;
mod import_filtering;
mod jobs;
mod keystone;
mod limits;
mod load;
mod log;
mod nova;
mod policy;
mod quotas;
mod reference;
mod replica;
mod section;
mod ssl;
mod values;
mod volumes;

use serde::{Deserialize, Serialize};

pub use api::Api;
pub use backends::{Backend, Backends};
pub use barbican::Barbican;
pub use credentials::Credentials;
pub use database::Database;
pub use faults::{ConfigError, Faults};
pub use identity::Identity;
pub use image_import::{GlanceDownload, ImageConversion, ImageImport, InjectMetadata};
pub use image_stores::{ImageStore, ImageStores};
pub use images::{GLANCE_DOWNLOAD, Images};
pub use import_filtering::ImportFiltering;
pub use jobs::Jobs;
pub use keystone::Keystone;
pub use limits::Limits;
pub use log::Log;
pub use nova::Nova;
pub use policy::Policy;
pub use quotas::Quotas;
pub use reference::reference;
pub use replica::Replica;
pub use section::{OptionReference, SectionReference};
pub use ssl::Ssl;
pub use values::{
    CloneFormat, DatabaseKind, DatabaseUrl, HashingAlgorithm, IdentityMode, ImageStoreKind, Interface,
    LogFormat, PropertyRules, Role, Seconds, Secret, StorageQuota, StoreKind,
};
pub use volumes::Volumes;

/// Lists the sections once, for the struct, its check and its reference.
macro_rules! configuration {
    ($($section:ident: $Section:ident),+ $(,)?) => {
        /// All options of the service.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Config {
            $(pub $section: $Section),+
        }

        impl Config {
            /// Every section with every option, in the order of the reference.
            pub fn sections() -> Vec<SectionReference> {
                vec![$($Section::reference()),+]
            }

            /// Says all that is wrong with the values.
            fn check(&self) -> Faults {
                let mut faults = Faults::default();
                $(self.$section.check(&mut faults);)+
                self.replica.check_on(&self.database, &mut faults);
                self.identity.check_listeners(&self.api, &mut faults);
                self.backends.check_beside(self.volumes.backend_name(), &mut faults);
                self.image_stores.check_beside(&self.images, &mut faults);
                self.keystone_authtoken.check_for(self.identity.mode, &mut faults);
                self.images.check_with(self.identity.mode, &mut faults);
                faults
            }
        }
    };
}

impl Config {
    /// All backends by name, as it stands in the host of their volumes; that of `[volumes]` first.
    pub fn all_backends(&self) -> impl Iterator<Item = (&str, Backend)> {
        let others = self.backends.0.iter().map(|(name, backend)| (name.as_str(), backend.clone()));
        std::iter::once((self.volumes.backend_name(), self.volumes.backend())).chain(others)
    }

    /// Of our own addresses.
    pub fn scheme(&self) -> &'static str {
        if self.ssl.cert_file.is_some() { "https" } else { "http" }
    }

    /// The backend of this name; that of `[volumes]` when there is no other.
    pub fn backend(&self, name: &str) -> Backend {
        self.backends.0.get(name).cloned().unwrap_or_else(|| self.volumes.backend())
    }
}

configuration! {
    api: Api,
    ssl: Ssl,
    database: Database,
    images: Images,
    image_stores: ImageStores,
    import_filtering_opts: ImportFiltering,
    image_import_opts: ImageImport,
    image_conversion: ImageConversion,
    inject_metadata_properties: InjectMetadata,
    glance_download_properties: GlanceDownload,
    barbican: Barbican,
    volumes: Volumes,
    backends: Backends,
    nova: Nova,
    jobs: Jobs,
    replica: Replica,
    limits: Limits,
    quotas: Quotas,
    log: Log,
    identity: Identity,
    keystone_authtoken: Keystone,
    policy: Policy,
}
