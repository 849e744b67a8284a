//! Users of ours in a Keystone, whichever section says who they are.

use std::path::Path;
use std::time::Duration;

use super::values::Secret;

/// What the address of a Keystone must be.
pub(super) const URL: &str = "must be an http or https URL without a user";

/// As whom another service is asked.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// That says so.
    pub section: &'static str,
    pub auth_url: &'a str,
    pub username: &'a str,
    pub password: &'a Secret,
    pub user_domain_name: &'a str,
    pub project_name: &'a str,
    pub project_domain_name: &'a str,
    pub cafile: Option<&'a Path>,
    /// How long an answer may take.
    pub timeout: Duration,
}

impl Credentials<'_> {
    /// Of Keystone's version 3, without a slash at its end.
    pub fn root(&self) -> String {
        format!("{}/v3", self.auth_url.trim_end_matches('/').trim_end_matches("/v3"))
    }
}

/// Those of a section that has an option for each; `None`: it does not say where Keystone is, or no password.
macro_rules! credentials {
    ($section:expr, $name:literal, $timeout:ident) => {
        Some(Credentials {
            section: $name,
            auth_url: $section.auth_url.as_deref()?,
            username: &$section.username,
            password: $section.password.as_ref()?,
            user_domain_name: &$section.user_domain_name,
            project_name: &$section.project_name,
            project_domain_name: &$section.project_domain_name,
            cafile: $section.cafile.as_deref(),
            timeout: $section.$timeout.into(),
        })
    };
}

pub(super) use credentials;
