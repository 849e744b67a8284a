//! Pages, orders, filters and counts.

use std::collections::{BTreeMap, HashSet};

use pumice::db::{Snapshot, Volume};
use pumice::model::{SnapshotId, VolumeId, VolumeStatus};
use serde_json::{Value, json};
use sqlx::types::Json;

use super::{assert_refused, fault, id_of};
use crate::support::Site;

/// Names repeat, and some have none, so that the order needs its tiebreakers.
async fn with_volumes(count: usize) -> (Site, Vec<String>) {
    let site = Site::new().await;
    let mut ids = Vec::new();
    for i in 0..count {
        let name = [json!("b"), json!("a"), Value::Null][i % 3].clone();
        let made = site.new_volume(json!({"size": 1 + i % 2, "name": name})).await;
        ids.push(id_of(&made));
    }
    (site, ids)
}

/// As clients ask for them that are about something else.
#[tokio::test]
async fn what_there_is_none_of_is_an_empty_list() {
    let site = Site::new().await;
    for (path, list, since) in [
        ("/v3/backups", "backups", 0),
        ("/v3/backups/detail", "backups", 0),
        ("/v3/group_types", "group_types", 11),
        ("/v3/groups", "groups", 13),
        ("/v3/groups/detail", "groups", 13),
        ("/v3/group_snapshots", "group_snapshots", 14),
        ("/v3/group_snapshots/detail", "group_snapshots", 14),
    ] {
        let answer = site.volume("GET", path).version(since).send().await.expect(200);
        assert_eq!(answer.json(), json!({ list: [] }));
        if since > 0 {
            site.volume("GET", path).version(since - 1).send().await.expect(404);
        }
    }
}

/// 404 would say that the volume is gone already, and Heat then deletes it without its backup.
#[tokio::test]
async fn who_asks_for_a_backup_is_told_that_there_will_be_none() {
    let site = Site::new().await;
    let volume = site.new_volume(json!({"size": 1})).await;
    let ask = json!({"backup": {"volume_id": id_of(&volume)}});
    let answer = site.volume("POST", "/v3/backups").json(&ask).send().await.expect(501);
    assert_eq!(answer.json()["notImplemented"]["message"], "A backup is not implemented.");
    let counted = |version, value: &str| {
        site.volume("GET", &format!("/v3/backups/detail?with_count={value}")).version(version).send()
    };
    assert_eq!(counted(45, "True").await.expect(200).json(), json!({"backups": [], "count": 0}));
    assert_eq!(counted(44, "True").await.expect(200).json(), json!({"backups": []}));
    counted(45, "perhaps").await.expect(400);
}

fn ids_of(page: &Value, list: &str) -> Vec<String> {
    page[list].as_array().unwrap().iter().map(id_of).collect()
}

/// Follows the links to the end.
async fn walk(site: &Site, path: &str, list: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        let page = site.get(&path).await.expect(200).json();
        pages.push(ids_of(&page, list));
        let href = page[format!("{list}_links")][0]["href"].as_str();
        next = href.map(|href| href.strip_prefix("http://cloud.example:8080/volume").unwrap().to_owned());
    }
    pages
}

#[tokio::test]
async fn pages_follow_each_other_in_every_order() {
    let (site, ids) = with_volumes(7).await;
    for list in ["/v3/volumes", "/v3/volumes/detail"] {
        for sort in [
            "",
            "&sort=name",
            "&sort=name:asc",
            "&sort=name:asc,size:desc",
            "&sort=size:asc,name:asc,id:desc",
            "&sort=id:asc",
            "&sort=created_at:asc",
            "&sort=status,availability_zone:asc",
            "&sort=bootable:asc",
            "&sort=updated_at",
            "&sort=attach_status,migration_status:asc",
            "&sort=replication_status,previous_status:asc",
            "&sort=display_name:asc",
            "&sort_key=name&sort_dir=asc",
            "&sort_key=size",
            "&sort_dir=asc",
        ] {
            let whole = walk(&site, &format!("{list}?limit=1000{sort}"), "volumes").await;
            assert_eq!(whole.len(), 1);
            for limit in [1, 3, 7] {
                let pages = walk(&site, &format!("{list}?limit={limit}{sort}"), "volumes").await;
                assert!(pages.iter().rev().skip(1).all(|page| page.len() == limit), "{sort} {limit}");
                assert_eq!(pages.concat(), whole[0], "{list} {sort} {limit}");
            }
            let seen: HashSet<&String> = whole[0].iter().collect();
            assert_eq!(seen.len(), ids.len());
        }
    }
}

