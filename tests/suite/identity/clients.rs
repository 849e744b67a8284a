//! `openstack` and openstacksdk, as users have them, log in with the `clouds.yaml` of a first start.

mod images;
mod sessions;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::shell::place;
use crate::formats::bases::qemu_img;
use crate::house::DatabaseKind;
use crate::process::{PATIENCE, Place, Server};
use crate::support::authority::{self, Authority};

pub fn client(place: &Place, name: &str) -> Command {
    let folder = std::env::var_os("PUMICE_TEST_CLIENTS")
        .expect("PUMICE_TEST_CLIENTS names no folder with the clients: run the tests with `make test`");
    let mut command = Command::new(PathBuf::from(folder).join(name));
    command.env("OS_CLIENT_CONFIG_FILE", place.folder.path().join("pumice-data/clouds.yaml"));
    command.env("OS_CLOUD", "pumice").current_dir(place.folder.path());
    command
}

pub async fn said(mut command: Command, server: &Server) -> String {
    let (output, command) =
        tokio::task::spawn_blocking(move || (command.output().unwrap(), command)).await.unwrap();
    assert!(
        output.status.success(),
        "{command:?}\n{}\n{}\nThe service says:\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        server.log()
    );
    String::from_utf8(output.stdout).unwrap()
}

/// What a command shows or lists.
async fn shown(place: &Place, server: &Server, arguments: &[&str]) -> Value {
    let mut command = client(place, "openstack");
    command.args(arguments).args(["-f", "json"]);
    serde_json::from_str(&said(command, server).await).unwrap()
}

async fn done(place: &Place, server: &Server, arguments: &[&str]) {
    let mut command = client(place, "openstack");
    command.args(arguments);
    said(command, server).await;
}

/// A qcow2 becomes a volume, and the volume an image.
#[tokio::test(flavor = "multi_thread")]
async fn disks_and_images_with_the_openstack_command() {
    let place = place(DatabaseKind::Sqlite).await;
    let mut server = place.start();
    server.token = Some(shown(&place, &server, &["token", "issue"]).await["id"].as_str().unwrap().to_owned());
    let folder = place.folder.path();
    std::fs::write(folder.join("raw"), vec![7; 3_000_320]).unwrap();
    qemu_img(folder, &["convert", "-c", "-f", "raw", "-O", "qcow2", "raw", "packed"]);
    // What is wrong with bytes that are refused is told.
    let mut wrong = client(&place, "openstack");
    wrong.args(["image", "create", "--file", "packed", "--disk-format", "vmdk", "wrong"]);
    let output = tokio::task::spawn_blocking(move || wrong.output().unwrap()).await.unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && words.contains("disk_format vmdk does not match stream data"),
        "{words}"
    );
    let create = ["image", "create", "--file", "packed", "--disk-format", "qcow2", "packed"];
    done(&place, &server, &create).await;
    done(&place, &server, &["volume", "create", "--size", "1", "--image", "packed", "first"]).await;
    server.settle().await;
    let first = shown(&place, &server, &["volume", "show", "first"]).await;
    assert_eq!((&first["status"], &first["bootable"]), (&"available".into(), &true.into()));

    let made = shown(&place, &server, &["image", "create", "--volume", "first", "second"]).await;
    assert_eq!((&made["status"], &made["disk_format"]), (&"uploading".into(), &"raw".into()), "{made}");
    server.settle().await;
    let image = shown(&place, &server, &["image", "show", "second"]).await;
    assert_eq!((&image["status"], &image["size"]), (&"active".into(), &(1u64 << 30).into()));
    done(&place, &server, &["image", "save", "--file", "saved", "second"]).await;
    let mut expected = vec![7; 3_000_320];
    expected.resize(1 << 30, 0);
    assert!(std::fs::read(folder.join("saved")).unwrap() == expected);

    done(&place, &server, &["volume", "delete", "first"]).await;
    server.settle().await;
    done(&place, &server, &["image", "delete", "second", "packed"]).await;
    place.assert_empty(server).await;
}

