use super::faults::Faults;
use super::section::section;
use super::values::IdentityMode;
use super::volumes::check_text;

section! {
    /// Who asks.
    pub struct Identity = "identity" {
        /// `none`: everybody who reaches the port is the administrator of one project. Listen on loopback
        /// only, or behind something that checks.
        pub mode: IdentityMode = IdentityMode::None, "none";
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
}