#[tokio::test]
async fn orders_are_what_they_say() {
    let (site, ids) = with_volumes(6).await;
    for (sort, order) in [
        ("", [5, 4, 3, 2, 1, 0]),
        ("?sort=created_at:asc", [0, 1, 2, 3, 4, 5]),
        // None before a before b; the older first, as the first key goes up.
        ("?sort=name:asc", [2, 5, 1, 4, 0, 3]),
        ("?sort=name", [3, 0, 4, 1, 5, 2]),
        ("?sort=name:desc,id:asc", [0, 3, 1, 4, 2, 5]),
        ("?sort_key=size&sort_dir=asc", [0, 2, 4, 1, 3, 5]),
    ] {
        let page = site.get(&format!("/v3/volumes{sort}")).await.json();
        let expected: Vec<&String> = order.iter().map(|&i| &ids[i]).collect();
        assert_eq!(ids_of(&page, "volumes").iter().collect::<Vec<_>>(), expected, "{sort}");
    }
}

#[tokio::test]
async fn links_repeat_the_query() {
    let (site, ids) = with_volumes(3).await;
    let base = "http://cloud.example:8080/volume/v3";
    let next = |href: String| json!([{"rel": "next", "href": href}]);
    let page = site.get("/v3/volumes/detail?limit=1&name=b&sort=name:asc").await.json();
    let href = format!("{base}/volumes/detail?limit=1&name=b&sort=name%3Aasc&marker={}", ids[0]);
    assert_eq!(page["volumes_links"], next(href));
    let project = super::PROJECT;
    let page = site.get(&format!("/v3/{project}/volumes?marker={}&limit=1", ids[2])).await.json();
    let href = format!("{base}/{project}/volumes?limit=1&marker={}", ids[1]);
    assert_eq!(page["volumes_links"], next(href));
    // Also after an exactly full last page, not after one with room.
    assert!(site.get("/v3/volumes?limit=3").await.json().get("volumes_links").is_some());
    assert!(site.get("/v3/volumes?limit=4").await.json().get("volumes_links").is_none());
    assert_eq!(site.get("/v3/volumes?limit=0").await.text(), r#"{"volumes":[]}"#);
    let page = site.get("/v3/volumes?offset=1&limit=1").await.json();
    assert_eq!(ids_of(&page, "volumes"), [ids[1].clone()]);
    let next = page["volumes_links"][0]["href"].as_str().unwrap();
    assert!(next.ends_with(&format!("/volumes?limit=1&marker={}", ids[1])), "{next}");
    let page = site.get(&format!("/v3/volumes?marker={}&offset=1", ids[2])).await.json();
    assert_eq!(ids_of(&page, "volumes"), [ids[0].clone()]);
}

#[tokio::test]
async fn a_page_has_no_more_metadata_than_it_may() {
    let (site, mut ids) = with_volumes(5).await;
    let heavy = heavy("x");
    let mut repository = site.app().database.begin().await.unwrap();
    for id in &ids {
        repository.set_image_metadata(&VolumeId::parse(id).unwrap(), Some(&heavy)).await.unwrap();
    }
    repository.commit().await.unwrap();
    ids.reverse();
    for path in ["/v3/volumes/detail", "/v3/volumes/detail?with_count=true"] {
        let pages = walk(&site, path, "volumes").await;
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1], "{path}");
        assert_eq!(pages.concat(), ids);
    }
    assert_eq!(walk(&site, "/v3/volumes/detail?limit=1", "volumes").await.concat(), ids);
}

#[tokio::test]
async fn a_page_of_snapshots_has_no_more_metadata_than_it_may() {
    let site = Site::new().await;
    let volume = site.available_volume(json!({"size": 1})).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.insert(0, site.new_snapshot_id(&volume).await);
    }
    let mut repository = site.app().database.begin().await.unwrap();
    for id in &ids {
        let row = repository.snapshot(&SnapshotId::parse(id).unwrap()).await.unwrap().unwrap();
        assert!(repository.update_snapshot(&Snapshot { metadata: heavy("x"), ..row }).await.unwrap());
    }
    repository.commit().await.unwrap();
    for path in ["/v3/snapshots", "/v3/snapshots/detail?with_count=true"] {
        let pages = walk(&site, path, "snapshots").await;
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1], "{path}");
        assert_eq!(pages.concat(), ids);
    }
}

