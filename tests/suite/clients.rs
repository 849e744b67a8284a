//! The OpenStack clients as users have them: `openstack`, `glance` and `cinder` from PyPI, against the real binary.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reqwest::Method;
use serde_json::{Value, json};

use crate::house::store::ceph_conf;
use crate::house::{DatabaseKind, StoreKind};
use crate::process::pools::{Pools, run};
use crate::process::{PATIENCE, Place, Server};
use crate::support::regions::{self, Keystone};

/// Where `make test` installed them.
fn client(name: &str) -> Command {
    let folder = std::env::var_os("PUMICE_TEST_CLIENTS")
        .expect("PUMICE_TEST_CLIENTS names no folder with the clients: run the tests with `make test`");
    Command::new(PathBuf::from(folder).join(name))
}

async fn answer(mut command: Command, server: &Server) -> String {
    let output = tokio::task::spawn_blocking(move || (command.output().unwrap(), command)).await.unwrap();
    let (output, command) = output;
    assert!(
        output.status.success(),
        "{command:?}\n{}\n{}\nThe service says:\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        server.log()
    );
    String::from_utf8(output.stdout).unwrap()
}

/// `openstack`, without authentication, at one of the APIs.
async fn openstack(server: &Server, api: &str, arguments: &[&str]) -> Value {
    let mut command = client("openstack");
    command.args(["--os-auth-type", "none", "--os-endpoint", &format!("{}{api}", server.url)]);
    command.args(["--os-volume-api-version", "3.71"]).args(arguments);
    let silent = ["delete", "set"];
    let lists_or_shows = !silent.iter().any(|verb| arguments.contains(verb));
    if lists_or_shows {
        command.args(["-f", "json"]);
    }
    let text = answer(command, server).await;
    if lists_or_shows { serde_json::from_str(&text).unwrap() } else { Value::Null }
}

async fn glance(server: &Server, arguments: &[&str]) -> String {
    glance_reading(server, arguments, Stdio::null()).await
}

async fn glance_reading(server: &Server, arguments: &[&str], input: Stdio) -> String {
    let mut command = client("glance");
    command.stdin(input);
    command.args(["--os-auth-url", &server.url, "--os-auth-token", "none"]);
    command.args(["--os-image-url", &format!("{}/image", server.url)]).args(arguments);
    answer(command, server).await
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no text {key:?} in {value}"))
}

/// A new image without bytes. The clients send what they are given on their standard input, and be it nothing.
async fn queued(server: &Server) -> String {
    let body = json!({"disk_format": "raw", "container_format": "bare"});
    let (_, made) = server.send(Method::POST, "/image/v2/images", Some(body)).await;
    text(&made, "id").to_owned()
}

fn write_disk(path: &Path) -> Vec<u8> {
    let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    std::fs::write(path, &bytes).unwrap();
    bytes
}

async fn cinder(server: &Server, project: &str, arguments: &[&str]) -> String {
    let mut command = client("cinder");
    command.args(["--os-auth-type", "noauth", "--os-user-id", "u", "--os-project-id", project]);
    command.args(["--os-endpoint", &format!("{}/volume/v3", server.url)]);
    command.args(["--os-volume-api-version", "3.66"]).args(arguments);
    answer(command, server).await
}

