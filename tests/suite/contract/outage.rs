//! What a cluster acknowledged before and after an outage is there. On a cluster whose OSD may die.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pumice::block::BlockingPool;
use pumice::block::rbd::{self, RbdOptions};
use tempfile::TempDir;

use super::*;

const WRITERS: u64 = 6;
const OBJECTS: u64 = 48;

/// Stopped in the end.
struct Cluster(TempDir);

impl Cluster {
    fn start() -> Self {
        let cluster = Self(tempfile::tempdir().unwrap());
        // Below those that outgoing connections are given, for nobody keeps them until the monitor has them.
        let is_free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
        let first = 20_000 + (std::process::id() % 5_000) as u16;
        let port = (first..32_000).find(|port| is_free(*port) && is_free(port + 1)).unwrap();
        let mut up = cluster.script("up");
        succeeds(up.env("CEPH_DEV_PORT", port.to_string()).env("CEPH_DEV_SIZE", "4"));
        cluster
    }

    fn script(&self, action: &str) -> Command {
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/ceph-dev"));
        command.arg(action).arg(self.0.path());
        command
    }

    fn conf(&self) -> PathBuf {
        self.0.path().join("ceph.conf")
    }

    fn kill_osd(&self) {
        let pid = std::fs::read_to_string(self.0.path().join("run/osd.0.pid")).unwrap();
        succeeds(Command::new("kill").args(["-KILL", pid.trim()]));
    }

    fn store(&self, operation_timeout: u64) -> Arc<dyn BlockStore> {
        let options = RbdOptions { conf: Some(self.conf()), operation_timeout, ..RbdOptions::new("images") };
        Arc::new(rbd::open(options, BlockingPool::default()).unwrap())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.script("down").output();
    }
}

fn succeeds(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn data_objects(conf: &Path) -> Vec<String> {
    let output = succeeds(Command::new("rados").arg("-c").arg(conf).args(["-p", "images", "ls"]));
    let all = String::from_utf8(output.stdout).unwrap();
    all.lines().filter(|name| name.starts_with("rbd_data.")).map(str::to_owned).collect()
}

/// Writes every object of its share; answers which were acknowledged.
async fn write_share(image: Arc<dyn BlockImage>, first: u64, failed: Arc<tokio::sync::Notify>) -> Vec<u64> {
    let mut done = Vec::new();
    for object in (first..OBJECTS).step_by(WRITERS as usize) {
        match image.write(object * OBJECT, noise(object, 4_096)).await {
            Ok(()) => done.push(object),
            Err(error) => {
                assert!(matches!(error.kind, ErrorKind::TimedOut | ErrorKind::Disconnected), "{error}");
                failed.notify_one();
            }
        }
    }
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_in_the_snapshot_and_goes_with_the_image() {
    let cluster = tokio::task::block_in_place(Cluster::start);
    let store = cluster.store(3);
    store.create("image", OBJECTS * OBJECT, OBJECT).await.unwrap();
    let image = store.open("image", OpenMode::ReadWrite).await.unwrap();
    image.write(0, noise(0, 4_096)).await.unwrap();
    cluster.kill_osd();
    let failed = Arc::new(tokio::sync::Notify::new());
    let writers: Vec<_> =
        (1..=WRITERS).map(|first| tokio::spawn(write_share(image.clone(), first, failed.clone()))).collect();
    failed.notified().await;
    tokio::task::block_in_place(|| succeeds(&mut cluster.script("up")));
    let mut done = vec![0];
    for writer in writers {
        done.extend(writer.await.unwrap());
    }
    assert!(done.len() > 1 && (done.len() as u64) < OBJECTS, "{done:?}");
    let _ = image.close().await;
    drop(image);

    let store = cluster.store(60);
    let image = store.open("image", OpenMode::ReadWrite).await.unwrap();
    image.create_snapshot("s").await.unwrap();
    image.protect_snapshot("s").await.unwrap();
    let reader = store.open("image", OpenMode::Snapshot("s".to_owned())).await.unwrap();
    for object in done {
        assert_eq!(reader.read(object * OBJECT, 4_096).await.unwrap(), noise(object, 4_096), "{object}");
    }
    reader.close().await.unwrap();
    image.unprotect_snapshot("s").await.unwrap();
    image.remove_snapshot("s").await.unwrap();
    image.close().await.unwrap();
    store.remove("image", &Progress::new()).await.unwrap();
    let gone = tokio::time::timeout(Duration::from_secs(60), async {
        // What only the snapshot had is trimmed afterwards.
        while tokio::task::block_in_place(|| !data_objects(&cluster.conf()).is_empty()) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    assert!(gone.await.is_ok(), "{:?}", data_objects(&cluster.conf()));
}