#[tokio::test]
async fn a_summary_has_no_more_metadata_than_a_page() {
    let (site, ids) = with_volumes(5).await;
    let values = async || {
        let summary = site.get("/v3/volumes/summary").await.expect(200).json()["volume-summary"].clone();
        assert_eq!(summary["total_count"], 5);
        summary["metadata"]["heavy"].as_array().map(Vec::len)
    };
    // What they all have is told once, and is no more than it is.
    for (texts, told) in [(["x"; 5], 1), (["a", "b", "c", "d", "e"], 3)] {
        let mut repository = site.app().database.begin().await.unwrap();
        for (id, text) in ids.iter().zip(texts) {
            let row = repository.volume(&VolumeId::parse(id).unwrap()).await.unwrap().unwrap();
            assert!(repository.update_volume(&Volume { metadata: heavy(text), ..row }).await.unwrap());
        }
        repository.commit().await.unwrap();
        assert_eq!(values().await, Some(told));
    }
}

/// Three MiB.
fn heavy(text: &str) -> Json<BTreeMap<String, String>> {
    Json(BTreeMap::from([("heavy".to_owned(), text.repeat(3 << 20))]))
}

/// An id may be written in capitals and without hyphens.
#[tokio::test]
async fn a_marker_in_another_spelling_is_where_the_page_begins() {
    let (site, volumes) = with_volumes(3).await;
    for volume in &volumes {
        site.move_volume(volume, &[VolumeStatus::Available]).await;
        site.new_snapshot_id(volume).await;
        site.post("/v3/volume-transfers", json!({"transfer": {"volume_id": volume, "no_snapshots": true}}))
            .await
            .expect(202);
    }
    for name in ["a", "b", "c"] {
        let volume = site.available_volume(json!({"size": 1})).await;
        site.post("/v3/attachments", json!({"attachment": {"volume_uuid": volume}})).await.expect(200);
        site.post("/v3/types", json!({"volume_type": {"name": name}})).await.expect(200);
        site.post("/v3/qos-specs", json!({"qos_specs": {"name": name}})).await.expect(200);
        site.message(super::PROJECT, super::messages::CREATE, name).await;
    }
    for (path, list) in [
        ("volumes", "volumes"),
        ("volumes/detail", "volumes"),
        ("snapshots", "snapshots"),
        ("attachments", "attachments"),
        ("volume-transfers", "transfers"),
        ("messages", "messages"),
        ("types", "volume_types"),
        ("qos-specs", "qos_specs"),
    ] {
        let all = ids_of(&site.get(&format!("/v3/{path}")).await.expect(200).json(), list);
        assert!(all.len() >= 3, "{path}");
        for marker in [all[0].replace('-', ""), all[0].to_uppercase()] {
            let page = site.get(&format!("/v3/{path}?marker={marker}")).await.expect(200).json();
            assert_eq!(ids_of(&page, list), all[1..], "{path}");
        }
    }
}

#[tokio::test]
async fn a_page_is_no_larger_than_the_service_allows() {
    let site = Site::with(|config| config.volumes.osapi_max_limit = 2).await;
    for _ in 0..3 {
        site.new_volume_id().await;
    }
    for query in ["", "?limit=3", "?limit=99999999999999999999"] {
        let page = site.get(&format!("/v3/volumes{query}")).await.expect(200).json();
        assert_eq!(page["volumes"].as_array().unwrap().len(), 2);
        assert!(page.get("volumes_links").is_some());
    }
}

