//! Several places for volumes: which one a volume gets, and what administrators see and say of them.

use pumice::block::OpenMode;
use pumice::config::Backend;
use pumice::jobs::{Destination, Task};
use pumice::model::{GIB, VolumeId, VolumeStatus};
use pumice::workflows::names;
use serde_json::{Value, json};

use super::id_of;
use crate::support::{Answer, Call, Site};

/// The backend of `[volumes]`, called `directory`, and two more; each has said that it is alive. The first
/// has the most room, so that a volume goes there that may go anywhere.
async fn site() -> Site {
    let site = Site::with(|config| {
        for (name, zone) in [("fast", None), ("far", Some("moon"))] {
            let backend = Backend {
                rbd_pool: format!("{name}-pool"),
                volume_backend_name: Some(format!("{name}-label")),
                backend_availability_zone: zone.map(str::to_owned),
                ..Backend::default()
            };
            config.backends.0.insert(name.to_owned(), backend);
        }
    })
    .await;
    site.report().await;
    site.has_room("pumice@directory", 1 << 20).await;
    site
}

const DIRECTORY: &str = "pumice@directory#rbd";
const FAST: &str = "pumice@fast#fast-pool";
const FAR: &str = "pumice@far#far-pool";

impl Site {
    fn put_to(&self, path: &str, body: &Value) -> Call {
        self.volume("PUT", path).version(71).json(body)
    }

    async fn host_of(&self, volume: &Value) -> Option<String> {
        self.volume_row(&id_of(volume)).await.host
    }

    async fn type_id(&self, name: &str) -> String {
        let found = self.get(&format!("/v3/types?name={name}")).await.expect(200).json();
        id_of(&found["volume_types"][0])
    }

    async fn type_with(&self, name: &str, extra_specs: Value) {
        let body = json!({"volume_type": {"name": name, "extra_specs": extra_specs}});
        self.post("/v3/types", body).await.expect(200);
    }
}

#[track_caller]
fn refused(answer: Answer, status: u16, message: &str) {
    let answer = answer.expect(status).json();
    let fault = answer.as_object().unwrap().values().next().unwrap();
    assert_eq!(fault["message"], message);
}

#[tokio::test]
async fn the_type_says_where_a_volume_goes() {
    let site = site().await;
    site.type_with("fast", json!({"volume_backend_name": "fast-label"})).await;
    site.type_with("nowhere", json!({"volume_backend_name": "no-such-label"})).await;
    let fast = site.new_volume(json!({"size": 1, "volume_type": "fast"})).await;
    assert_eq!(site.host_of(&fast).await.as_deref(), Some(FAST));
    // What no place will do for is taken all the same, and its job says so.
    let nowhere = site.new_volume(json!({"size": 1, "volume_type": "nowhere"})).await;
    assert_eq!(nowhere["status"], "creating");
    assert_eq!(site.host_of(&nowhere).await, None);
}

#[tokio::test]
async fn zones_are_those_of_the_backends() {
    let site = site().await;
    let zones = site.get("/v3/os-availability-zone").await.expect(200).json();
    let expected = json!({"availabilityZoneInfo": [
        {"zoneName": "moon", "zoneState": {"available": true}},
        {"zoneName": "nova", "zoneState": {"available": true}},
    ]});
    assert_eq!(zones, expected);
    let far = site.new_volume(json!({"size": 1, "availability_zone": "moon"})).await;
    assert_eq!(site.host_of(&far).await.as_deref(), Some(FAR));
    assert_eq!(far["availability_zone"], "moon");
    site.move_volume(&id_of(&far), &[VolumeStatus::Available]).await;
    let near = site.available_volume(json!({"size": 1})).await;
    let snapshots = [site.new_snapshot_id(&near).await, site.new_snapshot_id(&id_of(&far)).await];
    for (zone, expected) in [("nova", &snapshots[..1]), ("moon", &snapshots[1..]), ("mars", &[])] {
        let path = format!("/v3/snapshots?availability_zone={zone}");
        let found = site.get(&path).await.expect(200).json();
        let found: Vec<String> = found["snapshots"].as_array().unwrap().iter().map(id_of).collect();
        assert_eq!(found, expected, "{zone}");
    }
    let elsewhere = json!({"volume": {"size": 1, "availability_zone": "mars"}});
    refused(site.post("/v3/volumes", elsewhere).await, 400, "Availability zone 'mars' is invalid.");
}

#[tokio::test]
async fn hints_bring_volumes_together_and_apart() {
    let site = site().await;
    let first = site.new_volume(json!({"size": 1})).await;
    assert_eq!(site.host_of(&first).await.as_deref(), Some(DIRECTORY));
    let hinted = async |hint: Value| {
        let body = json!({"volume": {"size": 1}, "OS-SCH-HNT:scheduler_hints": hint});
        let made = site.post("/v3/volumes", body).await.expect(202).json()["volume"].clone();
        site.host_of(&made).await
    };
    assert_eq!(hinted(json!({"same_host": id_of(&first)})).await.as_deref(), Some(DIRECTORY));
    assert_eq!(hinted(json!({"different_host": [id_of(&first)]})).await.as_deref(), Some(FAST));
    let body = json!({"volume": {"size": 1}, "OS-SCH-HNT:scheduler_hints": {"same_host": "me"}});
    let message = "Invalid input for field/attribute same_host. Value: me. 'me' is not valid under any of the given \
        schemas";
    refused(site.post("/v3/volumes", body).await, 400, message);
    // Each is looked up while nobody else can write.
    for key in ["same_host", "different_host"] {
        let body = |count: u128| {
            let ids: Vec<String> = (1..=count).map(|id| uuid::Uuid::from_u128(id).to_string()).collect();
            json!({"volume": {"size": 1}, "OS-SCH-HNT:scheduler_hints": {key: ids}})
        };
        site.post("/v3/volumes", body(1000)).await.expect(202);
        let message = format!("Invalid input received: {key} names more than 1000 volumes.");
        refused(site.post("/v3/volumes", body(1001)).await, 400, &message);
    }
}

