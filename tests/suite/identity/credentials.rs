//! Application credentials: how many and how large, and what ends them.

use pumice::db::{ApplicationCredential, Json, Repository, SecretHash};
use pumice::identity::standalone::Standalone;
use pumice::model::{ApplicationCredentialId, ProjectId, RoleId, Scope, UserId};
use serde_json::{Value, json};

use super::{Cloud, Person, by_credential, on_both};
use crate::house::DatabaseKind;

on_both! {
    they_end_with_what_they_stand_on
    a_user_has_so_many_and_no_more
    what_is_too_much_or_too_late_is_refused
    a_token_that_is_dead_already_makes_none
}

/// With a role on the project, with the role itself, with the user's being enabled, and with the project.
async fn they_end_with_what_they_stand_on(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let (admin, alice) = (cloud.admin().await, cloud.person("alice", "member").await);
    let (bob, on_project) = (cloud.person("bob", "member").await, format!("/projects/{}", alice.project));
    let send = async |method: &str, path: &str, body: Option<Value>| {
        cloud.identity(&admin, method, path, body).await
    };
    let robot = async |of: &Person| {
        let made = cloud.make_credential(of, &cloud.token_of(of).await, json!({ "name": "robot" })).await;
        by_credential(&made.expect(201).json())
    };
    let of_bob = robot(&bob).await;
    let (member, reader) = (cloud.role(&admin, "member").await, cloud.role(&admin, "reader").await);

    let robots = robot(&alice).await;
    // Somewhere else.
    let on_system = format!("/system/users/{}/roles/{reader}", alice.id);
    send("PUT", &on_system, None).await.expect(204);
    send("DELETE", &on_system, None).await.expect(204);
    cloud.log_in(&robots).await.expect(201);
    let held = format!("{on_project}/users/{}/roles/", alice.id);
    send("PUT", &format!("{held}{reader}"), None).await.expect(204);
    send("DELETE", &format!("{held}{reader}"), None).await.expect(204);
    cloud.log_in(&robots).await.expect(401);

    let robots = robot(&alice).await;
    send("DELETE", &format!("{held}{member}"), None).await.expect(204);
    send("PUT", &format!("{held}{member}"), None).await.expect(204);
    cloud.log_in(&robots).await.expect(401);

    let role = json!({ "role": { "name": "auditor" } });
    let role = send("POST", "/roles", Some(role)).await.expect(201).json();
    let role = role["role"]["id"].as_str().unwrap().to_owned();
    send("PUT", &format!("{held}{role}"), None).await.expect(204);
    let robots = robot(&alice).await;
    cloud.log_in(&robots).await.expect(201);
    send("DELETE", &format!("/roles/{role}"), None).await.expect(204);
    cloud.log_in(&robots).await.expect(401);

    let robots = robot(&alice).await;
    let user = format!("/users/{}", alice.id);
    for enabled in [false, true] {
        let change = json!({ "user": { "enabled": enabled } });
        send("PATCH", &user, Some(change)).await.expect(200);
    }
    cloud.log_in(&robots).await.expect(401);

    robot(&alice).await;
    send("DELETE", &on_project, None).await.expect(204);
    let path = format!("{user}/application_credentials");
    let left = send("GET", &path, None).await.expect(200).json();
    assert_eq!(left["application_credentials"], json!([]));
    cloud.log_in(&of_bob).await.expect(201);
}

async fn a_user_has_so_many_and_no_more(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let (alice, bob) = (cloud.person("alice", "member").await, cloud.person("bob", "member").await);
    let app = cloud.site.app();
    let mut repository = app.database.begin().await.unwrap();
    for number in 1..100 {
        let credential = ApplicationCredential {
            id: ApplicationCredentialId(number.to_string()),
            user_id: UserId(alice.id.clone()),
            project_id: ProjectId(alice.project.clone()),
            name: number.to_string(),
            description: None,
            secret_hash: SecretHash("none".to_owned()),
            roles: Json(Vec::new()),
            unrestricted: false,
            expires_at: None,
            created_at: app.world.now(),
        };
        repository.add_application_credential(&credential).await.unwrap();
    }
    repository.commit().await.unwrap();
    let token = cloud.token_of(&alice).await;
    cloud.make_credential(&alice, &token, json!({ "name": "last" })).await.expect(201);
    let answer = cloud.make_credential(&alice, &token, json!({ "name": "more" })).await.expect(403).json();
    assert_eq!(
        answer["error"]["message"],
        "Unable to create additional application credentials, maximum of 100 already exceeded for user."
    );
    let path = format!("/users/{}/application_credentials?name=", alice.id);
    for (name, count) in [("17", 1), ("last", 1), ("more", 0)] {
        let found = cloud.identity(&token, "GET", &format!("{path}{name}"), None).await.expect(200).json();
        assert_eq!(found["application_credentials"].as_array().unwrap().len(), count, "{name}");
    }
    cloud.make_credential(&bob, &cloud.token_of(&bob).await, json!({ "name": "first" })).await.expect(201);
}

