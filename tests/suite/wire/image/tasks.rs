//! Tasks: imports, as Glance shows them.

use pumice::db::{JobOutcome, NewJob, Resource};
use pumice::model::{ImageId, JobId, ProjectId};
use serde_json::{Value, json};

use super::locations::{serve, start};
use super::{Api, JSON};
use crate::support::{Answer, Site};

/// A job in the queue.
async fn enqueue(site: &Site, kind: &'static str, image: &ImageId) -> JobId {
    let world = &site.app().world;
    let job = NewJob {
        id: JobId::from(world.ids.ordered()),
        kind,
        resource: Resource { kind: "image", id: image.to_string() },
        source_id: None,
        project_id: Some(ProjectId(site.app().config.identity.project_id.clone())),
        request_id: Some("req-1".to_owned()),
        payload: Value::Null,
    };
    let mut repository = site.app().database.begin().await.unwrap();
    repository.enqueue(&job, world.now()).await.unwrap();
    repository.commit().await.unwrap();
    job.id
}

async fn finish(site: &Site, id: &JobId, outcome: JobOutcome, error: Option<(&str, &str)>) {
    let mut repository = site.app().database.begin().await.unwrap();
    repository.finish_job(id, &outcome, error, site.app().world.now()).await.unwrap();
    repository.commit().await.unwrap();
}

async fn get(site: &Site, path: &str) -> Answer {
    site.request("GET", &format!("/image{path}")).header("accept", "application/json").send().await
}

async fn image(site: &Site) -> ImageId {
    let made = site.request("POST", "/image/v2/images").json(&json!({})).send().await.expect(201).json();
    ImageId::parse(made["id"].as_str().unwrap()).unwrap()
}

