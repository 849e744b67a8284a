//! `GET /v3/role_assignments`

use std::collections::{HashMap, HashSet};

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::place;
use crate::db::{ProjectFilter, Repository, RoleAssignment, RoleAssignmentFilter, UserFilter};
use crate::http::Query;
use crate::identity::standalone::accounts::with_implied;
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::fault::{FaultBody, Result};
use crate::identity_api::links::{Base, ListLinks};
use crate::model::{RoleId, Scope, UserId};

#[derive(Serialize, ToSchema)]
pub(in crate::identity_api) struct RoleAssignments {
    #[schema(value_type = Vec<Object>)]
    role_assignments: Vec<Value>,
    links: ListLinks,
}

/// Who holds which role on what
#[utoipa::path(
    get, path = "/v3/role_assignments", tag = "role assignments", operation_id = "list_role_assignments",
    params(
        ("user.id" = Option<String>, Query), ("role.id" = Option<String>, Query),
        ("scope.project.id" = Option<String>, Query), ("scope.domain.id" = Option<String>, Query),
        ("scope.system" = Option<String>, Query),
        ("effective" = Option<String>, Query, description = "With the roles that are implied"),
        ("include_names" = Option<String>, Query, description = "With names beside the ids"),
    ),
    responses(
        (status = 200, body = RoleAssignments),
        (status = 403, description = "Not an administrator", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn list(
    State(api): State<Api>,
    asker: Asker,
    query: Query,
    base: Base,
) -> Result<Json<RoleAssignments>> {
    // Those of one's own project or user may be seen with less in the real service; here, those of oneself.
    let is_of_asker = query.last("user.id").is_some_and(|user| user == asker.0.user.id.as_str());
    if !is_of_asker {
        asker.may_see("identity:list_role_assignments")?;
    }
    let mut repository = api.app.database.read().await?;
    let wanted_role = query.last("role.id").map(str::to_owned);
    let is_effective = is_set(&query, "effective");
    let mut filter = filter(&query);
    filter.role_id = wanted_role.clone().filter(|_| !is_effective);
    // There are no groups, and nothing is inherited.
    let asks_for_none =
        ["group.id", "scope.OS-INHERIT:inherited_to"].iter().any(|key| query.last(key).is_some());
    let mut found = match asks_for_none {
        true => Vec::new(),
        false => repository.role_assignments(&filter).await?,
    };
    if is_effective {
        found = effective(&mut repository, found).await?;
        found.retain(|assignment| wanted_role.as_ref().is_none_or(|role| assignment.role_id.0 == *role));
    }
    let names = match is_set(&query, "include_names") {
        true => Some(Names::read(&mut repository, filter.user_id.as_deref()).await?),
        false => None,
    };
    let role_assignments = found.iter().filter_map(|found| view(found, names.as_ref(), &base)).collect();
    Ok(Json(RoleAssignments { role_assignments, links: ListLinks::new(&base, "role_assignments") }))
}

/// The real service takes the key without a value for true.
fn is_set(query: &Query, key: &str) -> bool {
    query.last(key).is_some_and(|value| !matches!(value.to_ascii_lowercase().as_str(), "0" | "false"))
}

fn filter(query: &Query) -> RoleAssignmentFilter {
    let scopes = [("scope.project.id", "project"), ("scope.domain.id", "domain")];
    let scope = scopes.into_iter().find_map(|(key, kind)| Some((kind, query.last(key)?)));
    let (scope, scope_id) = match scope {
        Some((kind, id)) => (Some(kind.to_owned()), Some(id.to_owned())),
        None => (query.last("scope.system").map(|_| "system".to_owned()), None),
    };
    RoleAssignmentFilter { user_id: query.last("user.id").map(str::to_owned), role_id: None, scope, scope_id }
}

async fn effective(
    repository: &mut Repository,
    assigned: Vec<RoleAssignment>,
) -> Result<Vec<RoleAssignment>> {
    let mut implied: HashMap<RoleId, Vec<RoleId>> = HashMap::new();
    for RoleAssignment { role_id, .. } in &assigned {
        if !implied.contains_key(role_id) {
            implied.insert(role_id.clone(), with_implied(repository, vec![role_id.clone()]).await?);
        }
    }
    let mut known = HashSet::new();
    let with_roles = |assignment: RoleAssignment| {
        let roles = implied.get(&assignment.role_id).cloned().unwrap_or_default();
        roles.into_iter().map(move |role_id| RoleAssignment { role_id, ..assignment.clone() })
    };
    let all = assigned.into_iter().flat_map(with_roles);
    Ok(all.filter(|assignment| known.insert(assignment.clone())).collect())
}

/// By id, of everybody or of one user; users and projects with their domain.
struct Names {
    users: HashMap<String, (String, String)>,
    projects: HashMap<String, (String, String)>,
    domains: HashMap<String, String>,
    roles: HashMap<String, String>,
}

impl Names {
    async fn read(repository: &mut Repository, user: Option<&str>) -> Result<Self> {
        let (users, projects) = match user.map(|id| UserId(id.to_owned())) {
            Some(id) => (Vec::from_iter(repository.user(&id).await?), repository.projects_of(&id).await?),
            None => {
                let users = repository.users(&UserFilter::default()).await?;
                (users, repository.projects(&ProjectFilter::default()).await?)
            }
        };
        let domains = repository.domains().await?;
        let roles = repository.roles().await?;
        Ok(Self {
            users: users.into_iter().map(|user| (user.id.0, (user.name, user.domain_id.0))).collect(),
            projects: projects.into_iter().map(|one| (one.id.0, (one.name, one.domain_id.0))).collect(),
            domains: domains.into_iter().map(|domain| (domain.id.0, domain.name)).collect(),
            roles: roles.into_iter().map(|role| (role.id.0, role.name)).collect(),
        })
    }

    fn in_domain(&self, id: &str, named: &HashMap<String, (String, String)>) -> Value {
        let (name, domain) = named.get(id).cloned().unwrap_or_default();
        json!({ "id": id, "name": name, "domain": self.plain(&domain, &self.domains) })
    }

    fn plain(&self, id: &str, named: &HashMap<String, String>) -> Value {
        json!({ "id": id, "name": named.get(id) })
    }
}

fn view(assignment: &RoleAssignment, names: Option<&Names>, base: &Base) -> Option<Value> {
    let RoleAssignment { user_id, scope, scope_id, role_id } = assignment;
    let scope = Scope::new(scope, scope_id.clone())?;
    let id = |id: &str| json!({ "id": id });
    let scope_view = match &scope {
        Scope::Project(project) => {
            names.map_or_else(|| id(&project.0), |n| n.in_domain(&project.0, &n.projects))
        }
        Scope::Domain(domain) => names.map_or_else(|| id(&domain.0), |n| n.plain(&domain.0, &n.domains)),
        Scope::System => json!({ "all": true }),
    };
    let user = names.map_or_else(|| id(&user_id.0), |n| n.in_domain(&user_id.0, &n.users));
    let role = names.map_or_else(|| id(&role_id.0), |n| n.plain(&role_id.0, &n.roles));
    let address = format!("{}/v3/{}/users/{user_id}/roles/{role_id}", base.0, place(&scope));
    let links = json!({ "assignment": address });
    Some(json!({ "links": links, "scope": { scope.kind(): scope_view }, "user": user, "role": role }))
}
