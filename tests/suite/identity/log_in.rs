//! From a proof to a token: methods, scopes, refusals.

use serde_json::{Value, json};

use super::{Cloud, by_password, by_token, on_both, project};
use crate::house::DatabaseKind;

on_both! {
    a_password_gives_a_token_for_each_scope
    the_catalogue_names_our_own_addresses
    whoever_may_not_is_told_nothing
    a_token_gives_another_token
    a_token_for_the_system_gives_none_for_a_part_of_it
    a_default_project_is_taken_when_nobody_says
    an_application_credential_is_its_users_and_no_more
    no_token_outlives_a_password_that_changes_meanwhile
    nobody_sets_a_password_back
    guessing_is_slow
    many_at_once_guess_once
    malformed_requests_are_refused
}

async fn no_token_outlives_a_password_that_changes_meanwhile(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let person = cloud.person("alice", "member").await;
    let (auth, admin) = (person.auth(), cloud.admin().await);
    // Far more than are compared at once: many wait with the old password while the new one is written.
    let log_ins = futures::future::join_all((0..40).map(|_| cloud.log_in(&auth)));
    let user = format!("/users/{}", person.id);
    let body = json!({ "user": { "password": "another one" } });
    let (answers, changed) = tokio::join!(log_ins, cloud.identity(&admin, "PATCH", &user, Some(body)));
    changed.expect(200);
    for token in answers.iter().filter_map(|answer| answer.header("x-subject-token")) {
        assert!(!cloud.is_good(token).await);
    }
}

/// Whoever knows the old one was let in with it, and writes after it was changed.
async fn nobody_sets_a_password_back(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let person = cloud.person("alice", "member").await;
    let admin = cloud.admin().await;
    let body = json!({ "user": { "original_password": person.password, "password": person.password } });
    let path = format!("/identity/v3/users/{}/password", person.id);
    let changes = (0..40).map(|_| cloud.call("POST", &path).json(&body).send());
    let user = format!("/users/{}", person.id);
    let body = json!({ "user": { "password": "another one" } });
    let (changes, changed) =
        tokio::join!(futures::future::join_all(changes), cloud.identity(&admin, "PATCH", &user, Some(body)));
    changed.expect(200);
    assert!(changes.iter().any(|answer| answer.status != 204));
    // They count as failures.
    cloud.site.pass(60);
    let scope = project("project-of-alice");
    cloud.log_in(&by_password("alice", "another one", scope)).await.expect(201);
}

async fn a_password_gives_a_token_for_each_scope(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let answer = cloud.log_in(&cloud.admin_auth()).await.expect(201);
    assert_eq!(answer.header("vary"), Some("x-auth-token"));
    let token = &answer.json()["token"];
    assert_eq!(token["methods"], json!(["password"]));
    assert_eq!(token["user"]["name"], "admin");
    assert_eq!(token["user"]["domain"], json!({ "id": "default", "name": "Default" }));
    assert_eq!(token["project"]["name"], "admin");
    assert_eq!(token["is_domain"], false);
    let roles: Vec<_> = token["roles"].as_array().unwrap().iter().map(|role| &role["name"]).collect();
    assert_eq!(roles, ["admin", "manager", "member", "reader"]);
    let moment = |key: &str| pumice::model::Timestamp::parse(token[key].as_str().unwrap()).unwrap();
    assert_eq!(moment("expires_at").seconds_since(moment("issued_at")), 3600.0);

    let scoped = |scope| by_password("admin", &cloud.password, scope);
    for unscoped in [json!(null), json!("unscoped"), json!({ "unscoped": {} })] {
        let token = cloud.log_in(&scoped(unscoped)).await.expect(201).json();
        for key in ["project", "roles", "catalog", "system", "domain"] {
            assert!(token["token"].get(key).is_none(), "{key} in {token}");
        }
    }
    let token = cloud.log_in(&scoped(json!({ "system": { "all": true } }))).await.expect(201).json();
    assert_eq!(token["token"]["system"], json!({ "all": true }));
    assert!(token["token"].get("project").is_none());
    // Nobody has a role on the domain until somebody is given one.
    let on_domain = scoped(json!({ "domain": { "id": "default" } }));
    cloud.log_in(&on_domain).await.expect(401);
    let admin = cloud.admin().await;
    let (user, role) = (token["token"]["user"]["id"].as_str().unwrap(), cloud.role(&admin, "reader").await);
    let grant = format!("/domains/default/users/{user}/roles/{role}");
    cloud.identity(&admin, "PUT", &grant, None).await.expect(204);
    let token = cloud.log_in(&on_domain).await.expect(201).json();
    assert_eq!(token["token"]["domain"], json!({ "id": "default", "name": "Default" }));

    let body = json!({ "auth": cloud.admin_auth() });
    let answer = cloud.call("POST", "/identity/v3/auth/tokens?nocatalog").json(&body).send().await;
    assert!(answer.expect(201).json()["token"].get("catalog").is_none());
}