#[tokio::test]
async fn counts_are_given_when_asked_for() {
    let (site, _) = with_volumes(3).await;
    let get = async |version, query: &str| {
        site.volume("GET", &format!("/v3/volumes{query}")).version(version).send().await
    };
    let page = get(45, "?with_count=true&limit=1").await.expect(200).json();
    assert_eq!(page["count"], 3);
    let keys: Vec<&String> = page.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["volumes", "volumes_links", "count"]);
    assert_eq!(get(45, "?with_count=true&name=a").await.json()["count"], 1);
    assert_eq!(get(45, "?with_count=false").await.json().get("count"), None);
    let refused = get(45, "?with_count=maybe").await;
    assert_refused(&refused, "Value 'maybe' for 'with_count' is not a boolean.");
    assert_eq!(get(44, "?limit=1").await.json().get("count"), None);
    let snapshots = site.get("/v3/snapshots?with_count=1").await;
    assert_eq!(snapshots.text(), r#"{"snapshots":[],"count":0}"#);
}

#[tokio::test]
async fn parameters_that_make_no_sense_are_refused() {
    let site = Site::new().await;
    for list in ["/v3/volumes", "/v3/volumes/detail", "/v3/snapshots", "/v3/snapshots/detail", "/v3/types"] {
        for (query, message) in [
            ("limit=x", "limit param must be an integer"),
            ("limit=", "limit param must be an integer"),
            ("limit=1.5", "limit param must be an integer"),
            ("limit=-1", "limit param must be positive"),
            ("offset=x", "offset must be an integer"),
            ("offset=-1", "offset must be >= 0"),
            ("offset=2147483648", "offset must be <= 2147483647"),
            ("offset=99999999999999999999", "offset must be <= 2147483647"),
            (
                "sort=id&sort_key=id",
                "The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with the 'sort' \
                 parameter.",
            ),
            ("sort=nothing", "Invalid input received: Invalid sort key"),
            ("sort=", "Invalid input received: Invalid sort key"),
            ("sort=id%3B--", "Invalid input received: Invalid sort key"),
            ("sort=id:up", "Invalid input received: Unknown sort direction, must be 'desc' or 'asc'."),
        ] {
            assert_refused(&site.get(&format!("{list}?{query}")).await, message);
        }
        let many = vec!["id:asc"; 2000].join(",");
        site.get(&format!("{list}?sort={many}")).await.expect(200);
        assert_eq!(site.get(&format!("{list}?name=%00")).await.status.as_u16(), 400);
    }
    for (list, kind) in [("volumes", "Volume"), ("snapshots", "Snapshot")] {
        for marker in ["nonsense", "6f2d1c0a-0000-4000-8000-00000000abcd"] {
            let answer = site.get(&format!("/v3/{list}?marker={marker}")).await.expect(404);
            let message = format!("{kind} {marker} could not be found.");
            assert_eq!(answer.text(), fault("itemNotFound", 404, &message));
        }
    }
}