/// The words of the row of a table that begins with this one.
fn row<'a>(table: &'a str, first: &str) -> Vec<&'a str> {
    let rows = table.lines().map(|line| line.split('|').map(str::trim).skip(1).collect::<Vec<_>>());
    let mut rows = rows.filter(|row| row.first() == Some(&first));
    rows.next().unwrap_or_else(|| panic!("no row {first} in\n{table}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_with_cinder() {
    let place = Place::new(StoreKind::Directory, DatabaseKind::Sqlite).await;
    let server = place.start();
    let project = pumice::config::Config::default().identity.project_id;
    let run = async |arguments: &[&str]| cinder(&server, &project, arguments).await;
    run(&["quota-update", "--volumes", "3", "--volume-type", "__DEFAULT__", &project]).await;
    run(&["quota-update", "--volumes", "2", &project]).await;
    run(&["create", "1"]).await;
    let usage = run(&["quota-usage", &project]).await;
    assert_eq!(row(&usage, "volumes")[..4], ["volumes", "1", "0", "2"]);
    assert_eq!(row(&usage, "volumes___DEFAULT__")[..4], ["volumes___DEFAULT__", "1", "0", "3"]);
    let limits = run(&["absolute-limits"]).await;
    assert_eq!(row(&limits, "maxTotalVolumes")[1], "2");
    assert_eq!(row(&limits, "totalGigabytesUsed")[1], "1");
    run(&["quota-class-update", "--snapshots", "4", "default"]).await;
    assert_eq!(row(&run(&["quota-defaults", &project]).await, "snapshots")[1], "4");
    run(&["quota-delete", &project]).await;
    assert_eq!(row(&run(&["quota-show", &project]).await, "volumes")[1], "10000");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_and_what_is_made_of_it() {
    let place = Place::new(StoreKind::Directory, DatabaseKind::Sqlite).await;
    let server = place.start();
    let disk = place.folder.path().join("disk.img");
    let bytes = write_disk(&disk);
    let disk = disk.display().to_string();

    let formats = ["--disk-format", "raw", "--container-format", "bare"];
    glance(&server, &[&["image-create", "--name", "greeting", "--file", &disk], &formats[..]].concat()).await;
    let images = openstack(&server, "/image", &["image", "list"]).await;
    assert_eq!(text(&images[0], "Status"), "active");
    let image = text(&images[0], "ID").to_owned();
    openstack(&server, "/image", &["image", "set", "--property", "os_type=linux", "--tag", "t", &image])
        .await;
    let shown = openstack(&server, "/image", &["image", "show", &image]).await;
    assert_eq!(shown["properties"]["os_type"], "linux");
    let saved = place.folder.path().join("saved.img").display().to_string();
    glance(&server, &["image-download", "--file", &saved, &image]).await;
    assert_eq!(std::fs::read(&saved).unwrap(), bytes);

    let api = "/volume/v3";
    let volume = openstack(&server, api, &["volume", "create", "--size", "1", "empty"]).await;
    let volume = text(&volume, "id").to_owned();
    server.settle().await;
    let snapshot =
        openstack(&server, api, &["volume", "snapshot", "create", "--volume", &volume, "snap"]).await;
    let snapshot = text(&snapshot, "id").to_owned();
    server.settle().await;
    let made = openstack(&server, api, &["volume", "create", "--snapshot", &snapshot, "from-snapshot"]).await;
    server.settle().await;
    openstack(&server, api, &["volume", "set", "--size", "2", text(&made, "id")]).await;
    server.settle().await;
    let cloned = openstack(&server, api, &["volume", "create", "--source", &volume, "clone"]).await;
    server.settle().await;
    let listed = openstack(&server, api, &["volume", "list", "--long"]).await;
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), 3);
    assert!(listed.iter().all(|volume| text(volume, "Status") == "available"), "{listed:?}");
    assert!(listed.iter().any(|volume| volume["Size"] == 2), "{listed:?}");

    openstack(&server, api, &["volume", "snapshot", "delete", &snapshot]).await;
    server.settle().await;
    openstack(&server, api, &["volume", "delete", &volume, text(&made, "id"), text(&cloned, "id")]).await;
    server.settle().await;
    openstack(&server, "/image", &["image", "delete", &image]).await;
    place.assert_empty(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_becomes_an_image_and_is_reimaged_with_cinder() {
    let place = Place::new(StoreKind::Directory, DatabaseKind::Sqlite).await;
    let server = place.start();
    let project = pumice::config::Config::default().identity.project_id;
    let run = async |arguments: &[&str]| cinder(&server, &project, arguments).await;
    let made = run(&["create", "1"]).await;
    let volume = row(&made, "id")[1];
    server.settle().await;
    let said = run(&["upload-to-image", "--visibility", "private", volume, "i"]).await;
    assert_eq!(row(&said, "status")[1], "uploading");
    let image = row(&said, "image_id")[1].to_owned();
    server.settle().await;
    assert_eq!(text(&openstack(&server, "/image", &["image", "show", &image]).await, "status"), "active");
    run(&["--os-volume-api-version", "3.68", "reimage", volume, &image]).await;
    server.settle().await;
    assert_eq!(row(&run(&["show", volume]).await, "status")[1], "available");
    run(&["delete", volume]).await;
    server.settle().await;
    openstack(&server, "/image", &["image", "delete", &image]).await;
    place.assert_empty(server).await;
}

/// A command of `openstack` that prints nothing.
async fn quiet(server: &Server, arguments: &[&str]) {
    let mut command = client("openstack");
    let endpoint = format!("{}/volume/v3", server.url);
    command.args(["--os-auth-type", "none", "--os-endpoint", &endpoint, "--os-volume-api-version", "3.71"]);
    command.args(arguments);
    answer(command, server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn volume_types_and_qos_specs() {
    let place = Place::new(StoreKind::Directory, DatabaseKind::Sqlite).await;
    let server = place.start();
    let api = "/volume/v3";
    let create = ["volume", "type", "create", "--property", "a=b", "--description", "fast ones"];
    let encryption = ["--encryption-provider", "luks", "--encryption-key-size", "256"];
    let location = ["--encryption-control-location", "front-end"];
    let made = [&create[..], &encryption[..], &location[..], &["fast"]].concat();
    let made = openstack(&server, api, &made).await;
    let id = text(&made, "id").to_owned();
    quiet(&server, &["volume", "type", "set", "--multiattach", "--property", "c=d", "fast"]).await;
    quiet(&server, &["volume", "type", "unset", "--property", "a", "--encryption-type", "fast"]).await;
    let shown = openstack(&server, api, &["volume", "type", "show", "fast"]).await;
    assert_eq!(shown["properties"], serde_json::json!({"c": "d", "multiattach": "<is> True"}));
    assert_eq!(text(&shown, "description"), "fast ones");

    let create =
        ["volume", "qos", "create", "--consumer", "both", "--property", "total_iops_sec=500", "gold"];
    openstack(&server, api, &create).await;
    quiet(&server, &["volume", "qos", "set", "--property", "total_bytes_sec=1000", "gold"]).await;
    quiet(&server, &["volume", "qos", "unset", "--property", "total_iops_sec", "gold"]).await;
    quiet(&server, &["volume", "qos", "associate", "gold", "fast"]).await;
    let listed = openstack(&server, api, &["volume", "qos", "list"]).await;
    assert_eq!(listed[0]["Properties"], serde_json::json!({"total_bytes_sec": "1000"}));
    assert_eq!(listed[0]["Associations"], serde_json::json!(["fast"]));
    quiet(&server, &["volume", "qos", "disassociate", "--all", "gold"]).await;
    quiet(&server, &["volume", "qos", "delete", "gold"]).await;

    let volume = openstack(&server, api, &["volume", "create", "--size", "1", "--type", "fast", "v"]).await;
    server.settle().await;
    let shown = openstack(&server, api, &["volume", "show", text(&volume, "id")]).await;
    assert_eq!((&shown["type"], &shown["multiattach"]), (&"fast".into(), &true.into()));
    quiet(&server, &["volume", "delete", text(&volume, "id")]).await;
    server.settle().await;
    quiet(&server, &["volume", "type", "delete", &id]).await;
    let listed = openstack(&server, api, &["volume", "type", "list"]).await;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    place.assert_empty(server).await;
}

/// A command of `cinder` in the version that knows it, as the project that the service takes everybody for.
async fn cinder_at(server: &Server, version: &str, arguments: &[&str]) -> String {
    let project = pumice::config::Config::default().identity.project_id;
    let mut command = client("cinder");
    command.args(["--os-auth-type", "noauth", "--os-user-id", "u", "--os-project-id", &project]);
    command.args(["--os-endpoint", &format!("{}/volume/v3", server.url)]);
    command.args(["--os-volume-api-version", version]).args(arguments);
    answer(command, server).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_with_volumes_besides() {
    let place = Place::new(StoreKind::Directory, DatabaseKind::Sqlite).await;
    let server = place.start();
    let api = "/volume/v3";
    let volume = openstack(&server, api, &["volume", "create", "--size", "1", "v"]).await;
    let volume = text(&volume, "id").to_owned();
    server.settle().await;
    let snapshot = openstack(&server, api, &["volume", "snapshot", "create", "--volume", &volume, "s"]).await;
    let snapshot = text(&snapshot, "id").to_owned();
    server.settle().await;

    quiet(&server, &["volume", "set", "--image-property", "os_type=linux", &volume]).await;
    quiet(&server, &["volume", "set", "--image-property", "os_distro=debian", &volume]).await;
    quiet(&server, &["volume", "unset", "--image-property", "os_type", &volume]).await;
    let shown = openstack(&server, api, &["volume", "show", &volume]).await;
    assert_eq!(shown["volume_image_metadata"], serde_json::json!({"os_distro": "debian"}));

    quiet(&server, &["volume", "revert", &snapshot]).await;
    server.settle().await;
    quiet(&server, &["volume", "snapshot", "set", "--state", "error", &snapshot]).await;
    let shown = openstack(&server, api, &["volume", "snapshot", "show", &snapshot]).await;
    assert_eq!(text(&shown, "status"), "error");
    quiet(&server, &["volume", "set", "--state", "error", &volume]).await;
    let shown = openstack(&server, api, &["volume", "show", &volume]).await;
    assert_eq!(text(&shown, "status"), "error");
    quiet(&server, &["volume", "set", "--state", "available", &volume]).await;
    quiet(&server, &["volume", "snapshot", "delete", "--force", &snapshot]).await;
    server.settle().await;

    let request = ["volume", "transfer", "request", "create", "--name", "t", &volume];
    let offered = openstack(&server, api, &request).await;
    let (transfer, key) = (text(&offered, "id").to_owned(), text(&offered, "auth_key").to_owned());
    let listed = openstack(&server, api, &["volume", "transfer", "request", "list"]).await;
    assert_eq!(text(&listed[0], "Name"), "t");
    quiet(&server, &["volume", "transfer", "request", "delete", &transfer]).await;
    let offered = openstack(&server, api, &request).await;
    assert_ne!(text(&offered, "auth_key"), key);
    let (transfer, key) = (text(&offered, "id"), text(&offered, "auth_key"));
    let accept = ["volume", "transfer", "request", "accept", "--auth-key", key, transfer];
    openstack(&server, api, &accept).await;
    let shown = openstack(&server, api, &["volume", "show", &volume]).await;
    assert_eq!(text(&shown, "status"), "available");

    let filters = cinder_at(&server, "3.71", &["list-filters", "--resource", "snapshot"]).await;
    assert!(row(&filters, "snapshot")[1].contains("volume_id"), "{filters}");
    assert_eq!(openstack(&server, api, &["volume", "message", "list"]).await, serde_json::json!([]));

    let named = ["--binary", "cinder-volume", "--prefix", "pumice::jobs"];
    cinder_at(&server, "3.32", &[&["service-set-log"][..], &named, &["debug"]].concat()).await;
    let levels = cinder_at(&server, "3.32", &[&["service-get-log"][..], &named].concat()).await;
    assert_eq!(
        row(&levels, "cinder-volume"),
        ["cinder-volume", "pumice@directory", "pumice::jobs", "DEBUG", ""]
    );

    cinder_at(&server, "3.71", &["unmanage", &volume]).await;
    server.settle().await;
    let host = "pumice@directory";
    let name = format!("volume-{volume}");
    let listed = cinder_at(&server, "3.71", &["manageable-list", "--detailed", "True", host]).await;
    assert!(listed.contains(&name) && listed.contains("True"), "{listed}");
    cinder_at(&server, "3.71", &["manage", "--id-type", "source-name", "--name", "again", host, &name]).await;
    server.settle().await;
    let listed = openstack(&server, api, &["volume", "list"]).await;
    assert_eq!((text(&listed[0], "Name"), text(&listed[0], "Status")), ("again", "available"));
    quiet(&server, &["volume", "delete", "--force", text(&listed[0], "ID")]).await;
    server.settle().await;
    place.assert_empty(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_staged_and_imported() {
    let place = Place::new(StoreKind::Directory, DatabaseKind::Sqlite).await;
    let server = place.start();
    let disk = place.folder.path().join("disk.img");
    let bytes = write_disk(&disk);
    let disk = disk.display().to_string();

    let formats = ["--disk-format", "raw", "--container-format", "bare"];
    let create = [&["image-create-via-import", "--import-method", "glance-direct"], &formats[..]].concat();
    // It takes its bytes for whatever is no terminal, also beside `--file`.
    glance_reading(&server, &create, File::open(&disk).unwrap().into()).await;
    server.settle().await;
    let images = openstack(&server, "/image", &["image", "list"]).await;
    assert_eq!(text(&images[0], "Status"), "active");
    let first = text(&images[0], "ID").to_owned();
    let saved = place.folder.path().join("saved.img").display().to_string();
    glance(&server, &["image-download", "--file", &saved, &first]).await;
    assert_eq!(std::fs::read(&saved).unwrap(), bytes);

    let methods = openstack(&server, "/image", &["image", "import", "info"]).await;
    assert_eq!(methods["import-methods"], serde_json::json!(["glance-direct", "web-download"]));
    let create = [&["image", "create", "--import"], &formats[..], &["--file", &disk, "second"]].concat();
    let second = openstack(&server, "/image", &create).await;
    server.settle().await;
    let second = text(&second, "id").to_owned();
    let shown = openstack(&server, "/image", &["image", "show", &second]).await;
    assert_eq!((&shown["status"], &shown["size"]), (&"active".into(), &3_000_000.into()));

    openstack(&server, "/image", &["image", "delete", &first, &second]).await;
    place.assert_empty(server).await;
}

/// Two services that believe one Keystone: what one has on the cluster, the other one takes into its directory, and back.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_another_region_with_glance() {
    let keystone = Keystone::play().await;
    let options = keystone.options();
    let options: Vec<_> = options.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut running = Vec::new();
    for (region, store) in [("one", StoreKind::RbdV2), ("two", StoreKind::Directory)] {
        let place = Place::new(store, DatabaseKind::Sqlite).await;
        let mut server = place.start_with(&options);
        server.token = Some(regions::TOKEN.to_owned());
        keystone.knows(region, "public", &format!("{}/image", server.url));
        running.push((region, place, server));
    }
    let bytes: Vec<u8> = (0..20_000_000u32).map(|i| (i % 251) as u8).collect();
    let (region, _, server) = &running[0];
    let mut known = (*region, queued(server).await);
    assert_eq!(server.try_upload(&known.1, bytes.clone()).await.unwrap(), 204);
    for (here, _, server) in running.iter().rev() {
        let (region, image) = known;
        let copy = queued(server).await;
        let method = ["--import-method", "glance-download", "--remote-region", region];
        let import = [&["image-import"], &method[..], &["--remote-image-id", &image, &copy]].concat();
        let mut command = client("glance");
        command.stdin(Stdio::null()).args(["--os-auth-token", regions::TOKEN]);
        command.args(["--os-auth-url", &keystone.url, "--os-image-url", &format!("{}/image", server.url)]);
        command.args(import);
        answer(command, server).await;
        server.settle().await;
        assert_eq!(server.get(&format!("/image/v2/images/{copy}")).await["status"], "active");
        assert!(server.download(&copy).await == bytes);
        known = (*here, copy);
    }
    for (_, _, server) in running {
        server.stop();
    }
}

/// Attachments as `cinder` makes them, and as `openstack` sees them, on the real cluster.
#[tokio::test(flavor = "multi_thread")]
async fn a_volume_is_attached_with_cinder() {
    const SERVER: &str = "83ec2e3b-4321-422b-8706-a84185f52a0a";
    let place = Place::new(StoreKind::RbdV2, DatabaseKind::Sqlite).await;
    let server = place.start();
    let project = pumice::config::Config::default().identity.project_id;
    let run = async |arguments: &[&str]| cinder(&server, &project, arguments).await;
    let volumes = async |arguments: &[&str]| openstack(&server, "/volume/v3", arguments).await;
    let volume = volumes(&["volume", "create", "--size", "1", "v"]).await;
    let volume = text(&volume, "id").to_owned();
    server.settle().await;
    volumes(&["volume", "set", "--bootable", "--read-write", &volume]).await;
    let shown = volumes(&["volume", "show", &volume]).await;
    assert_eq!((&shown["bootable"], &shown["properties"]["readonly"]), (&Value::Bool(true), &"False".into()));

    let made = run(&["attachment-create", "--mode", "rw", &volume, SERVER]).await;
    let id = row(&made, "id")[1].to_owned();
    assert_eq!(row(&made, "status")[1], "reserved");
    let told = run(&["attachment-update", "--host", "compute-1", "--mountpoint", "/dev/vdb", &id]).await;
    let name = format!("{}/volume-{volume}", place.pools.volumes);
    assert_eq!((row(&told, "name")[1], row(&told, "driver_volume_type")[1]), (name.as_str(), "rbd"));
    run(&["attachment-complete", &id]).await;
    let attached = volumes(&["volume", "show", &volume]).await;
    assert_eq!(
        (text(&attached, "status"), text(&attached["attachments"][0], "server_id")),
        ("in-use", SERVER)
    );
    let list = volumes(&["volume", "attachment", "list"]).await;
    assert_eq!((text(&list[0], "ID"), text(&list[0], "Status")), (id.as_str(), "attached"));
    let one = volumes(&["volume", "attachment", "show", &id]).await;
    assert_eq!(text(&one["Properties"], "access_mode"), "rw");
    run(&["attachment-delete", &id]).await;
    let shown = volumes(&["volume", "show", &volume]).await;
    assert_eq!((text(&shown, "status"), &shown["attachments"]), ("available", &Value::Array(Vec::new())));
    volumes(&["volume", "delete", &volume]).await;
    server.settle().await;
    place.assert_empty(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_of_what_lies_on_web_servers() {
    let routes = axum::Router::new().route("/disk.img", axum::routing::get(async || "0123456789"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/disk.img", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let place = Place::new(StoreKind::Directory, DatabaseKind::Sqlite).await;
    let server = place.start_with(&[
        ("PUMICE_IMAGE_STORES__WEB__STORE", "http"),
        ("PUMICE_IMPORT_FILTERING_OPTS__ALLOWED_HOSTS", "[\"127.0.0.1\"]"),
        ("PUMICE_IMPORT_FILTERING_OPTS__ALLOWED_PORTS", "[]"),
    ]);

    // The bytes stay there.
    let image = &queued(&server).await;
    glance(&server, &["add-location", "--url", &url, image]).await;
    server.settle().await;
    let shown = openstack(&server, "/image", &["image", "show", image]).await;
    assert_eq!((&shown["status"], &shown["properties"]["stores"]), (&"active".into(), &"web".into()));
    let saved = place.folder.path().join("saved.img").display().to_string();
    glance(&server, &["image-download", "--file", &saved, image]).await;
    assert_eq!(std::fs::read(&saved).unwrap(), b"0123456789");
    openstack(&server, "/image", &["image", "delete", image]).await;

    // The old way to bring them here.
    let properties = r#"{"disk_format": "raw", "container_format": "bare"}"#;
    let input = format!(
        r#"{{"import_from": "{url}", "import_from_format": "raw", "image_properties": {properties}}}"#
    );
    glance(&server, &["task-create", "--type", "import", "--input", &input]).await;
    server.settle().await;
    let images = openstack(&server, "/image", &["image", "list"]).await;
    assert_eq!(text(&images[0], "Status"), "active");
    openstack(&server, "/image", &["image", "delete", text(&images[0], "ID")]).await;
    place.assert_empty(server).await;
}

/// As Nova makes an image of a server: it clones the disk into the pool of images itself, and tells where it is.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_what_was_cloned_by_others() {
    let place = Place::new(StoreKind::RbdV2, DatabaseKind::Sqlite).await;
    let server = place.start_with(&[("PUMICE_IMAGES__SHOW_MULTIPLE_LOCATIONS", "true")]);
    let volumes = async |arguments: &[&str]| openstack(&server, "/volume/v3", arguments).await;
    let made = volumes(&["volume", "create", "--size", "1", "v"]).await;
    let volume = text(&made, "id").to_owned();
    server.settle().await;
    let fsid = run("ceph", &["fsid"]).trim().to_owned();
    let cloned = |image: &str| {
        let (disk, clone) =
            (format!("{}/volume-{volume}", place.pools.volumes), format!("{}/{image}", place.pools.images));
        let rbd = |arguments: &[&str]| drop(run("rbd", arguments));
        rbd(&["snap", "create", &format!("{disk}@nova")]);
        rbd(&["clone", "--rbd-default-clone-format", "2", &format!("{disk}@nova"), &clone]);
        rbd(&["flatten", "--no-progress", &clone]);
        rbd(&["snap", "rm", "--no-progress", &format!("{disk}@nova")]);
        rbd(&["snap", "create", "--no-progress", &format!("{clone}@snap")]);
        rbd(&["snap", "protect", &format!("{clone}@snap")]);
        format!("rbd://{fsid}/{clone}/snap")
    };
    let image = queued(&server).await;
    let url = cloned(&image);
    glance(&server, &["location-add", "--url", &url, "--metadata", r#"{"zone": "a"}"#, &image]).await;
    let shown = openstack(&server, "/image", &["image", "show", &image]).await;
    assert_eq!((text(&shown, "status"), &shown["size"]), ("active", &Value::from(1 << 30)));
    let told = &shown["properties"]["locations"][0];
    assert_eq!((text(told, "url"), text(&told["metadata"], "zone")), (url.as_str(), "a"));
    glance(&server, &["location-update", "--url", &url, "--metadata", r#"{"zone": "b"}"#, &image]).await;
    let shown = openstack(&server, "/image", &["image", "show", &image]).await;
    assert_eq!(text(&shown["properties"]["locations"][0]["metadata"], "zone"), "b");

    let project = pumice::config::Config::default().identity.project_id;
    let made = cinder(&server, &project, &["create", "--image-id", &image, "1"]).await;
    let other = row(&made, "id")[1].to_owned();
    server.settle().await;
    assert_eq!(text(&volumes(&["volume", "show", &other]).await, "status"), "available");
    volumes(&["volume", "delete", &other]).await;

    // The newer way, which reads the bytes for their digests.
    let second = queued(&server).await;
    glance(&server, &["add-location", "--url", &cloned(&second), &second]).await;
    server.settle().await;
    let shown = openstack(&server, "/image", &["image", "show", &second]).await;
    assert_eq!((text(&shown, "status"), &shown["size"]), ("active", &Value::from(1 << 30)));
    assert_eq!(text(&shown, "checksum"), "cd573cfaace07e7949bc0c46028904ff");
    volumes(&["volume", "delete", &volume]).await;
    server.settle().await;
    openstack(&server, "/image", &["image", "delete", &image, &second]).await;
    place.assert_empty(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_in_several_stores() {
    let place = Place::new(StoreKind::Directory, DatabaseKind::Sqlite).await;
    let folder = place.folder.path().join("second").display().to_string();
    let server = place.start_with(&[("PUMICE_IMAGE_STORES__SECOND__DIRECTORY", &folder)]);
    let disk = place.folder.path().join("disk.img");
    write_disk(&disk);
    let stores = glance(&server, &["stores-info"]).await;
    assert!(stores.contains(r#""id": "default""#) && stores.contains(r#""id": "second""#), "{stores}");

    let formats = ["--disk-format", "raw", "--container-format", "bare"];
    let import = ["image-create-via-import", "--import-method", "glance-direct", "--all-stores", "True"];
    let import = [&import[..], &formats[..]].concat();
    glance_reading(&server, &import, File::open(&disk).unwrap().into()).await;
    server.settle().await;
    let images = openstack(&server, "/image", &["image", "list", "--long"]).await;
    let image = text(&images[0], "ID").to_owned();
    let stores = async || {
        let shown = openstack(&server, "/image", &["image", "show", &image]).await;
        shown["properties"]["stores"].clone()
    };
    assert_eq!(stores().await, "default,second");
    openstack(&server, "/image", &["image", "delete", "--store", "default", &image]).await;
    assert_eq!(stores().await, "second");
    let copy = ["image", "import", &image, "--method", "copy-image", "--store", "default"];
    openstack(&server, "/image", &copy).await;
    server.settle().await;
    assert_eq!(stores().await, "second,default");
    glance(&server, &["stores-delete", "--store", "second", &image]).await;
    assert_eq!(stores().await, "default");
    openstack(&server, "/image", &["image", "delete", &image]).await;
    place.assert_empty(server).await;
}

/// Two pools and a directory: types are bound to them by name, and volumes move between them.
#[tokio::test(flavor = "multi_thread")]
async fn volumes_in_several_places() {
    let mut place = Place::new(StoreKind::RbdV2, DatabaseKind::Sqlite).await;
    let more = Pools::make(StoreKind::RbdV2);
    place.options.extend([
        ("PUMICE_VOLUMES__VOLUME_BACKEND_NAME", "first".to_owned()),
        ("PUMICE_BACKENDS__SECOND__STORE", "rbd".to_owned()),
        ("PUMICE_BACKENDS__SECOND__RBD_POOL", more.volumes.clone()),
        ("PUMICE_BACKENDS__SECOND__RBD_CEPH_CONF", ceph_conf().display().to_string()),
        ("PUMICE_BACKENDS__SHELF__STORE", "directory".to_owned()),
        ("PUMICE_BACKENDS__SHELF__DIRECTORY", place.directory().display().to_string()),
    ]);
    let server = place.start();
    let api = "/volume/v3";
    let project = pumice::config::Config::default().identity.project_id;
    let hosts = [
        format!("pumice@first#{}", place.pools.volumes),
        format!("pumice@second#{}", more.volumes),
        "pumice@shelf#rbd".to_owned(),
    ];
    let host_of = async |volume: &str| {
        let shown = openstack(&server, api, &["volume", "show", volume]).await;
        assert_eq!(shown["status"], "available", "{shown}");
        (text(&shown, "os-vol-host-attr:host").to_owned(), text(&shown, "type").to_owned())
    };

    // Each says that it is there as soon as it has looked at its store.
    let all_up = async || loop {
        let services = openstack(&server, api, &["volume", "service", "list"]).await;
        let is_up = |name: &str| {
            let mut rows = services.as_array().unwrap().iter();
            rows.any(|row| row["Host"] == format!("pumice@{name}") && row["State"] == "up")
        };
        if ["first", "second", "shelf"].iter().all(|name| is_up(name)) {
            return;
        }
    };
    tokio::time::timeout(PATIENCE, all_up()).await.expect("not all services say that they are there");
    let pools = cinder(&server, &project, &["get-pools", "--detail"]).await;
    let names = pools.lines().filter(|line| line.contains("| name ")).collect::<Vec<_>>();
    for host in &hosts {
        assert!(names.iter().any(|line| line.contains(host.as_str())), "no {host} in\n{pools}");
    }

    for (name, host) in ["first", "second", "shelf"].iter().zip(&hosts) {
        let property = format!("volume_backend_name={name}");
        openstack(&server, api, &["volume", "type", "create", "--property", &property, name]).await;
        openstack(&server, api, &["volume", "create", "--size", "1", "--type", name, name]).await;
        server.settle().await;
        assert_eq!(host_of(name).await, (host.clone(), (*name).to_owned()));
    }
    // Where a type allows no other place, only a retype moves it.
    cinder(&server, &project, &["retype", "--migration-policy", "on-demand", "first", "second"]).await;
    let policy = ["--migration-policy", "on-demand"];
    openstack(&server, api, &[&["volume", "set", "--type", "first"], &policy[..], &["shelf"]].concat()).await;
    openstack(&server, api, &["volume", "set", "--type", "shelf", "--migration-policy", "never", "second"])
        .await;
    server.settle().await;
    assert_eq!(host_of("first").await, (hosts[1].clone(), "second".to_owned()));
    assert_eq!(host_of("shelf").await, (hosts[0].clone(), "first".to_owned()));
    assert_eq!(host_of("second").await, (hosts[1].clone(), "second".to_owned()));

    openstack(&server, api, &["volume", "type", "create", "anywhere"]).await;
    openstack(&server, api, &["volume", "create", "--size", "1", "--type", "anywhere", "anywhere"]).await;
    server.settle().await;
    for host in hosts.iter().chain([&hosts[0]]) {
        if host_of("anywhere").await.0 != *host {
            cinder(&server, &project, &["migrate", "anywhere", host]).await;
            server.settle().await;
        }
        let shown = openstack(&server, api, &["volume", "show", "anywhere"]).await;
        assert_eq!(text(&shown, "os-vol-host-attr:host"), host);
        assert_ne!(shown["migration_status"], "error");
    }
    openstack(&server, api, &["volume", "delete", "first", "second", "shelf", "anywhere"]).await;
    server.settle().await;
    assert_eq!(run("rbd", &["ls", &more.volumes]), "");
    place.assert_empty(server).await;
}
