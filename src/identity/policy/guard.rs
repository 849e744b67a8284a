//! A caller before the rules of one API.

use std::sync::Arc;

use super::policies::Policy;
use super::{Access, Api, Policies, Rule, Subject, Target};
use crate::identity::Caller;

/// What handlers ask whether something is allowed. The rules are those at the beginning of the request.
#[derive(Clone, Debug)]
pub struct Guard {
    caller: Arc<Caller>,
    policy: Arc<Policy>,
    is_admin: bool,
}

impl Guard {
    pub fn new(policies: &Policies, api: Api, caller: Arc<Caller>) -> Self {
        let policy = policies.of(api);
        let mut guard = Self { caller, policy, is_admin: false };
        guard.is_admin = guard.allows(api.context_is_admin(), &guard.own());
        guard
    }

    /// `context_is_admin` says so.
    pub fn is_admin(&self) -> bool {
        self.is_admin
    }

    pub fn allows(&self, rule: Rule, target: &Target) -> bool {
        self.policy.allows(rule, &Subject { caller: &self.caller, is_admin: self.is_admin }, target)
    }

    /// Whether the caller may do that with a custom property of an image.
    pub fn allows_property(&self, access: Access, property: &str) -> bool {
        let subject = Subject { caller: &self.caller, is_admin: self.is_admin };
        self.policy.allows_property(access, property, &subject)
    }

    /// What a rule is asked about that is about no thing in particular: the caller's own project.
    pub fn own(&self) -> Target {
        Target::new()
            .with_option("project_id", self.caller.project_id.as_ref().map(|id| id.as_str()))
            .with("user_id", self.caller.user_id.as_str())
    }
}