async fn the_catalogue_names_our_own_addresses(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let token = cloud.log_in(&cloud.admin_auth()).await.expect(201).json();
    let catalogue = token["token"]["catalog"].as_array().unwrap();
    let public: Vec<_> = catalogue
        .iter()
        .map(|service| {
            let endpoints = service["endpoints"].as_array().unwrap();
            let public = endpoints.iter().find(|endpoint| endpoint["interface"] == "public").unwrap();
            assert_eq!(public["region_id"], "RegionOne");
            (service["type"].as_str().unwrap(), public["url"].as_str().unwrap())
        })
        .collect();
    let expected = [
        ("identity", "http://cloud.example:8080/identity/v3"),
        ("image", "http://cloud.example:8080/image"),
        ("block-storage", "http://cloud.example:8080/volume/v3"),
        ("volumev3", "http://cloud.example:8080/volume/v3"),
    ];
    assert_eq!(public, expected);
    let admin = cloud.admin().await;
    let shown = cloud.identity(&admin, "GET", "/auth/catalog", None).await.expect(200).json();
    assert_eq!(shown["catalog"], token["token"]["catalog"]);
}

async fn whoever_may_not_is_told_nothing(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let person = cloud.person("alice", "member").await;
    let refusals = [
        by_password("admin", "wrong", project("admin")),
        by_password("nobody", "wrong", project("admin")),
        by_password("alice", &"x".repeat(4000), json!(null)),
        by_password("admin", &cloud.password, project("no-such-project")),
        by_password("admin", &cloud.password, json!({ "project": { "id": "no-such-project" } })),
        by_password(person.name, person.password, project("admin")),
        by_password(person.name, person.password, json!({ "system": { "all": true } })),
        by_password(person.name, person.password, json!({ "domain": { "name": "Default" } })),
        by_password(person.name, person.password, json!({ "domain": { "name": "no-such-domain" } })),
    ];
    let mut texts: Vec<String> = Vec::new();
    for auth in refusals {
        let answer = cloud.log_in(&auth).await.expect(401);
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Keystone uri=\"http://cloud.example:8080/identity/v3\"")
        );
        assert!(answer.header("x-subject-token").is_none());
        texts.push(answer.text().to_owned());
    }
    texts.dedup();
    assert_eq!(
        texts,
        ["{\"error\":{\"code\":401,\"message\":\"The request you have made requires authentication.\",\
          \"title\":\"Unauthorized\"}}"]
    );
}

