//! The caller, as rules see them.

use crate::identity::Caller;

#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub caller: &'a Caller,
    /// What `is_admin:True` asks for: the rule `context_is_admin` allowed it.
    pub is_admin: bool,
}

impl Subject<'_> {
    pub(super) fn has_role(&self, role: &str) -> bool {
        // As Python lowers texts, and not only in ASCII.
        let role = role.to_lowercase();
        self.caller.roles.iter().any(|held| held.to_lowercase() == role)
    }

    /// Whether this about the caller is that text. What the caller does not have is no text, not even `None`: a
    /// caller without a project must not be taken for the owner of what belongs to nobody.
    pub(super) fn is(&self, what: &str, text: &str) -> bool {
        let caller = self.caller;
        let truth = |truth: bool| text == if truth { "True" } else { "False" };
        let known = match what {
            "user_id" | "user" => Some(caller.user_id.as_str()),
            "project_id" | "tenant_id" | "tenant" => caller.project_id.as_ref().map(|id| id.as_str()),
            "user_domain_id" => caller.user_domain_id.as_deref(),
            "project_domain_id" => caller.project_domain_id.as_deref(),
            "domain_id" => caller.domain_id.as_deref(),
            "system_scope" => caller.system_scope.as_deref(),
            "roles" => return caller.roles.iter().any(|role| role == text),
            "service_roles" => return caller.service_roles.iter().any(|role| role == text),
            "is_admin" => return truth(self.is_admin),
            "is_admin_project" => return truth(caller.is_admin_project),
            _ => None,
        };
        known == Some(text)
    }
}