#[tokio::test]
async fn volumes_are_filtered() {
    let site = Site::new().await;
    let image = site.new_image(|_| {}).await;
    let a = id_of(&site.new_volume(json!({"size": 1, "name": "a", "metadata": {"k": "v", "l": "w"}})).await);
    let b = id_of(&site.new_volume(json!({"size": 2, "name": "it's", "metadata": {"k": "v"}})).await);
    let c = id_of(&site.new_volume(json!({"size": 2, "imageRef": image})).await);
    site.move_volume(&c, &[VolumeStatus::Available]).await;
    let readonly = json!({"os-update_readonly_flag": {"readonly": true}});
    site.post(&format!("/v3/volumes/{c}/action"), readonly).await.expect(202);
    let made = site.get(&format!("/v3/volumes/{b}")).await.json()["volume"]["created_at"].clone();
    let made = made.as_str().unwrap();
    for (filter, expected) in [
        ("name=a".to_owned(), vec![&a]),
        ("name=it's".to_owned(), vec![&b]),
        ("name=%27a%27".to_owned(), vec![]),
        ("status=available".to_owned(), vec![&c]),
        ("status=melted".to_owned(), vec![]),
        ("status=['creating', 'available']".to_owned(), vec![&c, &b, &a]),
        ("size=2".to_owned(), vec![&c, &b]),
        ("size=2&name=it's".to_owned(), vec![&b]),
        ("size=two".to_owned(), vec![]),
        ("bootable=true".to_owned(), vec![&c]),
        ("bootable=0".to_owned(), vec![&b, &a]),
        ("availability_zone=nova".to_owned(), vec![&c, &b, &a]),
        ("availability_zone=mars".to_owned(), vec![]),
        ("metadata={'k': 'v'}".to_owned(), vec![&b, &a]),
        ("metadata={\"k\": \"v\", \"l\": \"w\"}".to_owned(), vec![&a]),
        ("metadata={'k': 'x'}".to_owned(), vec![]),
        ("metadata={}".to_owned(), vec![&c, &b, &a]),
        ("metadata=k".to_owned(), vec![]),
        ("consumes_quota=true".to_owned(), vec![&c, &b, &a]),
        ("consumes_quota=false".to_owned(), vec![]),
        ("group_id=x".to_owned(), vec![]),
        ("all_tenants=1".to_owned(), vec![&c, &b, &a]),
        ("all_tenants=1&project_id=other".to_owned(), vec![]),
        ("user_id=00000000000000000000000000000002".to_owned(), vec![&c, &b, &a]),
        ("host=pumice@directory%23rbd".to_owned(), vec![&c, &b, &a]),
        ("host=pumice@directory".to_owned(), vec![&c, &b, &a]),
        ("host=pumice".to_owned(), vec![&c, &b, &a]),
        ("host=pum".to_owned(), vec![]),
        ("group_id=None".to_owned(), vec![&c, &b, &a]),
        ("cluster_name=c".to_owned(), vec![]),
        ("consistencygroup_id=None".to_owned(), vec![&c, &b, &a]),
        ("attach_status=detached".to_owned(), vec![&c, &b, &a]),
        ("attach_status=attached".to_owned(), vec![]),
        ("replication_status=None".to_owned(), vec![&c, &b, &a]),
        ("replication_status=enabled".to_owned(), vec![]),
        ("previous_status=creating".to_owned(), vec![&c]),
        ("migration_status=None".to_owned(), vec![&c, &b, &a]),
        ("metadata={'readonly': 'True'}".to_owned(), vec![&c]),
        ("metadata={'readonly': 'True', 'k': 'v'}".to_owned(), vec![]),
        ("snapshot_id=None".to_owned(), vec![&c, &b, &a]),
        ("name~=T'".to_owned(), vec![&b]),
        ("host~=direct".to_owned(), vec![&c, &b, &a]),
        ("bogus~=x".to_owned(), vec![]),
        ("glance_metadata={'hw_disk_bus': 'scsi'}".to_owned(), vec![&c]),
        ("glance_metadata={'hw_disk_bus': 'ide'}".to_owned(), vec![]),
        ("glance_metadata=x".to_owned(), vec![]),
        (format!("id={b}"), vec![&b]),
        (format!("created_at=gt:{made}"), vec![&c]),
        (format!("created_at=gte:{made}"), vec![&c, &b]),
        (format!("created_at=eq:{made}"), vec![&b]),
        (format!("created_at=neq:{made}"), vec![&c, &a]),
        (format!("created_at=lt:{made}"), vec![&a]),
        (format!("created_at=gte:{made},lte:{made}"), vec![&b]),
        // The real service finds nothing by what is no column.
        ("bogus=1".to_owned(), vec![]),
    ] {
        for list in ["/v3/volumes", "/v3/volumes/detail"] {
            let query: String = url::form_urlencoded::Serializer::new(String::new())
                .extend_pairs(url::form_urlencoded::parse(filter.as_bytes()))
                .finish();
            let page = site.get(&format!("{list}?{query}")).await.expect(200).json();
            assert_eq!(ids_of(&page, "volumes").iter().collect::<Vec<_>>(), expected, "{filter}");
        }
    }
    for (query, message) in [
        ("bootable=perhaps", "Invalid input received: 'bootable = perhaps'"),
        ("created_at=zz:2020-01-01", "Invalid zz operator"),
        ("created_at=gt:yesterday", "Invalid yesterday value"),
        ("all_tenants=perhaps", "Value 'perhaps' for 'all_tenants' is not a boolean."),
        ("consumes_quota=perhaps", "Value 'perhaps' for 'consumes_quota' is not a boolean."),
    ] {
        assert_refused(&site.get(&format!("/v3/volumes?{query}")).await, message);
    }
    let lenient = site.volume("GET", "/v3/volumes?bootable=perhaps").version(1).send().await.expect(200);
    assert_eq!(ids_of(&lenient.json(), "volumes"), [c]);
    // Before their versions nobody looks at them.
    for (version, query) in [
        (3, "glance_metadata=x"),
        (9, "group_id=x"),
        (59, "created_at=x"),
        (59, "updated_at=x"),
        (64, "consumes_quota=false"),
    ] {
        for (version, found) in [(version, 3), (version + 1, 0)] {
            let call = site.volume("GET", &format!("/v3/volumes?{query}")).version(version);
            let answer = call.send().await;
            let length = if answer.status == 200 { ids_of(&answer.json(), "volumes").len() } else { 0 };
            assert_eq!(length, found, "{query} at 3.{version}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn what_everybody_may_filter_by_is_told() {
    let site = Site::new().await;
    let all = site.get("/v3/resource_filters").await.expect(200).json()["resource_filters"].clone();
    let named: Vec<&str> =
        all.as_array().unwrap().iter().map(|one| one["resource"].as_str().unwrap()).collect();
    for resource in ["volume", "snapshot", "message", "volume_type"] {
        assert!(named.contains(&resource), "{named:?}");
    }
    let one = site.get("/v3/resource_filters?resource=snapshot").await.expect(200);
    assert_eq!(
        one.text(),
        concat!(
            r#"{"resource_filters":[{"resource":"snapshot","filters":["name","status","volume_id","metadata","#,
            r#""availability_zone","consumes_quota"]}]}"#
        )
    );
    assert_eq!(site.get("/v3/resource_filters?resource=x").await.text(), r#"{"resource_filters":[]}"#);
    let early = site.volume("GET", "/v3/resource_filters").version(32).send().await.expect(404);
    assert_eq!(early.text(), fault("itemNotFound", 404, "The resource could not be found."));
}

#[tokio::test]
async fn snapshots_are_filtered_and_paged() {
    let site = Site::new().await;
    let first = site.available_volume(json!({"size": 1})).await;
    let second = site.available_volume(json!({"size": 2})).await;
    let mut ids = Vec::new();
    for (name, volume) in [("x", &first), ("y", &first), ("x", &second)] {
        let body = json!({"snapshot": {"volume_id": volume, "name": name, "metadata": {"n": name}}});
        ids.push(id_of(&site.post("/v3/snapshots", body).await.expect(202).json()["snapshot"]));
    }
    for (query, expected) in [
        ("name=x".to_owned(), vec![2, 0]),
        (format!("volume_id={first}"), vec![1, 0]),
        ("status=creating".to_owned(), vec![2, 1, 0]),
        ("status=available".to_owned(), vec![]),
        ("metadata=%7B%27n%27:%27y%27%7D".to_owned(), vec![1]),
        ("availability_zone=nova".to_owned(), vec![2, 1, 0]),
        ("availability_zone=mars".to_owned(), vec![]),
        ("consumes_quota=false".to_owned(), vec![]),
        ("bogus=1".to_owned(), vec![]),
        ("name~=Y".to_owned(), vec![1]),
        ("bogus~=Y".to_owned(), vec![]),
        ("user_id=00000000000000000000000000000002".to_owned(), vec![2, 1, 0]),
        ("sort=name:asc".to_owned(), vec![0, 2, 1]),
        ("sort=volume_size".to_owned(), vec![2, 1, 0]),
    ] {
        let page = site.get(&format!("/v3/snapshots?{query}")).await.expect(200).json();
        let expected: Vec<&String> = expected.iter().map(|&i: &usize| &ids[i]).collect();
        assert_eq!(ids_of(&page, "snapshots").iter().collect::<Vec<_>>(), expected, "{query}");
    }
    for sort in ["", "&sort=name:asc", "&sort=volume_id", "&sort=status:asc"] {
        let whole = walk(&site, &format!("/v3/snapshots/detail?limit=9{sort}"), "snapshots").await.concat();
        let pages = walk(&site, &format!("/v3/snapshots/detail?limit=2{sort}"), "snapshots").await;
        assert_eq!((pages.len(), pages.concat()), (2, whole));
    }
    let early = |path: &'static str| site.volume("GET", path).version(21).send();
    assert_eq!(early("/v3/snapshots?sort=name").await.status.as_u16(), 400);
    let unfiltered = early("/v3/snapshots?metadata=%7B%27n%27:%27y%27%7D").await.json();
    assert_eq!(ids_of(&unfiltered, "snapshots").len(), 3);
}
