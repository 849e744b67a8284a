use std::path::PathBuf;

use url::Url;

use super::credentials::{self, Credentials, credentials};
use super::faults::Faults;
use super::section::section;
use super::values::{IdentityMode, Seconds, Secret};
use super::volumes::check_text;

section! {
    /// With `identity.mode = "keystone"`: where tokens are validated, and as whom. Options of keystonemiddleware
    /// have their names.
    pub struct Keystone = "keystone_authtoken" {
        /// Where Keystone is, for instance `http://127.0.0.1:5000`.
        pub auth_url: Option<String> = None, "URL";
        /// Where clients are told to get a token. Unset: `auth_url`.
        pub www_authenticate_uri: Option<String> = None, "URL";
        /// The user who validates, with the role `service` or `admin` on the project below.
        pub username: String = "pumice".into(), "none";
        /// That user's password. It is never printed or logged.
        pub password: Option<Secret> = None, "none";
        /// That user's domain.
        pub user_domain_name: String = "Default".into(), "none";
        /// The project that user's own token is scoped to.
        pub project_name: String = "service".into(), "none";
        /// That project's domain.
        pub project_domain_name: String = "Default".into(), "none";
        /// A file with the certificates of who may vouch for Keystone, beside those of the system.
        pub cafile: Option<PathBuf> = None, "path";
        /// How long an answer of Keystone is believed, at most; never longer than the token is good, and a refusal for 5
        /// seconds.
        pub token_cache_time: Seconds = Seconds(300), "seconds";
        /// A service token must have one of these roles, to be let in with a user's token that has expired meanwhile, and to
        /// take away a volume that a server uses. With `standalone` too.
        pub service_token_roles: Vec<String> = vec!["service".to_owned()], "none";
        /// How long an answer of Keystone may take.
        pub http_connect_timeout: Seconds = Seconds(10), "seconds";
    }
}

impl Keystone {
    /// `None`: Keystone is not to be asked.
    pub fn credentials(&self) -> Option<Credentials<'_>> {
        credentials!(self, "keystone_authtoken", http_connect_timeout)
    }

    pub(super) fn check(&self, faults: &mut Faults) {
        let urls = [
            ("keystone_authtoken.auth_url", &self.auth_url),
            ("keystone_authtoken.www_authenticate_uri", &self.www_authenticate_uri),
        ];
        for (option, url) in urls {
            if let Some(url) = url {
                let fits = is_plain_url(url);
                // Not repeated: a password may stand in it.
                faults.require(fits, option, credentials::URL, "that");
            }
        }
        check_text(faults, "keystone_authtoken.username", Some(&self.username));
        check_text(faults, "keystone_authtoken.user_domain_name", Some(&self.user_domain_name));
        check_text(faults, "keystone_authtoken.project_name", Some(&self.project_name));
        check_text(faults, "keystone_authtoken.project_domain_name", Some(&self.project_domain_name));
        for role in &self.service_token_roles {
            let fits = (1..=255).contains(&role.chars().count()) && role.trim() == role;
            let must = "must hold names of 1 to 255 characters without blanks around them";
            faults.require(fits, "keystone_authtoken.service_token_roles", must, role);
        }
        let timeout = self.http_connect_timeout.0;
        faults.require(timeout > 0, "keystone_authtoken.http_connect_timeout", "must be at least 1", timeout);
    }

    /// What must be said when Keystone is to be asked.
    pub(super) fn check_for(&self, mode: IdentityMode, faults: &mut Faults) {
        let needed = [("auth_url", self.auth_url.is_some()), ("password", self.password.is_some())];
        for (option, is_set) in needed {
            if mode == IdentityMode::Keystone && !is_set {
                faults.add(format!(
                    "keystone_authtoken.{option}: must be set with identity.mode = \"keystone\""
                ));
            }
        }
    }
}

/// Whether it is the address of a web server, without a user's name or password.
pub(super) fn is_plain_url(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.password().is_none() && url.username().is_empty()
    })
}
