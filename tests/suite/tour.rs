//! `scripts/tour` against the real binary: on every store, on both databases. Nothing is left afterwards.

use std::path::Path;
use std::process::Command;

use crate::house::store::ceph_conf;
use crate::house::{DatabaseKind, StoreKind};
use crate::process::Place;

async fn tour(store: StoreKind, database: DatabaseKind) {
    tour_of(Place::new(store, database).await).await;
}

async fn tour_of(place: Place) {
    let store = place.store;
    // As it is unless told: whoever follows the README has no other.
    let server = place.start_with(&[("PUMICE_QUOTAS__QUOTA_VOLUMES", "10")]);
    let mut script = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/tour"));
    script.args(["--small", "--url", &server.url]);
    script.args(["--images-pool", &place.pools.images, "--volumes-pool", &place.pools.volumes]);
    script.arg("--clouds").arg(place.folder.path().join("pumice-data/clouds.yaml"));
    script.env("TMPDIR", place.folder.path());
    match store {
        StoreKind::Directory | StoreKind::Apart => {
            script.arg("--store").arg(place.directory()).env("READ_IMAGE", read_image());
        }
        StoreKind::RbdV1 | StoreKind::RbdV2 => {
            script.arg("--ceph-conf").arg(ceph_conf());
        }
    }
    let output = tokio::task::spawn_blocking(move || script.output().unwrap()).await.unwrap();
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{words}\n{}\nThe service says:\n{}",
        String::from_utf8_lossy(&output.stderr),
        server.log()
    );
    assert!(words.contains("\nAll is as it should be"), "{words}");
    let left: Vec<_> = std::fs::read_dir(place.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("pumice-tour."))
        .collect();
    assert!(left.is_empty(), "the script leaves {left:?}");
    place.assert_empty(server).await;
}

/// The example that the script reads the directory store with; cargo puts it beside the binary.
fn read_image() -> std::path::PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_pumice")).with_file_name("examples").join("read_image");
    assert!(path.exists(), "{} is not built: run the tests with `make test`", path.display());
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_directory_and_sqlite() {
    tour(StoreKind::Directory, DatabaseKind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_directory_and_postgresql() {
    tour(StoreKind::Directory, DatabaseKind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_ceph_with_clone_format_1_and_sqlite() {
    tour(StoreKind::RbdV1, DatabaseKind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_ceph_with_clone_format_1_and_postgresql() {
    tour(StoreKind::RbdV1, DatabaseKind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_ceph_with_clone_format_2_and_sqlite() {
    tour(StoreKind::RbdV2, DatabaseKind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_ceph_with_clone_format_2_and_postgresql() {
    tour(StoreKind::RbdV2, DatabaseKind::Postgres).await;
}

/// As after `make run`.
#[tokio::test(flavor = "multi_thread")]
async fn with_identity_of_our_own() {
    let mut place = Place::new(StoreKind::Directory, DatabaseKind::Sqlite).await;
    place.options.push(("PUMICE_IDENTITY__MODE", "standalone".to_owned()));
    tour_of(place).await;
}

/// What the README tells a newcomer to type, as it stands there.
#[tokio::test(flavor = "multi_thread")]
async fn the_readme() {
    let mut place = Place::new(StoreKind::Directory, DatabaseKind::Sqlite).await;
    place.options.push(("PUMICE_IDENTITY__MODE", "standalone".to_owned()));
    let server = place.start();
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let tour =
        readme.split("```").find(|block| block.starts_with("sh\n") && block.contains("mke2fs")).unwrap();
    let commands = tour.trim_start_matches("sh\n").replace("http://127.0.0.1:8080", &server.url);
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &commands]).current_dir(place.folder.path());
    let output = tokio::task::spawn_blocking(move || shell.output().unwrap()).await.unwrap();
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && words.contains("the same\n"),
        "{words}\n{}\nThe service says:\n{}",
        String::from_utf8_lossy(&output.stderr),
        server.log()
    );
    place.assert_empty(server).await;
}

/// It is a check only if it notices.
#[tokio::test(flavor = "multi_thread")]
async fn the_script_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/tour");
    let run = |arguments: &[&str]| {
        let output = Command::new(&script).args(arguments).env("TMPDIR", folder.path()).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let nowhere = folder.path().join("nowhere").display().to_string();
    assert!(run(&["--store", &nowhere]).contains("no directory store is here"));
    std::fs::create_dir_all(folder.path().join("store/pools")).unwrap();
    let store = folder.path().join("store").display().to_string();
    // Nobody listens on the port of the discard service.
    let words = run(&["--store", &store, "--url", "http://127.0.0.1:9"]);
    assert!(words.contains("tour: GET http://127.0.0.1:9/readyz: no answer"), "{words}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "temporary files stay");
}
