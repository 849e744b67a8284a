use super::Api;
use super::faults::Faults;
use super::section::section;
use super::values::IdentityMode;
use super::volumes::check_text;

section! {
    /// Who asks.
    pub struct Identity = "identity" {
        /// `none`: everybody who reaches the port is the administrator of one project. For loopback, with
        /// something in front that checks.
        pub mode: IdentityMode = IdentityMode::None, "none";
        /// With `none`: listen where other machines can reach it all the same.
        pub insecure_listen: bool = false, "none";
        /// The project everything belongs to.
        pub project_id: String = "00000000000000000000000000000001".into(), "none";
        /// The user everything is done by.
        pub user_id: String = "00000000000000000000000000000002".into(), "none";
    }
}

impl Identity {
    pub(super) fn check(&self, faults: &mut Faults) {
        check_text(faults, "identity.project_id", Some(&self.project_id));
        check_text(faults, "identity.user_id", Some(&self.user_id));
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