/// No more is promised than there is, however fast it is asked for, and places take turns as they fill.
#[tokio::test]
async fn what_was_promised_since_the_last_report_counts() {
    let site = Site::with(|config| {
        config.volumes.max_over_subscription_ratio = 1.0;
        let backend = Backend {
            rbd_pool: "fast-pool".to_owned(),
            max_over_subscription_ratio: 1.0,
            ..Backend::default()
        };
        config.backends.0.insert("fast".to_owned(), backend);
    })
    .await;
    let promised = async || {
        let detail = site.get("/v3/scheduler-stats/get_pools?detail=true").await.expect(200).json();
        let of = |pool: &Value| pool["capabilities"]["provisioned_capacity_gb"].as_i64().unwrap();
        detail["pools"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    site.report().await;
    for service in ["pumice@directory", "pumice@fast"] {
        site.has_room(service, 100).await;
    }
    let mut hosts = Vec::new();
    for _ in 0..3 {
        hosts.push(site.host_of(&site.new_volume(json!({"size": 60})).await).await);
    }
    assert_eq!(hosts, [Some(DIRECTORY.to_owned()), Some(FAST.to_owned()), None]);
    assert_eq!(promised().await, [60, 60]);
    // The report knows them, and they count once.
    site.report().await;
    assert_eq!(promised().await, [60, 60]);
}

/// What is there already is taken over only where new volumes could go, and as a type that fits the place.
#[tokio::test]
async fn a_place_that_is_not_to_be_used_takes_nothing_over() {
    let site = site().await;
    for (name, label) in [("fast", "fast-label"), ("far", "far-label")] {
        site.type_with(name, json!({"volume_backend_name": label})).await;
    }
    let volume = site.available_volume(json!({"size": 1, "volume_type": "fast"})).await;
    let store = site.app().stores.volumes.named("fast").unwrap().store.clone();
    let image = names::volume(&VolumeId::parse(&volume).unwrap());
    for name in [image.as_str(), "disk"] {
        store.create(name, GIB, 4 << 20).await.unwrap();
    }
    let image = store.open(&image, OpenMode::ReadWrite).await.unwrap();
    image.create_snapshot("by-hand").await.unwrap();
    image.close().await.unwrap();
    let manage = async |of_type: &str| {
        let body = json!({"volume": {"host": FAST, "ref": {"source-name": "disk"}, "volume_type": of_type}});
        site.post("/v3/manageable_volumes", body).await
    };
    let manage_snapshot = async || {
        let body = json!({"snapshot": {"volume_id": volume, "ref": {"source-name": "by-hand"}}});
        site.post("/v3/manageable_snapshots", body).await
    };
    let message = format!(
        "Manage existing volume failed due to volume type mismatch: {FAST} has not what the volume type far asks for."
    );
    refused(manage("far").await, 400, &message);

    let unavailable = "Service is unavailable at this time.";
    let frozen =
        "Invalid input received: Modification operations are not allowed on frozen storage backends.";
    let named = json!({"host": "pumice@fast", "binary": "cinder-volume"});
    let host = json!({"host": "pumice@fast"});
    for (action, body, message) in [
        ("disable", &named, Some(unavailable)),
        ("enable", &named, None),
        // What is frozen is disabled too, as in the real service.
        ("freeze", &host, Some(unavailable)),
        ("enable", &named, Some(frozen)),
        ("thaw", &host, None),
    ] {
        site.put_to(&format!("/v3/os-services/{action}"), body).send().await.expect(200);
        if let Some(message) = message {
            refused(manage("fast").await, 400, message);
            refused(manage_snapshot().await, 400, message);
        }
    }
    site.pass(61);
    refused(manage("fast").await, 400, unavailable);
    refused(manage_snapshot().await, 400, unavailable);
    site.report().await;
    manage("fast").await.expect(202);
    manage_snapshot().await.expect(202);
}

#[tokio::test]
async fn a_clone_lies_where_its_source_does() {
    let site = site().await;
    site.type_with("fast", json!({"volume_backend_name": "fast-label"})).await;
    let source = site.new_volume(json!({"size": 1, "volume_type": "fast"})).await;
    site.move_volume(&id_of(&source), &[VolumeStatus::Available]).await;
    let clone = site.new_volume(json!({"source_volid": id_of(&source)})).await;
    assert_eq!(site.host_of(&clone).await.as_deref(), Some(FAST));
    let body = json!({"volume": {"source_volid": id_of(&source), "availability_zone": "moon"}});
    let message = "Invalid input received: Volume must be in the same availability zone as the source volume";
    refused(site.post("/v3/volumes", body).await, 400, message);
}

#[tokio::test]
async fn a_volume_names_the_service_that_made_it() {
    let site = site().await;
    let uuid_of = async |id: &str| {
        site.get(&format!("/v3/volumes/{id}")).await.expect(200).json()["volume"]["service_uuid"].clone()
    };
    let mut seen = Vec::new();
    for zone in ["nova", "moon"] {
        let made = site.new_volume(json!({"size": 1, "availability_zone": zone})).await;
        assert_eq!(uuid_of(&id_of(&made)).await, Value::Null);
        site.move_volume(&id_of(&made), &[VolumeStatus::Available]).await;
        seen.push(uuid_of(&id_of(&made)).await);
        let another = site.available_volume(json!({"source_volid": id_of(&made)})).await;
        assert_eq!(uuid_of(&another).await, seen[seen.len() - 1]);
    }
    assert_ne!(seen[0], seen[1]);
    assert!(seen.iter().all(Value::is_string), "{seen:?}");
}

#[tokio::test]
async fn a_copy_may_be_of_another_type_for_the_same_backend() {
    let site = site().await;
    for name in ["fast", "fast-too"] {
        site.type_with(name, json!({"volume_backend_name": "fast-label"})).await;
    }
    site.type_with("far", json!({"volume_backend_name": "far-label"})).await;
    site.type_with("anywhere", json!({})).await;
    let source = site.available_volume(json!({"size": 1, "volume_type": "fast"})).await;
    let snapshot = site.available_snapshot(&source).await;
    for (mut wanted, advice) in [
        (json!({"source_volid": source}), "either match source volume, or omit type argument"),
        (json!({"snapshot_id": snapshot}), "recommend omitting the type argument"),
    ] {
        wanted["volume_type"] = json!("fast-too");
        let copy = site.new_volume(wanted.clone()).await;
        assert_eq!(copy["volume_type"], "fast-too");
        assert_eq!(site.host_of(&copy).await.as_deref(), Some(FAST));
        for name in ["far", "anywhere"] {
            let of = site.type_id(name).await;
            let message = format!(
                "Invalid input received: Invalid volume_type provided: {of} (requested type is not compatible; \
                 {advice})."
            );
            wanted["volume_type"] = json!(name);
            refused(site.post("/v3/volumes", json!({ "volume": wanted })).await, 400, &message);
        }
    }
}

#[tokio::test]
async fn where_there_is_one_backend_a_copy_is_of_any_type_that_encrypts_alike() {
    let site = Site::new().await;
    for name in ["plain", "sealed"] {
        site.type_with(name, json!({"multiattach": "<is> True"})).await;
    }
    let sealed = site.type_id("sealed").await;
    let body = json!({"encryption": {"provider": "luks", "control_location": "front-end"}});
    site.post(&format!("/v3/types/{sealed}/encryption"), body).await.expect(200);
    let source = site.available_volume(json!({"size": 1})).await;
    let copy = site.new_volume(json!({"source_volid": source, "volume_type": "plain"})).await;
    assert_eq!((&copy["volume_type"], &copy["multiattach"]), (&json!("plain"), &json!(true)));
    let body = json!({"volume": {"source_volid": source, "volume_type": "sealed"}});
    let message = format!(
        "Invalid input received: Invalid volume_type provided: {sealed} (requested type is not compatible; either \
         match source volume, or omit type argument)."
    );
    refused(site.post("/v3/volumes", body).await, 400, &message);
}

#[tokio::test]
async fn a_type_with_zones_needs_no_zone_in_the_request() {
    let site = site().await;
    site.type_with("far", json!({"RESKEY:availability_zones": "mars, moon"})).await;
    site.type_with("any", json!({"RESKEY:availability_zones": "moon,nova"})).await;
    let far = site.new_volume(json!({"size": 1, "volume_type": "far"})).await;
    assert_eq!((&far["availability_zone"], site.host_of(&far).await.as_deref()), (&json!("moon"), Some(FAR)));
    // The place says which of several it is.
    let any = site.new_volume(json!({"size": 1, "volume_type": "any"})).await;
    let place = site.host_of(&any).await.unwrap();
    assert_eq!(any["availability_zone"], if place == FAR { "moon" } else { "nova" }, "{place}");
    let near = site.new_volume(json!({"size": 1, "volume_type": "any", "availability_zone": "nova"})).await;
    assert_ne!(site.host_of(&near).await.as_deref(), Some(FAR));
    for zone in ["nova", "mars"] {
        let body = json!({"volume": {"size": 1, "volume_type": "far", "availability_zone": zone}});
        refused(
            site.post("/v3/volumes", body).await,
            400,
            &format!("Availability zone '{zone}' is invalid."),
        );
    }
    // A copy stays in the zone of its source, which its type must be for.
    site.move_volume(&id_of(&near), &[VolumeStatus::Available]).await;
    let copy = site.new_volume(json!({"source_volid": id_of(&near)})).await;
    assert_eq!(copy["availability_zone"], "nova");
}

#[tokio::test]
async fn services_are_listed_as_they_live() {
    let site = site().await;
    let hosts = async |query: &str| -> Vec<String> {
        let services = site.get(&format!("/v3/os-services{query}")).await.expect(200).json();
        let services = services["services"].as_array().unwrap().clone();
        services.iter().map(|service| service["host"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(hosts("").await, ["pumice", "pumice@directory", "pumice@far", "pumice@fast"]);
    assert_eq!(hosts("?host=pumice&binary=cinder-scheduler").await, ["pumice"]);
    assert_eq!(hosts("?host=pumice@fast").await, ["pumice@fast"]);
    assert_eq!(hosts("?host=pum").await, [""; 0]);
    let show = async |version: u16| {
        let services = site.volume("GET", "/v3/os-services?host=pumice@fast").version(version).send().await;
        let service = services.expect(200).json()["services"][0].clone();
        let keys: Vec<String> = service.as_object().unwrap().keys().cloned().collect();
        (keys.join(" "), service)
    };
    let (keys, service) = show(0).await;
    let expected = "binary host zone status state updated_at disabled_reason replication_status active_backend_id frozen";
    assert_eq!(keys, expected);
    assert_eq!((&service["state"], &service["status"]), (&json!("up"), &json!("enabled")));
    let (keys, service) = show(71).await;
    assert!(keys.contains("updated_at backend_state cluster disabled_reason"), "{keys}");
    assert_eq!(service["backend_state"], "up");
    site.pass(61);
    assert_eq!(show(71).await.1["state"], "down");
    site.report().await;
    assert_eq!(show(71).await.1["state"], "up");
}

#[tokio::test]
async fn a_disabled_service_gets_no_volumes_until_it_is_enabled() {
    let site = site().await;
    site.type_with("fast", json!({"volume_backend_name": "fast-label"})).await;
    let named = json!({"host": "pumice@fast", "binary": "cinder-volume"});
    let answer = site.put_to("/v3/os-services/disable", &named).send().await.expect(200);
    let expected =
        r#"{"host":"pumice@fast","service":"","binary":"cinder-volume","status":"disabled","disabled":true}"#;
    assert_eq!(answer.text(), expected);
    let lost = site.new_volume(json!({"size": 1, "volume_type": "fast"})).await;
    assert_eq!(site.host_of(&lost).await, None);
    // What it says of itself does not undo what was said of it.
    site.report().await;
    let hosts = site.get("/v3/os-hosts").await.expect(200).json();
    assert!(!hosts.to_string().contains("pumice@fast"), "{hosts}");
    let reason = json!({"host": "pumice@fast", "binary": "cinder-volume", "disabled_reason": "new disks"});
    let answer = site.put_to("/v3/os-services/disable-log-reason", &reason).send().await.expect(200).json();
    assert_eq!(answer["disabled_reason"], "new disks");
    site.put_to("/v3/os-services/enable", &named).send().await.expect(200);
    let found = site.new_volume(json!({"size": 1, "volume_type": "fast"})).await;
    assert_eq!(site.host_of(&found).await.as_deref(), Some(FAST));
}

#[tokio::test]
async fn services_that_are_not_there_are_refused_as_the_real_ones() {
    let site = site().await;
    let named = |host: &str, binary: &str| json!({"host": host, "binary": binary});
    let message = "Service cinder-volume could not be found on host invalid_host.";
    let answer = site.put_to("/v3/os-services/enable", &named("invalid_host", "cinder-volume")).send().await;
    refused(answer, 404, message);
    let message = "Service invalid_binary could not be found on host pumice@fast.";
    refused(
        site.put_to("/v3/os-services/disable", &named("pumice@fast", "invalid_binary")).send().await,
        404,
        message,
    );
    let message = "Invalid input received: Host field is missing.";
    let body = json!({"binary": "cinder-volume"});
    refused(site.put_to("/v3/os-services/enable", &body).send().await, 400, message);
    let message = "{'host': 'pumice@fast'} is not valid under any of the given schemas";
    let answer =
        site.put_to("/v3/os-services/enable", &json!({"host": "pumice@fast"})).send().await.expect(400);
    assert!(answer.text().contains(message), "{}", answer.text());
    let body = json!({"host": "pumice@fast", "binary": "cinder-volume", "disabled_reason": null});
    site.put_to("/v3/os-services/disable-log-reason", &body).send().await.expect(400);
    let body = json!({"host": "a b", "binary": "cinder-volume"});
    let message = r"Invalid input for field/attribute host. Value: a b. 'a b' does not match '^[a-zA-Z0-9-._#@:/+\\[\\]]*$'";
    refused(site.put_to("/v3/os-services/enable", &body).send().await, 400, message);
    for action in ["freeze", "thaw", "failover_host"] {
        let path = format!("/v3/os-services/{action}");
        let message = "Invalid input received: No service found with host=invalid_host";
        refused(site.put_to(&path, &json!({"host": "invalid_host"})).send().await, 400, message);
        let message = "Invalid input received: One and only one of cluster and host must be set.";
        refused(site.put_to(&path, &json!({})).send().await, 400, message);
        let message = "Services from different clusters found.";
        refused(site.put_to(&path, &json!({"host": "pumice"})).send().await, 400, message);
    }
    site.put_to("/v3/os-services/failover", &json!({"host": "pumice@fast"})).send().await.expect(404);
    let message = "Invalid input received: replication_status in ['pumice@fast'] must be ['enabled', 'failed-over'] and \
        must be up to failover.";
    refused(
        site.put_to("/v3/os-services/failover_host", &json!({"host": "pumice@fast"})).send().await,
        400,
        message,
    );
}

/// The levels of these modules, by service.
async fn levels(site: &Site, body: Value) -> Vec<(String, Value)> {
    let answer = site.put_to("/v3/os-services/get-log", &body).send().await.expect(200).json();
    let found = answer["log_levels"].as_array().unwrap().iter().map(|one| {
        let keys: Vec<_> = one.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["host", "binary", "levels"]);
        (
            format!("{} {}", one["host"].as_str().unwrap(), one["binary"].as_str().unwrap()),
            one["levels"].clone(),
        )
    });
    found.collect()
}

#[tokio::test]
async fn how_much_is_logged_is_asked_and_set() {
    let site = Site::with(|config| config.log.filter = "warn,pumice::http=debug".to_owned()).await;
    site.report().await;
    let set = async |body: Value| {
        let answer = site.put_to("/v3/os-services/set-log", &body).send().await.expect(202);
        assert_eq!(answer.text(), "");
    };
    let services = ["pumice cinder-api", "pumice cinder-scheduler", "pumice@directory cinder-volume"];
    for body in
        [json!({}), json!({"binary": "*", "server": null, "prefix": null}), json!({"server": "pumice"})]
    {
        let found = levels(&site, body).await;
        assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), services);
        assert_eq!(found[0].1["pumice::http"], "DEBUG");
        assert_eq!(found[1].1, json!({"pumice::scheduler": "WARNING"}));
        assert_eq!(found[2].1["pumice::jobs"], "WARNING");
    }
    set(json!({"binary": "cinder-volume", "prefix": "pumice::b", "level": "Debug"})).await;
    let found = levels(&site, json!({"binary": "cinder-volume", "prefix": "pumice::b"})).await;
    assert_eq!(found, [(services[2].to_owned(), json!({"pumice::block": "DEBUG"}))]);
    set(json!({"level": "ERROR", "server": "pumice@directory"})).await;
    let found = levels(&site, json!({"prefix": "pumice::"})).await;
    // The API is set whatever the server is, as in the real service.
    assert!(found[0].1.as_object().unwrap().values().all(|level| level == "ERROR"), "{found:?}");
    assert_eq!(found[1].1, json!({"pumice::scheduler": "WARNING"}));
    assert!(found[2].1.as_object().unwrap().values().all(|level| level == "ERROR"), "{found:?}");
    for nobody in [
        json!({"server": "elsewhere"}),
        json!({"binary": "cinder-backup"}),
        json!({"binary": "cinder-api", "server": "pumice@directory"}),
    ] {
        assert_eq!(levels(&site, nobody.clone()).await, [], "{nobody}");
        assert!(
            levels(&site, json!({"prefix": "cinder"})).await.iter().all(|(_, levels)| *levels == json!({}))
        );
    }
    // Nobody is heard of any more.
    site.pass(61);
    assert_eq!(levels(&site, json!({})).await.len(), 1);
    set(json!({"binary": "cinder-scheduler", "level": "DEBUG"})).await;
    site.report().await;
    let found = levels(&site, json!({"binary": "cinder-scheduler"})).await;
    assert_eq!(found[0].1, json!({"pumice::scheduler": "WARNING"}));
}

#[tokio::test]
async fn what_cannot_be_logged_is_refused_as_by_the_real_service() {
    let site = site().await;
    let invalid = |key: &str, text: &str, why: &str| {
        format!("Invalid input for field/attribute {key}. Value: {text}. {why}")
    };
    let no_level = |text: &str| format!("Invalid input received: {text} is not a valid log level.");
    let binaries = "'cinder-scheduler', 'cinder-volume', 'cinder-backup', 'cinder-api', '', '*'";
    let strange = format!("'nova-api' is not one of [{binaries}]");
    let long = "p".repeat(256);
    for (body, message) in [
        (json!({"binary": "nova-api"}), invalid("binary", "nova-api", &strange)),
        (json!({"binary": null}), invalid("binary", "None", "None is not of type 'string'")),
        (json!({"server": 5}), invalid("server", "5", "5 is not of type 'string', 'null'")),
        (json!({"prefix": []}), invalid("prefix", "[]", "[] is not of type 'string', 'null'")),
        (json!({"prefix": long}), invalid("prefix", &long, &format!("'{long}' is too long"))),
    ] {
        for (path, body) in [("get-log", body.clone()), ("set-log", body)] {
            refused(site.put_to(&format!("/v3/os-services/{path}"), &body).send().await, 400, &message);
        }
    }
    for (body, message) in [
        (json!({}), no_level("")),
        (json!({"level": null}), no_level("")),
        (json!({"level": "trace", "x": 1}), no_level("trace")),
        (json!({"level": 5}), invalid("level", "5", "5 is not of type 'string', 'null'")),
    ] {
        refused(site.put_to("/v3/os-services/set-log", &body).send().await, 400, &message);
    }
    for path in ["/v3/os-services/set-log", "/v3/os-services/get-log"] {
        let answer = site.put_to(path, &json!({"level": "info", "x": 1})).send().await.expect(400);
        assert!(answer.text().contains("Additional properties are not allowed"), "{}", answer.text());
        site.volume("PUT", path).version(31).json(&json!({"level": "info"})).send().await.expect(404);
    }
}

#[tokio::test]
async fn a_frozen_place_is_left_as_it_is() {
    let site = site().await;
    let id = site.available_volume(json!({"size": 1})).await;
    let snapshot = site.available_snapshot(&site.available_volume(json!({"size": 1})).await).await;
    site.type_with("nowhere", json!({"volume_backend_name": "no-such-label"})).await;
    let nowhere = id_of(&site.new_volume(json!({"size": 1, "volume_type": "nowhere"})).await);
    site.move_volume(&nowhere, &[VolumeStatus::Error]).await;
    let host = json!({"host": "pumice@directory"});
    let message = "Invalid input received: frozen in ['pumice@directory'] must be True to failover.";
    refused(site.put_to("/v3/os-services/thaw", &host).send().await, 400, message);
    site.put_to("/v3/os-services/freeze", &host).send().await.expect(200);
    let message =
        "Invalid input received: Modification operations are not allowed on frozen storage backends.";
    refused(site.volume("DELETE", &format!("/v3/volumes/{id}")).version(71).send().await, 400, message);
    refused(site.post("/v3/snapshots", json!({"snapshot": {"volume_id": id}})).await, 400, message);
    refused(act(&site, &id, json!({"os-force_delete": {}})).await, 400, message);
    let path = format!("/v3/snapshots/{snapshot}");
    refused(site.volume("DELETE", &path).send().await, 400, message);
    let forced = json!({"os-force_delete": {}});
    for action in [&forced, &json!({"os-unmanage": {}})] {
        refused(site.post(&format!("{path}/action"), action.clone()).await, 400, message);
    }
    // What lies nowhere lies in no frozen place.
    site.volume("DELETE", &format!("/v3/volumes/{nowhere}")).version(71).send().await.expect(202);
    let services = site.get("/v3/os-services?host=pumice@directory").await.expect(200).json();
    let service = &services["services"][0];
    assert_eq!((&service["frozen"], &service["disabled_reason"]), (&json!(true), &json!("frozen")));
    site.put_to("/v3/os-services/thaw", &host).send().await.expect(200);
    site.volume("DELETE", &format!("/v3/volumes/{id}")).version(71).send().await.expect(202);
    site.post(&format!("{path}/action"), forced.clone()).await.expect(202);
    // Frozen again, it goes on to be deleted, and nothing is to be done anew.
    site.put_to("/v3/os-services/freeze", &host).send().await.expect(200);
    site.post(&format!("{path}/action"), forced).await.expect(202);
}

#[tokio::test]
async fn hosts_say_what_lies_there() {
    let site = site().await;
    site.new_volume(json!({"size": 2})).await;
    site.new_volume(json!({"size": 3})).await;
    let hosts = site.get("/v3/os-hosts").await.expect(200).json();
    let hosts = hosts["hosts"].as_array().unwrap();
    assert_eq!(hosts.len(), 4);
    let keys: Vec<&String> = hosts[0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["host_name", "service", "zone", "service-status", "service-state", "last-update"]);
    let host = site.get("/v3/os-hosts/pumice@directory").await.expect(200).json();
    let expected = json!({"resource": {
        "host": "pumice@directory", "project": "(total)", "volume_count": "2", "total_volume_gb": "5",
        "snapshot_count": "0", "total_snapshot_gb": "0",
    }});
    assert_eq!((host["host"].as_array().unwrap().len(), &host["host"][0]), (2, &expected));
    let message = "Service cinder-volume could not be found on host nowhere.";
    refused(site.get("/v3/os-hosts/nowhere").await, 404, message);
}

#[tokio::test]
async fn pools_tell_of_their_room() {
    let site = site().await;
    let names = async |query: &str, version: u16| -> Vec<String> {
        let path = format!("/v3/scheduler-stats/get_pools{query}");
        let pools = site.volume("GET", &path).version(version).send().await.expect(200).json();
        let pools = pools["pools"].as_array().unwrap().clone();
        pools.iter().map(|pool| pool["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("", 0).await, [DIRECTORY, FAR, FAST]);
    assert_eq!(names("?name=pumice@fast%23fast-pool", 28).await, [FAST]);
    // Before 3.28 there are no filters.
    assert_eq!(names("?name=pumice@fast%23fast-pool", 27).await, [DIRECTORY, FAR, FAST]);
    let query = "?volume_backend_name=far-label&multiattach=true";
    assert_eq!(names(query, 30).await, [FAR]);
    let path = format!("/v3/scheduler-stats/get_pools{query}");
    let message = "Invalid filters volume_backend_name,multiattach are found in query options.";
    refused(site.volume("GET", &path).version(31).send().await, 400, message);
    assert_eq!(names("?name=pumice@fast%23fast-pool&all_tenants=1", 71).await, [FAST]);
    site.type_with("fast", json!({"volume_backend_name": "fast-label"})).await;
    assert_eq!(names("?volume_type=fast", 35).await, [FAST]);
    let detail = site.get("/v3/scheduler-stats/get_pools?detail=true").await.expect(200).json();
    let capabilities = &detail["pools"][2]["capabilities"];
    for (key, expected) in [
        ("volume_backend_name", json!("fast-label")),
        ("vendor_name", json!("Open Source")),
        ("storage_protocol", json!("file")),
        ("backend_state", json!("up")),
        ("qos_support", json!(false)),
        ("max_over_subscription_ratio", json!(20.0)),
        ("reserved_percentage", json!(0)),
    ] {
        assert_eq!(capabilities[key], expected, "{key}");
    }
    assert!(capabilities["total_capacity_gb"].as_f64() > Some(0.0), "{capabilities}");
}

#[tokio::test]
async fn capabilities_are_those_of_one_backend() {
    let site = site().await;
    for name in ["pumice@fast", "pumice@fast%23fast-pool"] {
        let found = site.get(&format!("/v3/capabilities/{name}")).await.expect(200).json();
        assert_eq!(found["namespace"], "OS::Storage::Capabilities::pumice@fast");
        assert_eq!(found["volume_backend_name"], "fast-label");
        assert_eq!(found["properties"]["qos"]["type"], "boolean");
    }
    refused(site.get("/v3/capabilities/elsewhere").await, 404, "Can't find service: elsewhere");
}

#[tokio::test]
async fn there_are_no_clusters() {
    let site = site().await;
    for path in ["/v3/clusters", "/v3/clusters/detail?is_up=true&frozen=false"] {
        assert_eq!(site.get(path).await.expect(200).json(), json!({"clusters": []}));
    }
    site.volume("GET", "/v3/clusters").version(6).send().await.expect(404);
    refused(
        site.get("/v3/clusters?colour=red").await,
        400,
        "Invalid input received: Invalid filter keys: colour",
    );
    let message = "Cluster {'binary': 'cinder-volume', 'name': 'c'} could not be found.";
    refused(site.get("/v3/clusters/c").await, 404, message);
    refused(site.put_to("/v3/clusters/enable", &json!({"name": "c"})).send().await, 404, message);
}

#[tokio::test]
async fn dead_services_are_named_for_cleanup() {
    let site = site().await;
    let cleaned = async |body: Value| site.post("/v3/workers/cleanup", body).await;
    assert_eq!(cleaned(json!({})).await.expect(202).json(), json!({"cleaning": [], "unavailable": []}));
    let up = cleaned(json!({"is_up": true, "binary": "cinder-scheduler"})).await.expect(202).json();
    assert_eq!(up["cleaning"][0]["host"], "pumice");
    site.pass(61);
    let down = cleaned(json!({"host": "pumice@fast"})).await.expect(202).json();
    assert_eq!((down["unavailable"].as_array().unwrap().len(), &down["cleaning"]), (1, &json!([])));
    let id = "00000000-0000-4000-8000-000000000042";
    let message = format!("Invalid input received: There is no resource with UUID {id} pending cleanup.");
    refused(cleaned(json!({"resource_id": id})).await, 400, &message);
    let message = "Invalid input received: Resource type Car not valid, must be Volume or Snapshot";
    refused(cleaned(json!({"resource_type": "Car"})).await, 400, message);
    site.volume("POST", "/v3/workers/cleanup").version(23).json(&json!({})).send().await.expect(404);
}

async fn act(site: &Site, id: &str, body: Value) -> Answer {
    site.post(&format!("/v3/volumes/{id}/action"), body).await
}

fn retype(new_type: &str, policy: &str) -> Value {
    json!({"os-retype": {"new_type": new_type, "migration_policy": policy}})
}

const NOT_RETYPED: &str = "Invalid volume: Retype needs volume to be in available or in-use state, not be part of an \
    active migration or a consistency group, requested type has to be different that the one from the volume, and for \
    in-use volumes front-end qos specs cannot change.";

#[tokio::test]
async fn a_retype_stays_in_place_or_moves_as_the_policy_says() {
    let site = site().await;
    site.type_with("plain", json!({})).await;
    site.type_with("fast", json!({"volume_backend_name": "fast-label"})).await;
    for (new_type, policy, host, nowhere) in [
        ("plain", "never", Some(DIRECTORY), None),
        ("fast", "never", None, Some("Retype requires migration but is not allowed.")),
        ("fast", "on-demand", Some(FAST), None),
    ] {
        let id = site.available_volume(json!({"size": 1})).await;
        act(&site, &id, retype(new_type, policy)).await.expect(202);
        let volume = site.get(&format!("/v3/volumes/{id}")).await.expect(200).json()["volume"].clone();
        let migration = if host == Some(FAST) { json!("starting") } else { Value::Null };
        assert_eq!((&volume["status"], &volume["migration_status"]), (&json!("retyping"), &migration));
        assert_eq!(volume["volume_type"], "__DEFAULT__");
        let (task, _) = site.tasks().await.pop().unwrap();
        let Task::RetypeVolume { from, to, .. } = task else { panic!("{task:?}") };
        assert_eq!(from, DIRECTORY);
        match to {
            Destination::Place { host: found, .. } => assert_eq!(Some(found.as_str()), host),
            Destination::Nowhere { why } => assert_eq!(Some(why.as_str()), nowhere),
        }
        refused(act(&site, &id, retype("plain", "never")).await, 400, NOT_RETYPED);
    }
}

#[tokio::test]
async fn a_retype_is_refused_as_the_real_one() {
    let site = site().await;
    site.type_with("shared", json!({"multiattach": "<is> True"})).await;
    site.type_with("plain", json!({})).await;
    let id = site.available_volume(json!({"size": 1})).await;
    let message = "Volume type with name nothing could not be found.";
    refused(act(&site, &id, retype("nothing", "never")).await, 404, message);
    refused(act(&site, &id, retype("__DEFAULT__", "never")).await, 400, NOT_RETYPED);
    act(&site, &id, retype("plain", "sometimes")).await.expect(400);
    act(&site, &id, json!({"os-retype": {}})).await.expect(400);
    site.move_volume(&id, &[VolumeStatus::InUse]).await;
    let message = "Invalid input received: Invalid volume_type passed, retypes affecting multiattach are only allowed \
        on available volumes, the specified volume however currently has a status of: in-use.";
    refused(act(&site, &id, retype("shared", "never")).await, 400, message);
    site.type_with("fast", json!({"volume_backend_name": "fast-label"})).await;
    act(&site, &id, retype("fast", "on-demand")).await.expect(501);
    act(&site, &id, retype("plain", "never")).await.expect(202);
    assert_eq!(site.volume_row(&id).await.previous_status, Some(VolumeStatus::InUse));
}

#[tokio::test]
async fn the_new_type_has_a_quota_of_its_own() {
    let site = site().await;
    site.type_with("rare", json!({})).await;
    let body = json!({"quota_set": {"volumes_rare": 1}});
    let project = site.app().config.identity.project_id.clone();
    site.put_to(&format!("/v3/os-quota-sets/{project}"), &body).send().await.expect(200);
    let first = site.available_volume(json!({"size": 1})).await;
    let second = site.available_volume(json!({"size": 1})).await;
    act(&site, &first, retype("rare", "never")).await.expect(202);
    let message =
        "VolumeLimitExceeded: Maximum number of volumes allowed (1) exceeded for quota 'volumes_rare'.";
    refused(act(&site, &second, retype("rare", "never")).await, 413, message);
    // Of all types together there is no more than before.
    let used = site.get(&format!("/v3/os-quota-sets/{project}?usage=true")).await.expect(200).json();
    assert_eq!(used["quota_set"]["volumes"]["in_use"], 2);
    assert_eq!(used["quota_set"]["volumes_rare"]["reserved"], 1);
}

#[tokio::test]
async fn a_migration_is_asked_for_and_seen() {
    let site = site().await;
    let id = site.available_volume(json!({"size": 1})).await;
    let migrate = |host: &str, lock: bool| json!({"os-migrate_volume": {"host": host, "lock_volume": lock}});
    let message = "Invalid host: No available service named 'nowhere@nothing#at-all'";
    refused(act(&site, &id, migrate("nowhere@nothing#at-all", false)).await, 400, message);
    let busy = format!(
        "Invalid volume: Volume {id} status must be available or in-use, must not be migrating, have snapshots, be \
         replicated, be part of a group and destination host/cluster must be different than the current one"
    );
    refused(act(&site, &id, migrate(DIRECTORY, false)).await, 400, &busy);
    let snapshot = site.available_snapshot(&id).await;
    refused(act(&site, &id, migrate(FAST, false)).await, 400, &busy);
    let mut repository = site.app().database.begin().await.unwrap();
    repository.remove_snapshot(&pumice::model::SnapshotId::parse(&snapshot).unwrap()).await.unwrap();
    repository.commit().await.unwrap();
    let message = "Invalid input received: One and only one of cluster and host must be set.";
    refused(act(&site, &id, json!({"os-migrate_volume": {}})).await, 400, message);
    act(&site, &id, migrate(FAST, true)).await.expect(202);
    let volume = site.get(&format!("/v3/volumes/{id}")).await.expect(200).json()["volume"].clone();
    assert_eq!((&volume["status"], &volume["migration_status"]), (&json!("maintenance"), &json!("starting")));
    assert_eq!(volume["os-vol-mig-status-attr:migstat"], "starting");
    let listed = site.get("/v3/volumes?migration_status=starting").await.expect(200).json();
    assert_eq!(listed["volumes"][0]["id"], id.as_str());
    let (task, _) = site.tasks().await.pop().unwrap();
    let Task::MigrateVolume { from, to, .. } = task else { panic!("{task:?}") };
    assert_eq!(
        (from.as_str(), to),
        (DIRECTORY, Destination::Place { host: FAST.into(), zone: "nova".into() })
    );
    refused(act(&site, &id, migrate(FAST, false)).await, 400, &busy);
    site.volume("DELETE", &format!("/v3/volumes/{id}")).version(71).send().await.expect(400);
}

#[tokio::test]
async fn what_is_attached_is_not_moved_and_what_migrates_is_left_alone() {
    let site = site().await;
    let attached = site.available_volume(json!({"size": 1})).await;
    site.move_volume(&attached, &[VolumeStatus::InUse]).await;
    act(&site, &attached, json!({"os-migrate_volume": {"host": FAST}})).await.expect(501);
    let id = site.available_volume(json!({"size": 1})).await;
    act(&site, &id, json!({"os-migrate_volume": {"host": FAST}})).await.expect(202);
    assert_eq!(site.volume_row(&id).await.status, VolumeStatus::Available);
    let message = "Invalid volume: Snapshot cannot be created while volume is migrating.";
    refused(site.post("/v3/snapshots", json!({"snapshot": {"volume_id": id}})).await, 400, message);
    let clone = json!({"volume": {"source_volid": id}});
    refused(
        site.post("/v3/volumes", clone).await,
        400,
        "Invalid volume: Originating source volume is migrating.",
    );
    let complete = |new: &str| json!({"os-migrate_volume_completion": {"new_volume": new}});
    let other = site.available_volume(json!({"size": 1})).await;
    let message = "Invalid volume: Destination volume not mid-migration.";
    refused(act(&site, &id, complete(&other)).await, 400, message);
    let answer = act(&site, &attached, complete(&other)).await.expect(200).json();
    assert_eq!(answer, json!({"save_volume_id": other}));
}

#[tokio::test]
async fn a_replicated_type_gets_a_place_that_mirrors() {
    let site = site().await;
    site.type_with("replicated", json!({"replication_enabled": "<is> True"})).await;
    let body = json!({"volume": {"size": 1, "volume_type": "replicated"}});
    let create = async || site.post("/v3/volumes", body.clone()).await.expect(202).json()["volume"].clone();
    let nowhere = create().await;
    assert_eq!(nowhere["replication_status"], Value::Null);
    assert_eq!(site.volume_row(nowhere["id"].as_str().unwrap()).await.host, None);
    let mut repository = site.app().database.begin().await.unwrap();
    let place = repository.service("pumice@fast", "cinder-volume").await.unwrap().unwrap();
    repository.see_service(&pumice::db::Service { mirrors: true, ..place }).await.unwrap();
    repository.commit().await.unwrap();
    let there = create().await;
    assert_eq!(site.volume_row(there["id"].as_str().unwrap()).await.host.as_deref(), Some(FAST));
    let detail = site.get("/v3/scheduler-stats/get_pools?detail=true").await.expect(200).json();
    let says = |pool: &Value| pool["capabilities"]["replication_enabled"].clone();
    let says: Vec<Value> = detail["pools"].as_array().unwrap().iter().map(says).collect();
    assert_eq!(says, [false, false, true]);
}

#[tokio::test]
async fn a_replicated_volume_is_a_source_and_does_not_move() {
    let site = site().await;
    site.type_with("fast", json!({"volume_backend_name": "fast-label"})).await;
    let id = site.available_volume(json!({"size": 2})).await;
    let body = json!({"volume": {"source_replica": &id}});
    let create = |minor| site.volume("POST", "/v3/volumes").version(minor).json(&body).send();
    let error = create(0).await.expect(400).json()["badRequest"].clone();
    assert_eq!(error["message"], format!("source volume id:{id} is not replicated"));
    let row = site.volume_row(&id).await;
    let mut repository = site.app().database.begin().await.unwrap();
    let status = Some(pumice::model::ReplicationStatus::Enabled);
    repository.set_replication_status(&row.id, status).await.unwrap();
    repository.commit().await.unwrap();
    let shown = site.get(&format!("/v3/volumes/{id}")).await.expect(200).json()["volume"].clone();
    assert_eq!(shown["replication_status"], "enabled");
    let copy = create(52).await.expect(202).json()["volume"].clone();
    assert_eq!((&copy["source_volid"], &copy["size"]), (&json!(id), &json!(2)));
    // Strict bodies do not have it.
    create(53).await.expect(400);
    let two = json!({"volume": {"source_replica": &id, "source_volid": &id}});
    site.volume("POST", "/v3/volumes").json(&two).send().await.expect(400);
    let none = json!({"volume": {"source_replica": "00000000-0000-0000-0000-00000000dead"}});
    site.volume("POST", "/v3/volumes").json(&none).send().await.expect(404);
    act(&site, &id, json!({"os-migrate_volume": {"host": FAST}})).await.expect(400);
    act(&site, &id, retype("fast", "on-demand")).await.expect(202);
    let (task, _) = site.tasks().await.pop().unwrap();
    let Task::RetypeVolume { to: Destination::Nowhere { why }, .. } = task else { panic!("{task:?}") };
    assert_eq!(why, "Volume must not be replicated.");
}
