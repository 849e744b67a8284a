//! What the body of a log-in says.

use crate::identity::standalone::{CredentialName, DomainName, LogIn, ProjectName, Proof, UserName, Wanted};
use crate::identity_api::body::{Body, Fields, invalid};
use crate::identity_api::fault::{Fault, Result};
use serde_json::Value;

/// Of a name, an id, a password: more is nobody's.
const LONGEST: usize = 4096;

pub(super) fn read(body: &Body) -> Result<LogIn> {
    let auth = body.about("auth")?;
    let identity =
        auth.object("identity")?.ok_or_else(|| invalid("auth", "'identity' is a required property"))?;
    let methods = identity.array("methods")?;
    let methods = methods.ok_or_else(|| invalid("identity", "'methods' is a required property"))?;
    let mut proofs: Vec<Proof> = Vec::new();
    for (at, method) in methods.iter().enumerate() {
        // One that is named twice is shown once.
        if !methods[..at].contains(method) {
            proofs.push(proof(&identity, method)?);
        }
    }
    Ok(LogIn { proofs, wanted: wanted(&auth)? })
}

fn proof(identity: &Fields<'_>, method: &Value) -> Result<Proof> {
    match method.as_str() {
        Some("password") => {
            let password = identity.object("password")?.ok_or(Fault::Expected("password", "identity"))?;
            let user = password.object("user")?.ok_or(Fault::Expected("user", "password"))?;
            let password = user.text("password", LONGEST)?.ok_or(Fault::Expected("password", "user"))?;
            Ok(Proof::Password { user: user_name(&user)?, password })
        }
        Some("token") => {
            let token = identity.object("token")?.ok_or(Fault::Expected("token", "identity"))?;
            let token = token.text("id", LONGEST)?.ok_or(Fault::Expected("id", "token"))?;
            Ok(Proof::Token { token })
        }
        Some("application_credential") => {
            let expected = Fault::Expected("application_credential", "identity");
            let credential = identity.object("application_credential")?.ok_or(expected)?;
            let expected = Fault::Expected("secret", "application_credential");
            let secret = credential.text("secret", LONGEST)?.ok_or(expected)?;
            let name = match (credential.text("id", LONGEST)?, credential.text("name", LONGEST)?) {
                (Some(id), _) => CredentialName::Id(id),
                (None, Some(name)) => {
                    let user = credential.object("user")?;
                    let user = user.ok_or(Fault::Expected("user", "application_credential"))?;
                    CredentialName::Name(name, user_name(&user)?)
                }
                (None, None) => return Err(Fault::Expected("id or name", "application_credential")),
            };
            Ok(Proof::ApplicationCredential { credential: name, secret })
        }
        _ => Err(Fault::UnsupportedMethod),
    }
}

fn user_name(user: &Fields<'_>) -> Result<UserName> {
    if let Some(id) = user.text("id", LONGEST)? {
        return Ok(UserName::Id(id));
    }
    let name = user.text("name", LONGEST)?.ok_or(Fault::Expected("id or name", "user"))?;
    let domain = user.object("domain")?.ok_or(Fault::Expected("domain", "user"))?;
    Ok(UserName::Name(name, domain_name(&domain)?))
}

fn domain_name(domain: &Fields<'_>) -> Result<DomainName> {
    if let Some(id) = domain.text("id", LONGEST)? {
        return Ok(DomainName::Id(id));
    }
    let name = domain.text("name", LONGEST)?.ok_or(Fault::Expected("id or name", "domain"))?;
    Ok(DomainName::Name(name))
}

fn wanted(auth: &Fields<'_>) -> Result<Wanted> {
    // `"scope": "unscoped"` beside `"scope": {"unscoped": {}}`.
    if auth.text("scope", LONGEST).is_ok_and(|scope| scope.as_deref() == Some("unscoped")) {
        return Ok(Wanted::Unscoped);
    }
    let Some(scope) = auth.object("scope")? else { return Ok(Wanted::Default) };
    let parts = (scope.object("project")?, scope.object("system")?, scope.object("domain")?);
    match (parts, scope.object("unscoped")?) {
        ((Some(project), None, None), None) => Ok(Wanted::Project(project_name(&project)?)),
        ((None, Some(system), None), None) if system.boolean("all")? == Some(true) => Ok(Wanted::System),
        ((None, None, Some(domain)), None) => Ok(Wanted::Domain(domain_name(&domain)?)),
        ((None, None, None), Some(_)) => Ok(Wanted::Unscoped),
        _ => Err(Fault::Expected("system, project, domain, OS-TRUST:trust or unscoped", "scope")),
    }
}

fn project_name(project: &Fields<'_>) -> Result<ProjectName> {
    if let Some(id) = project.text("id", LONGEST)? {
        return Ok(ProjectName::Id(id));
    }
    let name = project.text("name", LONGEST)?.ok_or(Fault::Expected("id or name", "project"))?;
    let domain = project.object("domain")?.ok_or(Fault::Expected("domain", "project"))?;
    Ok(ProjectName::Name(name, domain_name(&domain)?))
}
