//! What `openstack image` and `glance` do with the records of images.

use serde_json::json;

use super::{done, shown};
use crate::house::DatabaseKind;
use crate::identity::shell::place;
use crate::process::{Place, Server};

async fn column(place: &Place, server: &Server, arguments: &[&str], column: &str) -> Vec<String> {
    let rows = shown(place, server, arguments).await;
    rows.as_array().unwrap().iter().map(|row| row[column].as_str().unwrap().to_owned()).collect()
}

async fn log_in(place: &Place) -> Server {
    let mut server = place.start();
    server.token = Some(shown(place, &server, &["token", "issue"]).await["id"].as_str().unwrap().to_owned());
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_shared_listed_and_put_aside() {
    let place = place(DatabaseKind::Sqlite).await;
    let server = log_in(&place).await;
    let run = async |arguments: &[&str]| done(&place, &server, arguments).await;
    let names = async |arguments: &[&str]| {
        let list = [&["image", "list", "--sort", "name:asc"], arguments].concat();
        column(&place, &server, &list, "Name").await
    };
    let disk = place.folder.path().join("disk.img");
    std::fs::write(&disk, vec![7; 3 << 20]).unwrap();
    let disk = disk.to_str().unwrap();

    let create = ["image", "create", "--progress", "--file", disk, "--disk-format", "raw", "--shared"];
    let tagged = ["--tag", "new", "--property", "os_distro=debian", "a"];
    run(&[&create[..], &tagged[..]].concat()).await;
    for (visibility, name) in [("--community", "b"), ("--private", "c")] {
        run(&["image", "create", "--file", disk, "--disk-format", "raw", visibility, name]).await;
    }
    let saved = place.folder.path().join("saved.img");
    run(&["image", "save", "--file", saved.to_str().unwrap(), "a"]).await;
    assert_eq!(std::fs::metadata(&saved).unwrap().len(), 3 << 20);
    for (arguments, expected) in [
        (&[][..], &["a", "b", "c"][..]),
        (&["--name", "b"], &["b"]),
        (&["--status", "active"], &["a", "b", "c"]),
        (&["--status", "queued"], &[]),
        (&["--tag", "new"], &["a"]),
        (&["--property", "os_distro=debian"], &["a"]),
        (&["--property", "os_distro=arch"], &[]),
        (&["--community"], &["b"]),
        (&["--shared"], &["a"]),
        (&["--private"], &["c"]),
        (&["--public"], &[]),
        (&["--hidden"], &[]),
        (&["--limit", "2"], &["b", "c"]),
        (&["--max-items", "2"], &["b", "c"]),
    ] {
        assert_eq!(names(arguments).await, expected, "{arguments:?}");
    }
    run(&["image", "set", "--hidden", "c"]).await;
    assert_eq!(
        (names(&[]).await, names(&["--hidden"]).await),
        (vec!["a".into(), "b".into()], vec!["c".into()])
    );
    run(&["image", "set", "--tag", "old", "--deactivate", "a"]).await;
    run(&["image", "unset", "--tag", "new", "--property", "os_distro", "a"]).await;
    let image = shown(&place, &server, &["image", "show", "a"]).await;
    assert_eq!((&image["status"], &image["tags"]), (&json!("deactivated"), &json!(["old"])));
    run(&["image", "set", "--activate", "--public", "a"]).await;
    run(&["image", "set", "--shared", "a"]).await;
    assert_eq!(shown(&place, &server, &["image", "show", "a"]).await["status"], "active");

    run(&["project", "create", "demo"]).await;
    run(&["user", "create", "--password", "correct horse", "alice"]).await;
    run(&["role", "add", "--user", "alice", "--project", "demo", "member"]).await;
    let as_alice = ["--os-username", "alice", "--os-password", "correct horse", "--os-project-name", "demo"];
    let alice = |arguments: &[&'static str]| [&as_alice[..], arguments].concat();
    let id = image["id"].as_str().unwrap().to_owned();
    let demo = shown(&place, &server, &["project", "show", "demo"]).await["id"].as_str().unwrap().to_owned();
    run(&["image", "add", "project", "a", "demo"]).await;
    let members = column(&place, &server, &["image", "member", "list", "a"], "Member ID").await;
    assert_eq!(members, std::slice::from_ref(&demo));
    let list = alice(&["image", "list"]);
    assert_eq!(column(&place, &server, &list, "Name").await, [""; 0]);
    let pending = alice(&["image", "list", "--member-status", "pending"]);
    assert_eq!(column(&place, &server, &pending, "Name").await, ["a"]);
    // By id: without the role to ask Identity for projects.
    let accept = [&as_alice[..], &["image", "set", "--accept", "--project", &demo, &id]].concat();
    run(&accept).await;
    assert_eq!(column(&place, &server, &list, "Name").await, ["a"]);
    let member = shown(&place, &server, &["image", "member", "get", "a", &demo]).await;
    assert_eq!(member["status"], "accepted");
    let community = alice(&["image", "list", "--community"]);
    assert_eq!(column(&place, &server, &community, "Name").await, ["b"]);
    run(&["image", "remove", "project", "a", "demo"]).await;
    assert_eq!(column(&place, &server, &list, "Name").await, [""; 0]);

    run(&["image", "delete", "a", "b"]).await;
    let hidden = shown(&place, &server, &["image", "list", "--hidden"]).await;
    run(&["image", "delete", hidden[0]["ID"].as_str().unwrap()]).await;
    server.settle().await;
    place.assert_empty(server).await;
}
