//! SIGHUP and the policy files, with the real binary.

use std::time::Duration;

use reqwest::{Method, StatusCode};

use crate::house::{DatabaseKind, StoreKind};
use crate::process::{PATIENCE, Place, Server};

const LIST: &str = "/volume/v3/volumes";

async fn becomes(server: &Server, status: StatusCode) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while server.send(Method::GET, LIST, None).await.0 != status {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "{LIST} does not become {status}:\n{}", server.log());
}

#[tokio::test]
async fn a_hangup_has_the_policy_file_read_again_and_a_bad_one_changes_nothing() {
    let place = Place::new(StoreKind::Directory, DatabaseKind::Sqlite).await;
    let file = place.folder.path().join("policy.yaml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("'volume:get_all': '!'\n");
    let server = place.start_with(&[("PUMICE_POLICY__VOLUME_POLICY_FILE", file.to_str().unwrap())]);
    assert_eq!(server.send(Method::GET, LIST, None).await.0, StatusCode::FORBIDDEN);

    write("# as it is without\n");
    server.hang_up();
    becomes(&server, StatusCode::OK).await;

    write("'volume:get_all': '!'\n'volume:get': 'role:reader or'\n");
    server.hang_up();
    let said = tokio::time::timeout(PATIENCE, async {
        while !server.log().contains("policy.yaml, line 2: ") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(said.await.is_ok(), "the bad file is not heard of:\n{}", server.log());
    assert_eq!(server.send(Method::GET, LIST, None).await.0, StatusCode::OK);
    server.stop();
}