/// Over TLS, before and after the certificate was replaced by one of another authority, while the service ran.
#[tokio::test(flavor = "multi_thread")]
async fn the_openstack_command_over_tls() {
    let mut place = place(DatabaseKind::Sqlite).await;
    let folder = place.folder.path().to_owned();
    let [first, second] = ["first.pem", "second.pem"].map(|file| {
        let authority = Authority::new();
        std::fs::write(folder.join(file), authority.pem()).unwrap();
        authority
    });
    place.options.extend(authority::options(&folder));
    first.issue(&folder);
    let mut server = place.start();
    server.believe(first.certificate());
    let command = |believed: &str, arguments: &[&str]| {
        let mut command = client(&place, "openstack");
        command.env("OS_CACERT", folder.join(believed)).args(arguments);
        command
    };
    let done = async |server: &Server, believed: &str, arguments: &[&str]| -> String {
        said(command(believed, arguments), server).await
    };
    let token = done(&server, "first.pem", &["token", "issue", "-f", "value", "-c", "id"]).await;
    server.token = Some(token.trim().to_owned());
    let refused = command("second.pem", &["image", "list"]).output().unwrap();
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && words.contains("CERTIFICATE_VERIFY_FAILED"), "{words}");

    // Larger than what one record or one write of TLS takes.
    let bytes: Vec<u8> = (0..5_000_192u32).map(|i| (i % 251) as u8).collect();
    std::fs::write(folder.join("disk"), &bytes).unwrap();
    let create = ["image", "create", "--file", "disk", "--disk-format", "raw", "greeting"];
    done(&server, "first.pem", &create).await;
    done(&server, "first.pem", &["volume", "create", "--size", "1", "--image", "greeting", "v"]).await;
    server.settle().await;

    second.issue(&folder);
    server.hang_up();
    server.believe(second.certificate());
    let replaced = tokio::time::timeout(PATIENCE, async {
        while server.try_send(Method::GET, "/healthz", None).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(replaced.await.is_ok(), "the certificate is not replaced:\n{}", server.log());
    let status = ["volume", "show", "-f", "value", "-c", "status", "v"];
    assert_eq!(done(&server, "second.pem", &status).await, "available\n");
    done(&server, "second.pem", &["image", "save", "--file", "saved", "greeting"]).await;
    assert!(std::fs::read(folder.join("saved")).unwrap() == bytes);
    done(&server, "second.pem", &["volume", "delete", "v"]).await;
    server.settle().await;
    done(&server, "second.pem", &["image", "delete", "greeting"]).await;
    server.settle().await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openstack_command_works_with_clouds_yaml() {
    let place = place(DatabaseKind::Sqlite).await;
    let mut server = place.start();
    server.token = Some(shown(&place, &server, &["token", "issue"]).await["id"].as_str().unwrap().to_owned());

    let disk = place.folder.path().join("disk.img");
    std::fs::write(&disk, vec![7; 1 << 20]).unwrap();
    let create = ["image", "create", "--file", disk.to_str().unwrap(), "--disk-format", "raw", "greeting"];
    done(&place, &server, &create).await;
    let images = shown(&place, &server, &["image", "list"]).await;
    assert_eq!((&images[0]["Name"], &images[0]["Status"]), (&"greeting".into(), &"active".into()));
    done(&place, &server, &["volume", "create", "--size", "1", "--image", "greeting", "first"]).await;
    server.settle().await;
    let volumes = shown(&place, &server, &["volume", "list"]).await;
    assert_eq!((&volumes[0]["Name"], &volumes[0]["Status"]), (&"first".into(), &"available".into()));
    done(&place, &server, &["volume", "delete", "first"]).await;
    server.settle().await;
    done(&place, &server, &["image", "delete", "greeting"]).await;
    assert_eq!(shown(&place, &server, &["image", "list"]).await, Value::Array(Vec::new()));

    done(&place, &server, &["project", "create", "demo"]).await;
    done(&place, &server, &["user", "create", "--password", "correct horse", "alice"]).await;
    done(&place, &server, &["role", "add", "--user", "alice", "--project", "demo", "member"]).await;
    let names = |list: Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|row| row["Name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(shown(&place, &server, &["project", "list"]).await), ["admin", "demo"]);
    assert_eq!(names(shown(&place, &server, &["user", "list"]).await), ["admin", "alice"]);
    let held = ["role", "assignment", "list", "--names", "--user", "alice"];
    assert_eq!(shown(&place, &server, &held).await[0]["Project"], "demo@Default");
    let as_alice = ["--os-username", "alice", "--os-password", "correct horse", "--os-project-name", "demo"];
    let listed = shown(&place, &server, &[&as_alice[..], &["volume", "list"]].concat()).await;
    assert_eq!(listed, Value::Array(Vec::new()));

    let made = shown(&place, &server, &["application", "credential", "create", "robot"]).await;
    let key = |wanted: &str| {
        let fields = made.as_object().unwrap();
        let found = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).unwrap();
        found.1.as_str().unwrap().to_owned()
    };
    let script = "import openstack, os, sys\n\
        url, credential, secret = sys.argv[1:]\n\
        by_cloud = openstack.connect(cloud='pumice')\n\
        assert [p.name for p in by_cloud.identity.projects()] == ['admin', 'demo']\n\
        del os.environ['OS_CLOUD'], os.environ['OS_CLIENT_CONFIG_FILE']\n\
        robot = openstack.connect(auth_type='v3applicationcredential', region_name='RegionOne', auth=dict(\n\
            auth_url=url, application_credential_id=credential, application_credential_secret=secret))\n\
        for cloud in (by_cloud, robot):\n    \
            volume = cloud.create_volume(1, wait=True, timeout=60)\n    \
            assert [v.id for v in cloud.block_storage.volumes()] == [volume.id]\n    \
            cloud.delete_volume(volume.id, wait=True, timeout=60)\n    \
            assert list(cloud.image.images()) == []\n";
    let mut sdk = client(&place, "python");
    sdk.args(["-c", script, &format!("{}/identity/v3", server.url), &key("id"), &key("secret")]);
    said(sdk, &server).await;
    place.assert_empty(server).await;
}