async fn ids(site: &Site, query: &str) -> Vec<String> {
    let list = get(site, &format!("/v2/tasks{query}")).await.expect(200).json();
    let list = list["tasks"].as_array().unwrap().clone();
    list.iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_import_is_a_task() {
    let site = Site::new().await;
    let image = image(&site).await;
    let id = enqueue(&site, "import_image", &image).await;
    // Other jobs are none of Glance's.
    let other = enqueue(&site, "seal_image", &image).await;
    get(&site, &format!("/v2/tasks/{other}")).await.expect(404);
    let project = &site.app().config.identity.project_id;
    let shown = get(&site, &format!("/v2/tasks/{id}")).await.expect(200);
    let time = shown.json()["created_at"].as_str().unwrap().to_owned();
    let expected = format!(
        r#"{{"id":"{id}","input":{{"image_id":"{image}"}},"type":"api_image_import","status":"pending","owner":"{project}","message":"","result":null,"created_at":"{time}","updated_at":"{time}","self":"/v2/tasks/{id}","schema":"/v2/schemas/task","image_id":"{image}","request_id":"req-1"}}"#
    );
    assert_eq!(shown.text(), expected);
    let list = get(&site, "/v2/tasks").await.expect(200);
    let stub = format!(
        r#"{{"id":"{id}","type":"api_image_import","status":"pending","owner":"{project}","created_at":"{time}","updated_at":"{time}","self":"/v2/tasks/{id}","schema":"/v2/schemas/task"}}"#
    );
    assert_eq!(
        list.text(),
        format!(r#"{{"tasks":[{stub}],"first":"/v2/tasks","schema":"/v2/schemas/tasks"}}"#)
    );
    let of_image = get(&site, &format!("/v2/images/{image}/tasks")).await.expect(200).json();
    let row = of_image["tasks"][0].as_object().unwrap();
    let keys: Vec<&String> = row.keys().collect();
    assert_eq!(
        json!(keys),
        json!([
            "id",
            "type",
            "status",
            "owner",
            "expires_at",
            "created_at",
            "updated_at",
            "deleted_at",
            "deleted",
            "image_id",
            "request_id",
            "user_id",
            "input",
            "result",
            "message",
        ])
    );
    assert_eq!((&row["deleted"], &row["image_id"]), (&json!(false), &json!(image)));

    finish(&site, &id, JobOutcome::Done, None).await;
    let done = get(&site, &format!("/v2/tasks/{id}")).await.expect(200).json();
    assert_eq!((&done["status"], &done["result"]), (&json!("success"), &json!({"image_id": image})));
    assert!(done["expires_at"].as_str().unwrap() > done["updated_at"].as_str().unwrap());
    for outcome in [JobOutcome::Failed, JobOutcome::Cancelled] {
        let id = enqueue(&site, "import_image", &image).await;
        finish(&site, &id, outcome, Some(("It did not work.", "the operator's"))).await;
        let failed = get(&site, &format!("/v2/tasks/{id}")).await.expect(200).json();
        assert_eq!((&failed["status"], &failed["message"]), (&json!("failure"), &json!("It did not work.")));
        assert_eq!(failed["result"], Value::Null);
    }
}

#[tokio::test]
async fn tasks_are_filtered_and_paged() {
    let site = Site::new().await;
    let image = image(&site).await;
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(enqueue(&site, "import_image", &image).await.to_string());
    }
    finish(&site, &JobId::parse(&made[1]).unwrap(), JobOutcome::Done, None).await;
    let [first, second, third] = [&made[0], &made[1], &made[2]].map(String::as_str);
    for (query, expected) in [
        (String::new(), &[third, second, first][..]),
        ("?status=success".to_owned(), &[second]),
        ("?status=pending".to_owned(), &[third, first]),
        ("?status=failure".to_owned(), &[]),
        ("?type=import".to_owned(), &[]),
        ("?sort_key=created_at&sort_dir=asc".to_owned(), &[first, second, third]),
        ("?limit=2".to_owned(), &[third, second]),
        (format!("?limit=2&marker={second}"), &[first]),
        ("?limit=0".to_owned(), &[]),
    ] {
        assert_eq!(ids(&site, &query).await, expected, "{query}");
    }
    let page = get(&site, "/v2/tasks?limit=2").await.json();
    assert_eq!(page["next"], format!("/v2/tasks?limit=2&marker={second}"));
    let unknown = "11111111-1111-1111-1111-111111111111";
    for (query, said) in [
        ("limit=-1", "limit param must be positive".to_owned()),
        ("marker=zz", "Invalid marker format".to_owned()),
        (&format!("marker={unknown}"), format!("Task with the given id {unknown} was not found")),
        ("sort_key=foo", "Sort key supplied was not valid.".to_owned()),
        ("sort_dir=foo", "Invalid sort direction: foo".to_owned()),
        ("status=foo", "Invalid status value: foo".to_owned()),
        ("type=foo", "Invalid type value: foo".to_owned()),
    ] {
        let refused = get(&site, &format!("/v2/tasks?{query}")).await.expect(400).json();
        assert!(refused["message"].as_str().unwrap().starts_with(&said), "{query}: {refused}");
    }
    let refused = site.request("DELETE", &format!("/image/v2/tasks/{first}")).send().await.expect(405);
    assert_eq!(refused.header("allow"), Some("GET"));
    let missing = get(&site, "/v2/tasks/zz").await.expect(404).json();
    assert!(missing["message"].as_str().unwrap().starts_with("Could not find task zz"), "{missing}");
    get(&site, "/v2/images/zz/tasks").await.expect(404);
}

impl Api {
    async fn ask(&self, task: &Value) -> super::Answer {
        self.send("POST", "/v2/tasks", &[JSON], task.to_string()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_made_by_a_task() {
    let (api, server) = (start().await, serve().await);
    let task = |address: &str, properties: Value| {
        json!({"type": "import", "input": {
            "import_from": format!("{server}{address}"), "import_from_format": "raw", "image_properties": properties,
        }})
    };
    let formats = json!({"name": "n", "disk_format": "raw", "container_format": "bare", "color": "red"});
    let made = api.ask(&task("/plain", formats.clone())).await.is(201);
    let shown = made.json();
    let id = shown["id"].as_str().unwrap();
    assert_eq!(made.header("location"), Some(format!("/v2/tasks/{id}").as_str()));
    assert_eq!((&shown["type"], &shown["status"]), (&json!("import"), &json!("pending")));
    // The address is not told.
    assert_eq!(shown["input"], json!({"import_from_format": "raw", "image_properties": formats}));
    api.settle().await;
    let shown = api.get(&format!("/v2/tasks/{id}")).await.is(200).json();
    assert_eq!(shown["status"], "success", "{shown}");
    let image = shown["result"]["image_id"].as_str().unwrap();
    let found = api.get(&format!("/v2/images/{image}")).await.is(200).json();
    assert_eq!(
        (&found["status"], &found["size"], &found["color"]),
        (&json!("active"), &json!(10), &json!("red"))
    );
    assert_eq!(api.get(&format!("/v2/images/{image}/file")).await.is(200).text(), "0123456789");

    let failing = api.ask(&task("/none", formats)).await.is(201).json();
    api.settle().await;
    let path = format!("/v2/tasks/{}", failing["id"].as_str().unwrap());
    let failed = api.get(&path).await.is(200).json();
    assert_eq!(
        (&failed["status"], &failed["message"]),
        (&json!("failure"), &json!("The web server answers 404."))
    );
    let image = failed["image_id"].as_str().unwrap();
    api.get(&format!("/v2/images/{image}")).await.is(404);
    let listed = api.get("/v2/tasks?type=import").await.is(200).json();
    assert_eq!(listed["tasks"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_task_cannot_do_is_refused() {
    let api = start().await;
    let from = |address: &str| json!({"type": "import", "input": {"import_from": address}});
    let properties = |properties: Value| {
        json!({"type": "import", "input": {
            "import_from": "http://127.0.0.1/", "import_from_format": "raw", "image_properties": properties,
        }})
    };
    for (task, status, said) in [
        (json!({"input": {}}), 400, "Task 'type' is required"),
        (json!({"type": "import"}), 400, "Task 'input' is required"),
        (json!({"type": "other", "input": {}}), 400, "Provided object does not match schema 'task': "),
        (
            json!({"type": "import", "input": {}, "more": 1}),
            400,
            "Provided object does not match schema 'task': ",
        ),
        (
            json!({"type": "location_import", "input": {}}),
            400,
            "Only tasks of type 'import' can be asked for",
        ),
        (json!({"type": "import", "input": null}), 400, "Invalid location: None"),
        (from(""), 400, "Invalid location: <br"),
        (from("file:///etc/passwd"), 400, "File based imports are not allowed."),
        (from("ftp://127.0.0.1/"), 400, "The given uri is not valid."),
        (
            from("http://10.0.0.1/"),
            400,
            "URI for legacy import task does not pass filtering: http://10.0.0.1/",
        ),
        (
            from(&format!("http://127.0.0.1/{}", "x".repeat(8192))),
            400,
            "'import_from' must be a text of at most 8192 bytes",
        ),
        (from("http://127.0.0.1/"), 400, "Input does not contain 'import_from_format' field"),
        (properties(json!(1)), 400, "Input does not contain 'image_properties' field"),
        (properties(json!({"status": "active"})), 403, "Attribute 'status' is read-only."),
        (
            properties(json!({"name": "n", "container_format": "bare"})),
            400,
            "Property disk_format must be set prior to saving data.",
        ),
    ] {
        let refused = api.ask(&task).await.is(status);
        assert!(refused.text().contains(said), "{task}: {}", refused.text());
    }
    assert_eq!(api.get("/v2/images").await.json()["images"], json!([]));
    assert_eq!(api.get("/v2/tasks").await.json()["tasks"], json!([]));
}