async fn what_is_too_much_or_too_late_is_refused(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let alice = cloud.person("alice", "member").await;
    let token = cloud.token_of(&alice).await;
    for (key, value) in [
        ("roles", json!(vec![json!({ "name": "reader" }); 101])),
        ("description", json!("x".repeat(1025))),
        ("expires_at", json!("2026-11-22T11:47:00")),
        ("expires_at", json!("1970-01-01T00:00:00Z")),
    ] {
        let answer = cloud.make_credential(&alice, &token, json!({ "name": "robot", key: value })).await;
        let message = answer.expect(400).json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(key), "{message}");
    }
    // The same one many times is the same one.
    let reader = cloud.role(&cloud.admin().await, "reader").await;
    let roles: Vec<_> =
        (0..50).flat_map(|_| [json!({ "name": "reader" }), json!({ "id": reader })]).collect();
    let body = json!({ "name": "robot", "roles": roles, "description": "x".repeat(1024) });
    let made = cloud.make_credential(&alice, &token, body).await.expect(201).json();
    let id = ApplicationCredentialId(made["application_credential"]["id"].as_str().unwrap().to_owned());
    let mut repository = cloud.site.app().database.read().await.unwrap();
    let stored = repository.application_credential(&id).await.unwrap().unwrap();
    assert_eq!(stored.roles.0, [RoleId(reader)]);
}

/// Another process says so, which this one does not hear of for a few seconds.
async fn a_token_that_is_dead_already_makes_none(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let alice = cloud.person("alice", "manager").await;
    let (id, scope) = (UserId(alice.id.clone()), Scope::Project(ProjectId(alice.project.clone())));
    let app = cloud.site.app();
    // From now on this process remembers it.
    let hear_of = async |token: &str| cloud.identity(token, "GET", "/auth/projects", None).await.expect(200);
    let token = async || {
        let token = cloud.token_of(&alice).await;
        hear_of(&token).await;
        token
    };
    let role = async |repository: &mut Repository, name: &str| {
        let roles = repository.roles().await.unwrap();
        roles.into_iter().find(|role| role.name == name).unwrap().id
    };

    let other = Standalone::open(app.database.clone(), app.world.clone(), &app.config).await.unwrap();
    let known = cloud.token_of(&alice).await;
    let session = other.session(&known).await.unwrap();
    hear_of(&known).await;
    other.revoke(&session).await.unwrap();
    cloud.make_credential(&alice, &known, json!({ "name": "revoked" })).await.expect(401);

    // Its roles are fewer, and then none.
    let known = token().await;
    let mut repository = app.database.begin().await.unwrap();
    let (manager, reader) = (role(&mut repository, "manager").await, role(&mut repository, "reader").await);
    repository.assign_role(&id, &scope, &reader).await.unwrap();
    repository.unassign_role(&id, &scope, &manager).await.unwrap();
    repository.commit().await.unwrap();
    let made = cloud.make_credential(&alice, &known, json!({ "name": "reader" })).await.expect(201).json();
    let roles: Vec<_> = made["application_credential"]["roles"].as_array().unwrap().clone();
    assert_eq!(roles.iter().map(|role| &role["name"]).collect::<Vec<_>>(), ["reader"]);
    let known = token().await;
    let mut repository = app.database.begin().await.unwrap();
    repository.unassign_role(&id, &scope, &reader).await.unwrap();
    repository.commit().await.unwrap();
    cloud.make_credential(&alice, &known, json!({ "name": "nobody" })).await.expect(401);
    let mut repository = app.database.begin().await.unwrap();
    repository.assign_role(&id, &scope, &manager).await.unwrap();
    repository.commit().await.unwrap();

    for (name, is_enabled, epochs) in [("of-another-epoch", true, 1), ("disabled", false, 0)] {
        let known = token().await;
        let mut repository = app.database.begin().await.unwrap();
        let mut user = repository.user_to_change(&id).await.unwrap().unwrap();
        user.enabled = is_enabled;
        user.token_epoch += epochs;
        repository.update_user(&user).await.unwrap();
        repository.commit().await.unwrap();
        cloud.make_credential(&alice, &known, json!({ "name": name })).await.expect(401);
    }
}
