//! Nobody learns, guesses or changes who else there is, by any route of Identity. The routes are those of the code, so
//! that a new one is tried here without being named.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Cloud, Person, by_password};
use crate::house::DatabaseKind;
use crate::support::Answer;

/// What would make or change something, if it were allowed.
fn body(method: &str, path: &str) -> Option<Value> {
    let is_new = method == "POST";
    match path.rsplit('/').find(|part| !part.starts_with('{'))? {
        "users" => Some(json!({"user": {"name": "mallory", "password": "let me in"}})),
        "password" => Some(json!({"user": {"password": "let me in", "original_password": "a guess"}})),
        "projects" => Some(json!({"project": {"name": "mine"}})),
        "domains" => Some(json!({"domain": {"name": "mine"}})),
        "roles" if !path.contains("/users/") => Some(json!({"role": {"name": "mine"}})),
        "application_credentials" => Some(json!({"application_credential": {"name": "mine"}})),
        "tokens" if is_new => {
            // With the right name, and the wrong password.
            let auth = by_password("alice", "a guess", json!({"project": {"name": "project-of-alice"}}));
            Some(json!({ "auth": auth }))
        }
        _ => None,
    }
    .filter(|_| is_new || method == "PATCH")
}

/// Of one of them, everything that names anything: all routes lead to it.
struct Place {
    alice: Person,
    domain: String,
    role: String,
    credential: String,
    token: String,
}

impl Place {
    async fn make(cloud: &Cloud) -> Self {
        let (admin, alice) = (cloud.admin().await, cloud.person("alice", "member").await);
        let domain = json!({"domain": {"name": "domain-of-alice"}});
        let domain = cloud.identity(&admin, "POST", "/domains", Some(domain)).await.expect(201).json();
        let domain = domain["domain"]["id"].as_str().unwrap().to_owned();
        let role = cloud.role(&admin, "member").await;
        let grant = format!("/domains/{domain}/users/{}/roles/{role}", alice.id);
        cloud.identity(&admin, "PUT", &grant, None).await.expect(204);
        let token = cloud.token_of(&alice).await;
        let credential = json!({"application_credential": {"name": "credential-of-alice"}});
        let path = format!("/users/{}/application_credentials", alice.id);
        let credential = cloud.identity(&token, "POST", &path, Some(credential)).await.expect(201).json();
        let credential = credential["application_credential"]["id"].as_str().unwrap().to_owned();
        Self { alice, domain, role, credential, token }
    }

    fn path(&self, path: &str) -> String {
        path.replace("{user_id}", &self.alice.id)
            .replace("{project_id}", &self.alice.project)
            .replace("{domain_id}", &self.domain)
            .replace("{role_id}", &self.role)
            .replace("{credential_id}", &self.credential)
            .replace("{service_id}", "image")
            .replace("{endpoint_id}", "image")
    }

    fn secrets(&self) -> [&str; 8] {
        let Self { alice, domain, credential, token, .. } = self;
        let [id, project] = [&alice.id, &alice.project];
        [id, project, domain, credential, token, alice.name, "domain-of-", "credential-of-"]
    }
}

fn assert_tells_nothing(place: &Place, answer: &Answer, said: &str) {
    let told = format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body));
    for secret in place.secrets().iter().filter(|secret| !said.contains(**secret)) {
        assert!(!told.contains(secret), "{said} tells {secret}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_tells_or_changes_anything_of_another_user() {
    let cloud = Cloud::new(DatabaseKind::Sqlite).await;
    let place = Place::make(&cloud).await;
    let mut strangers = Vec::new();
    for (name, role) in [("bob", "member"), ("carol", "reader"), ("dave", "manager")] {
        strangers.push(cloud.token_of(&cloud.person(name, role).await).await);
    }
    let before = cloud.site.rows().await;
    let routes = pumice::identity_api::openapi().unwrap();
    let mut named = BTreeSet::new();
    for (route, methods) in routes["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            for token in &strangers {
                let path = place.path(route);
                let body = body(&method, route);
                let said =
                    format!("{method} {path} {}", body.as_ref().map(Value::to_string).unwrap_or_default());
                let call = cloud.call(&method, &format!("/identity{path}")).header("x-auth-token", token);
                let call = call.header("x-subject-token", &place.token);
                let answer = match body {
                    Some(body) => call.json(&body).send().await,
                    None => call.send().await,
                };
                assert_tells_nothing(&place, &answer, &said);
                if route.contains('{') {
                    let status = answer.status.as_u16();
                    assert!(matches!(status, 401 | 403 | 404), "{said}: {status}");
                    named.insert(said);
                }
            }
        }
    }
    assert!(named.len() >= 25, "{named:#?}");
    // Lists, asked for one of hers.
    for path in ["/users", "/projects", "/domains", "/role_assignments", "/auth/projects"] {
        let query = format!(
            "name=alice&user.id={}&scope.project.id={}&domain_id={}",
            place.alice.id, place.alice.project, place.domain
        );
        let answer = cloud.identity(&strangers[0], "GET", &format!("{path}?{query}"), None).await;
        assert_tells_nothing(&place, &answer, &query);
    }
    assert_eq!(cloud.site.rows().await, before);
    assert!(cloud.is_good(&place.token).await);
}

/// Who has no token learns nothing from what a log-in says: names that are there and names that are not sound the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_does_not_say_who_there_is() {
    let cloud = Cloud::new(DatabaseKind::Sqlite).await;
    let place = Place::make(&cloud).await;
    let mut answers = BTreeSet::new();
    for user in ["alice", "nobody"] {
        for project in ["project-of-alice", "no-project"] {
            let auth = by_password(user, "a guess", super::project(project));
            let answer = cloud.log_in(&auth).await.expect(401);
            answers.insert(answer.text().to_owned());
        }
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    let bob = cloud.person("bob", "member").await;
    // Hers, and one that is not there.
    for project in [place.alice.project.as_str(), "0000000000000000000000000000ffff"] {
        let auth = by_password("bob", bob.password, json!({"project": {"id": project}}));
        let answer = cloud.log_in(&auth).await.expect(401);
        answers.insert(answer.text().to_owned());
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
}
