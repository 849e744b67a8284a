use super::faults::Faults;
use super::section::section;

section! {
    /// Which addresses an import with `web-download` may ask, redirects included. Where something is allowed, what is
    /// disallowed does not count. Addresses that are not public (loopback, private, link-local) are asked only when
    /// their host is in `allowed_hosts`. Options of Glance have their names.
    pub struct ImportFiltering = "import_filtering_opts" {
        /// Schemes that are allowed. `http` and `https` are known.
        pub allowed_schemes: Vec<String> = vec!["http".to_owned(), "https".to_owned()], "none";
        /// Schemes that are not.
        pub disallowed_schemes: Vec<String> = Vec::new(), "none";
        /// Hosts that are allowed, and whatever their addresses are. Empty: all with a public address.
        pub allowed_hosts: Vec<String> = Vec::new(), "none";
        /// Hosts that are not allowed. An address in it is not asked under any name.
        pub disallowed_hosts: Vec<String> = Vec::new(), "none";
        /// Ports that are allowed. Empty: all that are not disallowed.
        pub allowed_ports: Vec<u16> = vec![80, 443], "none";
        /// Ports that are not.
        pub disallowed_ports: Vec<u16> = Vec::new(), "none";
    }
}

impl ImportFiltering {
    pub(super) fn check(&self, faults: &mut Faults) {
        for (option, hosts) in [
            ("import_filtering_opts.allowed_hosts", &self.allowed_hosts),
            ("import_filtering_opts.disallowed_hosts", &self.disallowed_hosts),
        ] {
            for host in hosts {
                let is_host = !host.trim().is_empty() && !host.contains('/');
                faults.require(is_host, option, "must hold names and addresses of hosts", host);
            }
        }
    }
}
