use std::path::PathBuf;

use super::Api;
use super::faults::Faults;
use super::section::section;
use super::values::{IdentityMode, Seconds};
use super::volumes::check_text;

section! {
    /// Who asks.
    pub struct Identity = "identity" {
        /// `standalone`: Pumice has users and projects itself, at `/identity`; the first start makes an
        /// administrator. `keystone`: a Keystone that is there already. `none`: everybody who reaches the port is the administrator of one project. For loopback, with
        /// something in front that checks.
        pub mode: IdentityMode = IdentityMode::Standalone, "none";
        /// With `none`: listen where other machines can reach it all the same.
        pub insecure_listen: bool = false, "none";
        /// With `standalone`: how long a token is good.
        pub token_expiration: Seconds = Seconds(3600), "seconds";
        /// With `standalone`: the region of all services in the catalogue.
        pub region: String = "RegionOne".into(), "none";
        /// With `standalone`: where the first start writes what clients need to log in as the administrator.
        pub clouds_file: PathBuf = "pumice-data/clouds.yaml".into(), "path";
        /// With `none`: the project everything belongs to.
        pub project_id: String = "00000000000000000000000000000001".into(), "none";
        /// With `none`: the user everything is done by.
        pub user_id: String = "00000000000000000000000000000002".into(), "none";
    }
}

impl Identity {
    pub(super) fn check(&self, faults: &mut Faults) {
        check_text(faults, "identity.project_id", Some(&self.project_id));
        check_text(faults, "identity.user_id", Some(&self.user_id));
        check_text(faults, "identity.region", Some(&self.region));
        let expiration = self.token_expiration.0;
        // A year: longer is no expiry.
        faults.require(
            (1..=31_536_000).contains(&expiration),
            "identity.token_expiration",
            "must be from 1 to 31536000",
            expiration,
        );
        let empty = self.clouds_file.as_os_str().is_empty();
        faults.require(!empty, "identity.clouds_file", "must be a path", "empty");
    }

    /// Whoever reaches the port is the administrator: that must be meant.
    pub(super) fn check_listeners(&self, api: &Api, faults: &mut Faults) {
        if self.mode != IdentityMode::None || self.insecure_listen {
            return;
        }
        for (option, address) in api.listeners() {
            if !address.ip().is_loopback() {
                faults.add(format!(
                    "{option}: {address} can be reached by other machines, and with identity.mode = \"none\" \
                     everybody is the administrator; listen on loopback, or set identity.insecure_listen = true"
                ));
            }
        }
    }
}
