//! Tasks: imports, as Glance shows them.

use pumice::db::{JobOutcome, NewJob, Resource};
use pumice::model::{ImageId, JobId, ProjectId};
use serde_json::{Value, json};

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
