//! How a token is shown.

use axum::http::header::HeaderName;
use serde::Serialize;
use utoipa::ToSchema;

use crate::db::{Domain, Role};
use crate::identity::standalone::{Session, SessionCredential, Target};
use crate::identity_api::catalogue::{Catalogue, Service};
use crate::model::Timestamp;

pub(super) const SUBJECT: HeaderName = HeaderName::from_static("x-subject-token");

#[derive(Serialize, ToSchema)]
pub(in crate::identity_api) struct TokenBody {
    pub(super) token: TokenView,
}

#[derive(Serialize, ToSchema)]
pub(super) struct TokenView {
    methods: Vec<&'static str>,
    user: UserPart,
    audit_ids: Vec<String>,
    expires_at: String,
    issued_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<InDomain>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_domain: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<Named>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<System>,
    #[serde(skip_serializing_if = "Option::is_none")]
    roles: Option<Vec<Named>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    catalog: Option<Vec<Service>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    application_credential: Option<CredentialPart>,
}

#[derive(Serialize, ToSchema)]
struct Named {
    id: String,
    name: String,
}

#[derive(Serialize, ToSchema)]
struct InDomain {
    domain: Named,
    id: String,
    name: String,
}

#[derive(Serialize, ToSchema)]
struct UserPart {
    #[serde(flatten)]
    user: InDomain,
    password_expires_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct System {
    all: bool,
}

#[derive(Serialize, ToSchema)]
struct CredentialPart {
    id: String,
    name: String,
    restricted: bool,
}

impl TokenView {
    pub(super) fn new(session: &Session, catalogue: Option<Catalogue>) -> Self {
        let Session { claims, user, user_domain, target, .. } = session;
        let is_scoped = !matches!(target, Target::Nothing);
        let user =
            InDomain { domain: named_domain(user_domain), id: user.id.to_string(), name: user.name.clone() };
        let (project, domain, system) = match target {
            Target::Nothing => (None, None, None),
            Target::System => (None, None, Some(System { all: true })),
            Target::Domain(domain) => (None, Some(named_domain(domain)), None),
            Target::Project(project, domain) => {
                let domain = named_domain(domain);
                (
                    Some(InDomain { domain, id: project.id.to_string(), name: project.name.clone() }),
                    None,
                    None,
                )
            }
        };
        Self {
            methods: claims.methods.iter().map(|method| method.as_str()).collect(),
            user: UserPart { user, password_expires_at: None },
            audit_ids: claims.audit_ids.clone(),
            expires_at: moment(claims.expires_at),
            issued_at: moment(claims.issued_at),
            is_domain: project.is_some().then_some(false),
            project,
            domain,
            system,
            roles: is_scoped.then(|| session.roles.iter().map(named_role).collect()),
            catalog: catalogue.filter(|_| is_scoped).map(Catalogue::services),
            application_credential: session.application_credential.as_ref().map(credential),
        }
    }
}

fn moment(moment: Timestamp) -> String {
    format!("{}Z", moment.to_microseconds())
}

fn named_domain(domain: &Domain) -> Named {
    Named { id: domain.id.to_string(), name: domain.name.clone() }
}

fn named_role(role: &Role) -> Named {
    Named { id: role.id.to_string(), name: role.name.clone() }
}

fn credential(credential: &SessionCredential) -> CredentialPart {
    let SessionCredential { id, name, unrestricted } = credential;
    CredentialPart { id: id.to_string(), name: name.clone(), restricted: !unrestricted }
}
