use std::path::PathBuf;

use super::faults::Faults;
use super::section::section;
use super::values::PropertyRules;

section! {
    /// Who may do what. A policy file is YAML in the syntax of oslo.policy: names of rules, and what they allow
    /// instead of their defaults, which are Glance's and Cinder's. SIGHUP has the files read again. Each option
    /// `..._policy_file` is `policy_file` of `[oslo_policy]` there.
    pub struct Policy = "policy" {
        /// Rules of the Image API. Unset: the defaults.
        pub image_policy_file: Option<PathBuf> = None, "path";
        /// Rules of the Block Storage API. Unset: the defaults.
        pub volume_policy_file: Option<PathBuf> = None, "path";
        /// Rules of the routes below `/pumice`, with names that begin with `pumice:`. Unset: the defaults.
        pub pumice_policy_file: Option<PathBuf> = None, "path";
        /// Who may create, read, update and delete which custom properties of images, in the form that Glance has for
        /// it. What it says nothing about nobody may touch. Unset: whoever may change an image.
        pub property_protection_file: Option<PathBuf> = None, "path";
        /// What that file names: `roles`, or `policies` (rules of `image_policy_file`).
        pub property_protection_rule_format: PropertyRules = PropertyRules::Roles, "none";
    }
}

impl Policy {
    pub(super) fn check(&self, faults: &mut Faults) {
        for (option, path) in [
            ("policy.image_policy_file", &self.image_policy_file),
            ("policy.volume_policy_file", &self.volume_policy_file),
            ("policy.pumice_policy_file", &self.pumice_policy_file),
            ("policy.property_protection_file", &self.property_protection_file),
        ] {
            let empty = path.as_ref().is_some_and(|path| path.as_os_str().is_empty());
            faults.require(!empty, option, "must be a path or left out", "empty");
        }
    }
}
