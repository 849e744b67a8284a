use std::path::PathBuf;

use super::credentials;
use super::faults::Faults;
use super::keystone::is_plain_url;
use super::section::section;

section! {
    /// The service that keeps users' secrets: the certificates of signed images that are not in
    /// `images.certificates_directory`, and the keys of encrypted images, which may have to go with their image. It is
    /// asked with the token of the one who uploads or deletes. Options of castellan have their names.
    pub struct Barbican = "barbican" {
        /// Where Barbican is, for instance `http://127.0.0.1:9311`. Unset: it is not asked.
        pub barbican_endpoint: Option<String> = None, "URL";
        /// A file with the certificates of who may vouch for Barbican, beside those of the system.
        pub verify_ssl_path: Option<PathBuf> = None, "path";
    }
}

impl Barbican {
    pub(super) fn check(&self, faults: &mut Faults) {
        if let Some(url) = &self.barbican_endpoint {
            // Not repeated: a password may stand in it.
            faults.require(is_plain_url(url), "barbican.barbican_endpoint", credentials::URL, "that");
        }
    }
}
