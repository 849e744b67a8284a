use std::path::PathBuf;

use super::faults::Faults;
use super::section::section;

section! {
    /// TLS on all listening ports. Without it a proxy in front speaks TLS, or nobody does. SIGHUP has both files read
    /// again. Options of oslo.service have their names.
    pub struct Ssl = "ssl" {
        /// The certificate in PEM, and after it those that vouch for it.
        pub cert_file: Option<PathBuf> = None, "path";
        /// Its private key in PEM.
        pub key_file: Option<PathBuf> = None, "path";
    }
}

impl Ssl {
    pub(super) fn check(&self, faults: &mut Faults) {
        for (option, file, other) in [
            ("ssl.cert_file", &self.cert_file, &self.key_file),
            ("ssl.key_file", &self.key_file, &self.cert_file),
        ] {
            let fits = file.is_some() || other.is_none();
            faults.require(fits, option, "must be set when the other one of [ssl] is", "nothing");
        }
    }
}