async fn a_token_gives_another_token(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let first = cloud.log_in(&by_password("admin", &cloud.password, json!("unscoped"))).await.expect(201);
    let token = first.header("x-subject-token").unwrap().to_owned();
    let first = first.json();
    cloud.site.pass(600);
    let answer = cloud.log_in(&by_token(&token, project("admin"))).await.expect(201);
    let second = answer.json();
    assert_eq!(second["token"]["methods"], json!(["password", "token"]));
    // It does not live longer than the one it comes from, and says which that was.
    assert_eq!(second["token"]["expires_at"], first["token"]["expires_at"]);
    assert_eq!(second["token"]["audit_ids"][1], first["token"]["audit_ids"][0]);
    assert_eq!(second["token"]["project"]["name"], "admin");
    cloud.log_in(&by_token("not-a-token", project("admin"))).await.expect(404);
    let person = cloud.person("alice", "member").await;
    let token = cloud.token_of(&person).await;
    cloud.log_in(&by_token(&token, project("admin"))).await.expect(401);
}

async fn a_token_for_the_system_gives_none_for_a_part_of_it(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let admin = cloud.admin().await;
    let system = by_password("admin", &cloud.password, json!({ "system": { "all": true } }));
    let answer = cloud.log_in(&system).await.expect(201);
    let (user, system) = (&answer.json()["token"]["user"]["id"], answer.header("x-subject-token").unwrap());
    for scope in [project("admin"), json!({ "domain": { "id": "default" } })] {
        let answer = cloud.log_in(&by_token(system, scope)).await.expect(403).json();
        assert_eq!(
            answer["error"]["message"],
            "You are not authorized to perform the requested action: Using a system-scoped token to create a \
             project-scoped or domain-scoped token is not allowed.."
        );
    }
    // Nor when nobody says which.
    let mine = cloud.identity(&admin, "GET", "/auth/projects", None).await.expect(200).json();
    let change = json!({ "user": { "default_project_id": mine["projects"][0]["id"] } });
    let path = format!("/users/{}", user.as_str().unwrap());
    cloud.identity(&admin, "PATCH", &path, Some(change)).await.expect(200);
    for scope in [json!(null), json!("unscoped")] {
        let token = cloud.log_in(&by_token(system, scope)).await.expect(201).json();
        assert!(token["token"].get("project").is_none(), "{token}");
    }
    cloud.log_in(&by_token(&admin, project("admin"))).await.expect(201);
}

async fn a_default_project_is_taken_when_nobody_says(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let person = cloud.person("alice", "member").await;
    let admin = cloud.admin().await;
    let default = |project: &str| json!({ "user": { "default_project_id": project } });
    let path = format!("/users/{}", person.id);
    cloud.identity(&admin, "PATCH", &path, Some(default(&person.project))).await.expect(200);
    let unsaid = by_password(person.name, person.password, json!(null));
    let token = cloud.log_in(&unsaid).await.expect(201).json();
    assert_eq!(token["token"]["project"]["id"], person.project);
    let unscoped = cloud.token(&by_password(person.name, person.password, json!("unscoped"))).await;
    let token = cloud.log_in(&by_token(&unscoped, json!(null))).await.expect(201).json();
    assert_eq!(token["token"]["project"]["id"], person.project);
    // One that the user may not enter is passed over.
    cloud.identity(&admin, "PATCH", &path, Some(default("gone"))).await.expect(200);
    let token = cloud.log_in(&unsaid).await.expect(201).json();
    assert!(token["token"].get("project").is_none());
}

