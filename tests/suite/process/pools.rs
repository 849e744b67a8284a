//! Pools of a test's own, where it looks at all there is.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::house::StoreKind;
use crate::house::store::ceph_conf;

pub struct Pools {
    pub images: String,
    pub volumes: String,
    on_ceph: bool,
}

impl Pools {
    /// On the cluster they are made; in a directory they come by themselves.
    pub fn make(store: StoreKind) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let own = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let pools = Self {
            images: format!("images-{own}"),
            volumes: format!("volumes-{own}"),
            on_ceph: store != StoreKind::Directory,
        };
        if pools.on_ceph {
            for pool in [&pools.images, &pools.volumes] {
                run("ceph", &["osd", "pool", "create", pool, "8"]);
                run("rbd", &["pool", "init", pool]);
            }
        }
        pools
    }
}

impl Drop for Pools {
    fn drop(&mut self) {
        if self.on_ceph {
            for pool in [&self.images, &self.volumes] {
                let delete = ["osd", "pool", "delete", pool, pool, "--yes-i-really-really-mean-it"];
                // The test may be failing already: what it says matters more.
                let _ = command("ceph", &delete).output();
            }
        }
    }
}

/// The names of all RADOS objects in a pool.
pub fn objects(pool: &str) -> Vec<String> {
    run("rados", &["-p", pool, "ls"]).lines().map(str::to_owned).collect()
}

fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.arg("-c").arg(ceph_conf()).args(arguments);
    command
}

/// A tool of Ceph's; answers what it printed.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = command(program, arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}
