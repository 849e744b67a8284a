use std::path::PathBuf;

use super::credentials::{self, Credentials, credentials};
use super::faults::Faults;
use super::keystone::is_plain_url;
use super::section::section;
use super::values::{Interface, Seconds, Secret};
use super::volumes::check_text;

section! {
    /// The service that runs the instances: it is told when a volume in use has grown (`volume-extended`), or a
    /// reserved one has the bytes of another image (`volume-reimaged`), and asked to move what an instance has, and
    /// whether it knows anything of an attachment that somebody wants to take away. Where it is stands in the catalogue
    /// of its Keystone. Options of Cinder's `[nova]` have their names.
    pub struct Nova = "nova" {
        /// Where Nova's Keystone is, for instance `http://127.0.0.1:5000`. Unset: Nova is not told, and volumes in use do not
        /// move.
        pub auth_url: Option<String> = None, "URL";
        /// The user who tells and asks; Nova's policy wants the role `admin` or `service` for that, and for moving volumes
        /// the role `admin` in releases that know no `service` there. Whether it has forgotten an attachment
        /// Nova can only tell an `admin`, whom it shows the servers of all projects.
        pub username: String = "pumice".into(), "none";
        /// That user's password. It is never printed or logged.
        pub password: Option<Secret> = None, "none";
        /// That user's domain.
        pub user_domain_name: String = "Default".into(), "none";
        /// The project that user's token is scoped to.
        pub project_name: String = "service".into(), "none";
        /// That project's domain.
        pub project_domain_name: String = "Default".into(), "none";
        /// Which of Nova's addresses in the catalogue is asked: `public`, `internal` or `admin`.
        pub interface: Interface = Interface::Public, "none";
        /// The region of that address. Unset: the first one there is.
        pub region_name: Option<String> = None, "none";
        /// A file with the certificates of who may vouch for Keystone and Nova, beside those of the system.
        pub cafile: Option<PathBuf> = None, "path";
        /// How long an answer may take.
        pub timeout: Seconds = Seconds(30), "seconds";
        /// How long Nova may take until it begins to move a volume in use; then it is not moved.
        pub migration_timeout: Seconds = Seconds(300), "seconds";
    }
}

impl Nova {
    pub fn credentials(&self) -> Option<Credentials<'_>> {
        credentials!(self, "nova", timeout)
    }

    pub(super) fn check(&self, faults: &mut Faults) {
        if let Some(url) = &self.auth_url {
            // Not repeated: a password may stand in it.
            faults.require(is_plain_url(url), "nova.auth_url", credentials::URL, "that");
            faults.require(
                self.password.is_some(),
                "nova.password",
                "must be set with nova.auth_url",
                "none",
            );
        }
        for (option, text) in [
            ("nova.username", Some(self.username.as_str())),
            ("nova.user_domain_name", Some(self.user_domain_name.as_str())),
            ("nova.project_name", Some(self.project_name.as_str())),
            ("nova.project_domain_name", Some(self.project_domain_name.as_str())),
            ("nova.region_name", self.region_name.as_deref()),
        ] {
            check_text(faults, option, text);
        }
        for (option, seconds) in
            [("nova.timeout", self.timeout.0), ("nova.migration_timeout", self.migration_timeout.0)]
        {
            faults.require(seconds > 0, option, "must be at least 1", 0);
        }
    }
}
