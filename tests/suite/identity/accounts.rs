//! Users, projects, roles and domains: read, and written by administrators alone.

use serde_json::json;

use super::{Cloud, by_password, on_both};
use crate::house::DatabaseKind;

on_both! {
    an_administrator_makes_and_changes_them
    others_see_what_is_their_own
    roles_are_given_and_taken
    who_asks_for_what_there_is_none_of_finds_nothing
    a_domain_goes_with_what_is_in_it
    what_there_is_not_is_refused
    changes_at_once_are_all_made
    only_a_project_that_is_there_has_a_default_type
}

async fn an_administrator_makes_and_changes_them(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let admin = cloud.admin().await;
    let send = async |method: &str, path: &str, body| cloud.identity(&admin, method, path, body).await;

    let body = json!({ "project": { "name": "demo", "description": "d", "colour": "blue" } });
    let made = send("POST", "/projects", Some(body.clone())).await.expect(201).json();
    let project = &made["project"];
    assert_eq!(project["domain_id"], "default");
    assert_eq!(project["parent_id"], "default");
    assert_eq!(project["colour"], "blue");
    let path = format!("/projects/{}", project["id"].as_str().unwrap());
    assert_eq!(
        project["links"]["self"].as_str().unwrap(),
        format!("http://cloud.example:8080/identity/v3{path}")
    );
    send("POST", "/projects", Some(body)).await.expect(409);
    let change = json!({ "project": { "name": "renamed", "description": null } });
    let changed = send("PATCH", &path, Some(change)).await.expect(200).json();
    assert_eq!(changed["project"]["name"], "renamed");
    assert_eq!(changed["project"]["description"], "");
    assert_eq!(changed["project"]["colour"], "blue");
    let list = send("GET", "/projects?name=renamed&enabled=True", None).await.expect(200).json();
    assert_eq!(list["projects"], json!([changed["project"]]));
    assert_eq!(list["links"]["next"], json!(null));
    let none = send("GET", "/projects?name=renamed&enabled=false", None).await.expect(200).json();
    assert_eq!(none["projects"], json!([]));
    send("DELETE", &path, None).await.expect(204);
    send("GET", &path, None).await.expect(404);
    send("DELETE", &path, None).await.expect(404);

    let body = json!({ "user": { "name": "alice", "password": "one", "email": "a@b" } });
    let made = send("POST", "/users", Some(body.clone())).await.expect(201).json();
    assert_eq!(made["user"]["email"], "a@b");
    assert!(made["user"].get("password").is_none() && made["user"].get("password_hash").is_none());
    send("POST", "/users", Some(body)).await.expect(409);
    let path = format!("/users/{}", made["user"]["id"].as_str().unwrap());
    let changed = send("PATCH", &path, Some(json!({ "user": { "name": "bob" } }))).await.expect(200).json();
    assert_eq!((&changed["user"]["name"], &changed["user"]["email"]), (&json!("bob"), &json!("a@b")));
    cloud.log_in(&by_password("bob", "one", json!(null))).await.expect(201);
    send("PATCH", &path, Some(json!({ "user": { "name": "admin" } }))).await.expect(409);
    let list = send("GET", "/users?name=bob", None).await.expect(200).json();
    assert_eq!(list["users"].as_array().unwrap().len(), 1);

    for (path, body) in [
        ("/projects", json!({ "project": {} })),
        ("/projects", json!({ "project": { "name": "" } })),
        ("/projects", json!({ "project": { "name": 5 } })),
        ("/projects", json!({ "project": { "name": "x".repeat(65) } })),
        ("/projects", json!({ "project": { "name": "x", "domain_id": "nowhere" } })),
        ("/projects", json!({ "user": { "name": "x" } })),
        ("/users", json!({ "user": { "name": "x", "enabled": "yes" } })),
        ("/users", json!({ "user": { "name": "x", "password": ["s3cret"] } })),
        ("/users", json!({ "user": { "name": "x\0" } })),
        ("/roles", json!({ "role": { "name": null } })),
    ] {
        let answer = cloud.identity(&admin, "POST", path, Some(body)).await.expect(400);
        assert!(!answer.text().contains("s3cret"), "{}", answer.text());
    }
    for path in ["/users", "/projects", "/roles", "/domains"] {
        send("GET", &format!("{path}/nope"), None).await.expect(404);
        send("PATCH", &format!("{path}/nope"), Some(json!({ path[1..path.len() - 1].to_owned(): {} })))
            .await
            .expect(404);
    }
}