async fn an_application_credential_is_its_users_and_no_more(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let person = cloud.person("alice", "member").await;
    let token = cloud.token_of(&person).await;
    let path = format!("/users/{}/application_credentials", person.id);
    let make = async |token: &str, body: Value| {
        cloud.identity(token, "POST", &path, Some(json!({ "application_credential": body }))).await
    };
    let made = make(&token, json!({ "name": "robot" })).await.expect(201).json();
    let robot = &made["application_credential"];
    let names: Vec<_> = robot["roles"].as_array().unwrap().iter().map(|role| &role["name"]).collect();
    assert_eq!(names, ["member", "reader"]);
    make(&token, json!({ "name": "robot" })).await.expect(409);
    make(&token, json!({ "name": "greedy", "roles": [{ "name": "admin" }] })).await.expect(400);
    make(&token, json!({ "name": "late", "expires_at": "tomorrow" })).await.expect(400);
    make(&cloud.admin().await, json!({ "name": "for-another" })).await.expect(403);

    let secret = robot["secret"].as_str().unwrap();
    let listed = cloud.identity(&token, "GET", &path, None).await.expect(200);
    assert!(!listed.text().contains(secret) && !listed.text().contains("secret"), "{}", listed.text());

    let with = |credential: Value| {
        let methods = ["application_credential"];
        json!({ "identity": { "methods": methods, "application_credential": credential } })
    };
    let by_id = with(json!({ "id": robot["id"], "secret": secret }));
    let user = json!({ "name": "alice", "domain": { "name": "Default" } });
    let by_name = with(json!({ "name": "robot", "secret": secret, "user": user }));
    for auth in [&by_id, &by_name] {
        let answer = cloud.log_in(auth).await.expect(201);
        let token = &answer.json()["token"];
        assert_eq!(token["project"]["id"], person.project);
        assert_eq!(token["application_credential"]["restricted"], true);
        // It cannot make others, nor tokens that say nothing of it.
        let robot_token = answer.header("x-subject-token").unwrap();
        make(robot_token, json!({ "name": "child" })).await.expect(403);
        let rescope = json!({ "methods": ["token"], "token": { "id": robot_token } });
        cloud.log_in(&json!({ "identity": rescope })).await.expect(401);
    }
    let mut scoped = by_id.clone();
    scoped["scope"] = json!({ "project": { "id": person.project } });
    cloud.log_in(&scoped).await.expect(401);
    cloud.log_in(&with(json!({ "id": robot["id"], "secret": "wrong" }))).await.expect(401);

    let short =
        json!({ "name": "short", "roles": [{ "name": "reader" }], "expires_at": "2026-11-22T12:10:00" });
    let short = make(&token, short).await.expect(201).json();
    let short = &short["application_credential"];
    let short = cloud.token(&with(json!({ "id": short["id"], "secret": short["secret"] }))).await;
    assert!(cloud.is_good(&short).await);
    let robot_token = cloud.token(&by_id).await;
    assert!(cloud.is_good(&robot_token).await);
    let token = cloud.token_of(&person).await;
    let one = format!("{path}/{}", robot["id"].as_str().unwrap());
    cloud.identity(&token, "DELETE", &one, None).await.expect(204);
    assert!(!cloud.is_good(&robot_token).await);
    cloud.log_in(&by_id).await.expect(401);
    // 12:10 goes by while its token would be good still.
    assert!(cloud.is_good(&short).await);
    cloud.site.pass(1500);
    assert!(!cloud.is_good(&short).await);
}

async fn guessing_is_slow(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    // For a name that somebody has and one that nobody has alike.
    for name in ["admin", "nobody"] {
        let wrong = by_password(name, "wrong", project("admin"));
        let mut statuses = Vec::new();
        for _ in 0..10 {
            statuses.push(cloud.log_in(&wrong).await.status.as_u16());
        }
        assert_eq!(statuses[..5], [401; 5], "{statuses:?}");
        assert!(statuses.contains(&429), "{statuses:?}");
    }
    // However the domain is named.
    for name in ["admin", "nobody"] {
        let wrong = by_password(name, "wrong", project("admin"));
        let mut pause = 0;
        while pause < 30 {
            cloud.site.pass(pause);
            let answer = cloud.log_in(&wrong).await;
            pause = answer.header("retry-after").map_or(0, |seconds| seconds.parse().unwrap());
        }
        let user = json!({ "name": name, "domain": { "name": "Default" }, "password": "wrong" });
        let identity = json!({ "methods": ["password"], "password": { "user": user } });
        cloud.log_in(&json!({ "identity": identity })).await.expect(429);
    }
    cloud.site.pass(60);
    cloud.log_in(&by_password("admin", "wrong", project("admin"))).await.expect(401);
    let answer = cloud.log_in(&by_password("admin", "wrong", project("admin"))).await.expect(429);
    let seconds: i64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert_eq!(answer.json()["error"]["code"], 429);
    // The right password has to wait as well, and is good again soon.
    cloud.log_in(&cloud.admin_auth()).await.expect(429);
    cloud.site.pass(seconds);
    cloud.log_in(&cloud.admin_auth()).await.expect(201);
    cloud.log_in(&by_password("admin", "wrong", project("admin"))).await.expect(401);
    cloud.log_in(&cloud.admin_auth()).await.expect(201);
}

