//! The one who asks, as a token describes them.

use crate::model::{ProjectId, UserId};

/// By default nobody: no user, no project, no role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    pub user_id: UserId,
    pub user_name: Option<String>,
    pub user_domain_id: Option<String>,
    /// The project the token is scoped to.
    pub project_id: Option<ProjectId>,
    pub project_name: Option<String>,
    pub project_domain_id: Option<String>,
    /// The domain the token is scoped to, when it is to one.
    pub domain_id: Option<String>,
    /// `None`, or `all`.
    pub system_scope: Option<String>,
    /// Whether that project is the administrators', as far as the identity service is told of one.
    pub is_admin_project: bool,
    /// Of the user in that scope, with those they imply; in lower case.
    pub roles: Vec<String>,
    /// Of the service that asks on the user's behalf (`X-Service-Token`); in lower case.
    pub service_roles: Vec<String>,
}

impl Caller {
    /// With identity `none`: everybody is the administrator of one project, and every service.
    pub fn everybody(user_id: UserId, project_id: ProjectId) -> Self {
        Self {
            user_id,
            user_name: None,
            user_domain_id: None,
            project_id: Some(project_id),
            project_name: None,
            project_domain_id: None,
            domain_id: None,
            system_scope: None,
            is_admin_project: true,
            roles: ["admin", "manager", "member", "reader"].map(str::to_owned).into(),
            service_roles: vec!["service".to_owned()],
        }
    }

    pub fn has_role(&self, role: &str) -> bool {
        is_held(&self.roles, role)
    }

    pub fn has_one_of(&self, roles: &[String]) -> bool {
        roles.iter().any(|role| is_held(&self.roles, role))
    }

    /// Whether the token of a service with one of these roles came beside its own.
    pub fn comes_with_one_of(&self, roles: &[String]) -> bool {
        roles.iter().any(|role| is_held(&self.service_roles, role))
    }
}

fn is_held(roles: &[String], role: &str) -> bool {
    roles.iter().any(|held| held.eq_ignore_ascii_case(role))
}