async fn others_see_what_is_their_own(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let alice = cloud.person("alice", "manager").await;
    let bob = cloud.person("bob", "member").await;
    let token = cloud.token_of(&alice).await;
    let credential = format!("/users/{}/application_credentials", bob.id);
    let grant = format!("/projects/{0}/users/{1}/roles/x", alice.project, alice.id);
    let something = json!({ "x": {} });
    for (method, path, rule) in [
        ("GET", "/users", "list_users"),
        ("GET", "/projects", "list_projects"),
        ("GET", "/roles", "list_roles"),
        ("GET", "/domains", "list_domains"),
        ("GET", "/role_assignments", "list_role_assignments"),
        ("GET", "/services", "list_services"),
        ("GET", "/endpoints", "list_endpoints"),
        ("POST", "/users", "create_user"),
        ("POST", "/projects", "create_project"),
        ("POST", "/roles", "create_role"),
        ("POST", "/domains", "create_domain"),
        ("PATCH", &format!("/users/{}", alice.id), "update_user"),
        ("DELETE", &format!("/users/{}", alice.id), "delete_user"),
        ("GET", &format!("/users/{}", bob.id), "get_user"),
        ("GET", &format!("/users/{}/projects", bob.id), "list_user_projects"),
        ("GET", &format!("/projects/{}", bob.project), "get_project"),
        ("DELETE", &format!("/projects/{}", alice.project), "delete_project"),
        ("GET", &credential, "list_application_credentials"),
        ("POST", &credential, "create_application_credential"),
        ("PUT", &grant, "create_grant"),
        ("DELETE", &grant, "revoke_grant"),
        ("GET", &grant, "check_grant"),
    ] {
        let body = ["POST", "PATCH"].contains(&method).then(|| something.clone());
        let answer = cloud.identity(&token, method, path, body).await.expect(403);
        let message = format!("You are not authorized to perform the requested action: identity:{rule}.");
        assert_eq!(answer.json()["error"]["message"], message);
        cloud.call(method, &format!("/identity/v3{path}")).send().await.expect(401);
    }
    for path in [
        format!("/users/{}", alice.id),
        format!("/users/{}/projects", alice.id),
        format!("/projects/{}", alice.project),
        format!("/role_assignments?user.id={}", alice.id),
        "/domains/default".to_owned(),
        "/regions".to_owned(),
        "/regions/RegionOne".to_owned(),
    ] {
        cloud.identity(&token, "GET", &path, None).await.expect(200);
    }
    let own = cloud.identity(&token, "GET", "/auth/projects", None).await.expect(200).json();
    assert_eq!(own["projects"][0]["id"], alice.project);
    assert_eq!(own["projects"].as_array().unwrap().len(), 1);
    let system = cloud.identity(&token, "GET", "/auth/system", None).await.expect(200).json();
    assert_eq!(system["system"], json!([]));
    let domains = cloud.identity(&token, "GET", "/auth/domains", None).await.expect(200).json();
    assert_eq!(domains["domains"], json!([]));
    let unscoped = cloud.token(&by_password("alice", alice.password, json!("unscoped"))).await;
    cloud.identity(&unscoped, "GET", "/auth/catalog", None).await.expect(403);
}

/// Who deletes what has a tag must not be told of all.
async fn who_asks_for_what_there_is_none_of_finds_nothing(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let admin = cloud.admin().await;
    let found = async |list: &str, query: &str| {
        let path = format!("/{list}?{query}");
        let answer = cloud.identity(&admin, "GET", &path, None).await.expect(200).json();
        answer[list].as_array().unwrap().len()
    };
    for query in ["tags=a", "tags-any=a,b", "is_domain=true", "parent_id=p", "domain_id=default&parent_id=p"]
    {
        assert_eq!(found("projects", query).await, 0, "{query}");
    }
    for query in ["", "tags=", "not-tags=a", "is_domain=false", "parent_id=default"] {
        assert_eq!(found("projects", query).await, 1, "{query}");
    }
    for query in ["group.id=g", "scope.OS-INHERIT%3Ainherited_to=projects"] {
        assert_eq!(found("role_assignments", query).await, 0, "{query}");
    }
    assert!(found("role_assignments", "").await > 0);
    cloud.identity(&admin, "GET", "/regions/elsewhere", None).await.expect(404);
}

