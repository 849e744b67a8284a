//! What a token stands for at the moment.

use std::sync::Arc;

use super::token::Claims;
use crate::db::{ApplicationCredential, DbError, Domain, Project, Repository, Role, User};
use crate::identity::Caller;
use crate::model::{ApplicationCredentialId, Scope, Timestamp};

/// A token's claims, and the rows they name as they were a moment ago.
#[derive(Debug)]
pub struct Session {
    pub claims: Claims,
    pub user: User,
    pub user_domain: Domain,
    pub target: Target,
    /// With those they imply, by name; none when the token is unscoped.
    pub roles: Vec<Role>,
    pub application_credential: Option<SessionCredential>,
    pub caller: Arc<Caller>,
}

/// What there is to know of the application credential that a token was made with. Many sessions are remembered.
#[derive(Debug)]
pub struct SessionCredential {
    pub id: ApplicationCredentialId,
    pub name: String,
    pub unrestricted: bool,
}

/// What a token is scoped to.
#[derive(Debug)]
pub enum Target {
    Nothing,
    Project(Project, Domain),
    Domain(Domain),
    System,
}

impl Session {
    /// `None`: the claims are not good, or not any more.
    pub(super) async fn look_up(
        repository: &mut Repository,
        claims: Claims,
        now: Timestamp,
    ) -> Result<Option<Self>, DbError> {
        if repository.is_token_revoked(claims.audit_id()).await? {
            return Ok(None);
        }
        let Some(user) = repository.user(&claims.user_id).await?.filter(|user| user.enabled) else {
            return Ok(None);
        };
        // The clocks of different machines say less: only what a version without epochs made goes by them.
        let is_too_old = claims.epoch == 0 && claims.issued_at < user.tokens_valid_from;
        if is_too_old || claims.epoch != user.token_epoch {
            return Ok(None);
        }
        let Some(user_domain) = repository.domain(&user.domain_id).await?.filter(|domain| domain.enabled)
        else {
            return Ok(None);
        };
        let Some(target) = target(repository, claims.scope.as_ref()).await? else { return Ok(None) };
        let mut roles = match &claims.scope {
            Some(scope) => repository.effective_roles(&user.id, scope).await?,
            None => Vec::new(),
        };
        let application_credential = match &claims.application_credential_id {
            Some(id) => {
                let found = repository.application_credential(id).await?;
                let good = found.filter(|credential| {
                    credential.user_id == user.id && credential.expires_at.is_none_or(|expires| now < expires)
                });
                let Some(credential) = good else { return Ok(None) };
                roles.retain(|role| credential.roles.contains(&role.id));
                let ApplicationCredential { id, name, unrestricted, .. } = credential;
                Some(SessionCredential { id, name, unrestricted })
            }
            None => None,
        };
        // A role is what lets somebody into a scope at all.
        if claims.scope.is_some() && roles.is_empty() {
            return Ok(None);
        }
        let caller = Arc::new(caller(&user, &target, &roles));
        Ok(Some(Self { claims, user, user_domain, target, roles, application_credential, caller }))
    }

    pub fn has_role(&self, role: &str) -> bool {
        self.caller.has_role(role)
    }
}

/// `None`: it is not there, or disabled.
async fn target(repository: &mut Repository, scope: Option<&Scope>) -> Result<Option<Target>, DbError> {
    Ok(match scope {
        None => Some(Target::Nothing),
        Some(Scope::System) => Some(Target::System),
        Some(Scope::Domain(id)) => {
            let domain = repository.domain(id).await?;
            domain.filter(|domain| domain.enabled).map(Target::Domain)
        }
        Some(Scope::Project(id)) => {
            let Some(project) = repository.project(id).await?.filter(|project| project.enabled) else {
                return Ok(None);
            };
            let domain = repository.domain(&project.domain_id).await?;
            domain.filter(|domain| domain.enabled).map(|domain| Target::Project(project, domain))
        }
    })
}

fn caller(user: &User, target: &Target, roles: &[Role]) -> Caller {
    let project = match target {
        Target::Project(project, _) => Some(project),
        _ => None,
    };
    Caller {
        user_id: user.id.clone(),
        user_name: Some(user.name.clone()),
        user_domain_id: Some(user.domain_id.to_string()),
        project_id: project.map(|project| project.id.clone()),
        project_name: project.map(|project| project.name.clone()),
        project_domain_id: project.map(|project| project.domain_id.to_string()),
        domain_id: match target {
            Target::Domain(domain) => Some(domain.id.to_string()),
            _ => None,
        },
        system_scope: matches!(target, Target::System).then(|| "all".to_owned()),
        is_admin_project: true,
        roles: roles.iter().map(|role| role.name.to_lowercase()).collect(),
        service_roles: Vec::new(),
    }
}