/// Whatever the number of those who hash side by side.
async fn many_at_once_guess_once(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let wrong = by_password("admin", "wrong", project("admin"));
    let mut pause = 0;
    while pause < 50 {
        cloud.site.pass(pause);
        let answer = cloud.log_in(&wrong).await;
        pause = answer.header("retry-after").map_or(0, |seconds| seconds.parse().unwrap());
    }
    cloud.site.pass(60);
    let answers = futures::future::join_all((0..8).map(|_| cloud.log_in(&wrong))).await;
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [401, 429, 429, 429, 429, 429, 429, 429]);
    // Whoever is right need not take turns.
    cloud.site.pass(60);
    let right = cloud.admin_auth();
    cloud.log_in(&right).await.expect(201);
    for answer in futures::future::join_all((0..24).map(|_| cloud.log_in(&right))).await {
        answer.expect(201);
    }
}

async fn malformed_requests_are_refused(kind: DatabaseKind) {
    let cloud = Cloud::new(kind).await;
    let password = json!({ "methods": ["password"] });
    for auth in [
        json!({}),
        json!("x"),
        json!({ "identity": {} }),
        json!({ "identity": { "methods": "password" } }),
        json!({ "identity": password }),
        json!({ "identity": { "methods": ["password"], "password": { "user": { "name": "admin" } } } }),
        json!({ "identity": { "methods": ["password"],
            "password": { "user": { "name": "admin", "password": "x" } } } }),
        json!({ "identity": { "methods": ["password"],
            "password": { "user": { "id": "admin", "password": 5 } } } }),
        by_password("admin", "x", json!({})),
        by_password("admin", "x", json!({ "planet": {} })),
        by_password("admin", "x", json!({ "project": { "name": "admin" } })),
        by_password("admin", "x", json!({ "project": { "id": "p" }, "system": { "all": true } })),
        by_password("admin\0", "x", json!(null)),
    ] {
        let answer = cloud.log_in(&auth).await.expect(400);
        assert_eq!(answer.json()["error"]["title"], "Bad Request", "{auth}");
    }
    cloud.log_in(&json!({ "identity": { "methods": [] } })).await.expect(401);
    cloud.log_in(&json!({ "identity": { "methods": ["magic"] } })).await.expect(401);
    let post = || cloud.call("POST", "/identity/v3/auth/tokens");
    post().send().await.expect(400);
    post().header("content-type", "application/json").body("{").send().await.expect(400);
    post().header("content-type", "text/plain").body("{\"auth\":{}}").send().await.expect(400);
    post().header("content-type", "application/json").body("x".repeat(200_000)).send().await.expect(413);
    cloud.call("PUT", "/identity/v3/auth/tokens").send().await.expect(405);
    cloud.call("GET", "/identity/v3/no-such-thing").send().await.expect(404);
    cloud.call("GET", "/identity/v3/users/%00").send().await.expect(400);
    let versions = cloud.call("GET", "/identity").send().await.expect(300);
    assert_eq!(versions.header("location"), Some("http://cloud.example:8080/identity/v3/"));
    for path in ["/identity/v3", "/identity/v3/"] {
        let version = cloud.call("GET", path).send().await.expect(200).json();
        assert_eq!(version["version"]["links"][0]["href"], "http://cloud.example:8080/identity/v3/");
    }
}