async fn roles_are_given_and_taken(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let alice = cloud.person("alice", "reader").await;
    let admin = cloud.admin().await;
    let send = async |method: &str, path: &str| cloud.identity(&admin, method, path, None).await;
    let member = cloud.role(&admin, "member").await;
    for scope in [format!("/projects/{}", alice.project), "/domains/default".into(), "/system".into()] {
        let held = format!("{scope}/users/{}/roles", alice.id);
        let grant = format!("{held}/{member}");
        send("GET", &grant).await.expect(404);
        send("DELETE", &grant).await.expect(404);
        send("PUT", &grant).await.expect(204);
        send("PUT", &grant).await.expect(204);
        send("GET", &grant).await.expect(204);
        send("HEAD", &grant).await.expect(204);
        let names = send("GET", &held).await.expect(200).json();
        let names: Vec<_> =
            names["roles"].as_array().unwrap().iter().map(|role| role["name"].clone()).collect();
        assert!(names.contains(&json!("member")), "{names:?}");
        send("PUT", &format!("{held}/nope")).await.expect(404);
        send("PUT", &format!("{scope}/users/nope/roles/{member}")).await.expect(404);
    }
    send("PUT", &format!("/projects/nope/users/{}/roles/{member}", alice.id)).await.expect(404);

    let list = async |query: &str| {
        let path = format!("/role_assignments?user.id={}{query}", alice.id);
        send("GET", &path).await.expect(200).json()["role_assignments"].as_array().unwrap().clone()
    };
    assert_eq!(list("").await.len(), 4);
    assert_eq!(list("&scope.system=all").await.len(), 1);
    assert_eq!(list(&format!("&scope.project.id={}", alice.project)).await.len(), 2);
    assert_eq!(list(&format!("&role.id={member}")).await.len(), 3);
    let reader = cloud.role(&admin, "reader").await;
    assert_eq!(list(&format!("&role.id={reader}")).await.len(), 1);
    assert_eq!(list(&format!("&role.id={reader}&effective")).await.len(), 3);
    let named = list("&include_names&scope.domain.id=default").await;
    assert_eq!(named[0]["scope"]["domain"], json!({ "id": "default", "name": "Default" }));
    assert_eq!(named[0]["user"]["name"], "alice");
    assert_eq!(named[0]["user"]["domain"]["name"], "Default");
    assert_eq!(named[0]["role"]["name"], "member");

    send("DELETE", &format!("/system/users/{}/roles/{member}", alice.id)).await.expect(204);
    assert_eq!(list("&scope.system=all").await.len(), 0);
    // The roles that rules know by name stay what they are; others come and go.
    send("DELETE", &format!("/roles/{member}")).await.expect(403);
    let role = json!({ "role": { "name": "auditor" } });
    let role = cloud.identity(&admin, "POST", "/roles", Some(role)).await.expect(201).json();
    let role = format!("/roles/{}", role["role"]["id"].as_str().unwrap());
    let renamed = json!({ "role": { "name": "checker" } });
    cloud.identity(&admin, "PATCH", &role, Some(renamed)).await.expect(200);
    send("DELETE", &role).await.expect(204);
    send("DELETE", &format!("/projects/{}", alice.project)).await.expect(204);
    assert_eq!(list("").await.len(), 1);
}

/// Whoever asks for a restriction must not take it for given.
async fn what_there_is_not_is_refused(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let admin = cloud.admin().await;
    for (path, body) in [
        ("/users", json!({ "user": { "name": "x", "options": { "lock_password": true } } })),
        ("/projects", json!({ "project": { "name": "x", "parent_id": "some project" } })),
        ("/projects", json!({ "project": { "name": "x", "is_domain": true } })),
        ("/projects", json!({ "project": { "name": "x", "tags": ["a"] } })),
    ] {
        cloud.identity(&admin, "POST", path, Some(body)).await.expect(400);
    }
    let empty = json!({ "name": "x", "options": {}, "tags": [], "is_domain": false, "parent_id": "default" });
    cloud.identity(&admin, "POST", "/projects", Some(json!({ "project": empty }))).await.expect(201);
    let alice = cloud.person("alice", "member").await;
    let token = cloud.token_of(&alice).await;
    let path = format!("/users/{}/application_credentials", alice.id);
    let rules = json!([{ "method": "GET", "path": "/v3/volumes", "service": "volumev3" }]);
    for (key, value, status) in [
        ("access_rules", rules, 400),
        ("expires_at", json!("2099-01-01T00:00:00+05:00"), 400),
        ("access_rules", json!([]), 201),
    ] {
        let credential = json!({ "application_credential": { "name": "x", key: value } });
        cloud.identity(&token, "POST", &path, Some(credential)).await.expect(status);
    }
}

/// None writes over what another one has just written.
async fn changes_at_once_are_all_made(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let (admin, alice) = (cloud.admin().await, cloud.person("alice", "member").await);
    let things =
        [("user", format!("/users/{}", alice.id)), ("project", format!("/projects/{}", alice.project))];
    for (kind, path) in &things {
        let change = |number: usize| match number {
            7 => json!({ *kind: { "enabled": false } }),
            number => json!({ *kind: { "description": number.to_string() } }),
        };
        let changes = (0..16).map(|number| cloud.identity(&admin, "PATCH", path, Some(change(number))));
        for answer in futures::future::join_all(changes).await {
            answer.expect(200);
        }
        let shown = cloud.identity(&admin, "GET", path, None).await.expect(200).json();
        assert_eq!(shown[kind]["enabled"], false);
    }
}

async fn a_domain_goes_with_what_is_in_it(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let admin = cloud.admin().await;
    let send = async |method: &str, path: &str, body| cloud.identity(&admin, method, path, body).await;
    let made = send("POST", "/domains", Some(json!({ "domain": { "name": "d1" } }))).await.expect(201).json();
    let id = made["domain"]["id"].as_str().unwrap();
    send("POST", "/domains", Some(json!({ "domain": { "name": "d1" } }))).await.expect(409);
    // The same name as in the other domain.
    let user = json!({ "user": { "name": "admin", "password": "x", "domain_id": id } });
    let user = send("POST", "/users", Some(user)).await.expect(201).json();
    let user = user["user"]["id"].as_str().unwrap();
    let project = json!({ "project": { "name": "admin", "domain_id": id } });
    let project = send("POST", "/projects", Some(project)).await.expect(201).json();
    let project = project["project"]["id"].as_str().unwrap();
    let member = cloud.role(&admin, "member").await;
    send("PUT", &format!("/projects/{project}/users/{user}/roles/{member}"), None).await.expect(204);
    let in_d1 = json!({ "name": "admin", "domain": { "name": "d1" } });
    let mut who = in_d1.clone();
    who["password"] = json!("x");
    let auth = json!({ "identity": { "methods": ["password"], "password": { "user": who } },
        "scope": { "project": in_d1 } });
    let token = cloud.token(&auth).await;
    assert!(cloud.is_good(&token).await);

    let refused = send("DELETE", "/domains/default", None).await.expect(403).json();
    assert_eq!(refused["error"]["message"], "Cannot delete the default domain.");
    let path = format!("/domains/{id}");
    send("DELETE", &path, None).await.expect(403);
    send("PATCH", &path, Some(json!({ "domain": { "enabled": false } }))).await.expect(200);
    assert!(!cloud.is_good(&token).await);
    cloud.log_in(&auth).await.expect(401);
    send("DELETE", &path, None).await.expect(204);
    for gone in [path, format!("/users/{user}"), format!("/projects/{project}")] {
        send("GET", &gone, None).await.expect(404);
    }
    assert!(cloud.is_good(&admin).await);
}

async fn only_a_project_that_is_there_has_a_default_type(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let admin = cloud.admin().await;
    let person = cloud.person("alice", "member").await;
    let member = cloud.token_of(&person).await;
    let body = json!({ "default_type": { "volume_type": "__DEFAULT__" } });
    let call = async |token: &str, method: &str, project: &str| {
        let path = format!("/volume/v3/default-types/{project}");
        let call = cloud.call(method, &path).header("x-auth-token", token).version(62);
        if method == "PUT" { call.json(&body).send().await } else { call.send().await }
    };
    let stranger = "00000000000000000000000000000bad";
    for method in ["GET", "PUT"] {
        let answer = call(&admin, method, stranger).await.expect(404).json();
        let message = format!("Project with id {stranger} not found.");
        assert_eq!(answer["itemNotFound"]["message"], message);
        call(&member, method, stranger).await.expect(403);
    }
    call(&admin, "PUT", &person.project).await.expect(200);
    let shown = call(&admin, "GET", &person.project).await.expect(200).json();
    assert_eq!(shown["default_type"]["project_id"], person.project);
    // What was said of a project that is gone can be taken back.
    cloud.identity(&admin, "DELETE", &format!("/projects/{}", person.project), None).await.expect(204);
    call(&admin, "GET", &person.project).await.expect(404);
    for project in [&person.project, stranger] {
        call(&admin, "DELETE", project).await.expect(204);
    }
}
