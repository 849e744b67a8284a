//! The cluster: two pools for us alone, the command line tools as peers, and librbd called directly.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use pumice::block::rbd::{self, RbdOptions, RbdStore};
use pumice::block::{Backends, BlockingPool, Stores};

pub const IMAGES: &str = "bench-images";
pub const VOLUMES: &str = "bench-volumes";

pub struct Cluster {
    pub conf: PathBuf,
}

impl Cluster {
    /// Makes the pools anew.
    pub fn prepare(conf: PathBuf) -> anyhow::Result<Self> {
        let cluster = Self { conf };
        cluster.remove_pools()?;
        for pool in [IMAGES, VOLUMES] {
            cluster.run("ceph", &["osd", "pool", "create", pool, "32"])?;
            cluster.run("rbd", &["pool", "init", pool])?;
        }
        Ok(cluster)
    }

    pub fn remove_pools(&self) -> anyhow::Result<()> {
        for pool in [IMAGES, VOLUMES] {
            self.run("ceph", &["osd", "pool", "delete", pool, pool, "--yes-i-really-really-mean-it"])?;
        }
        Ok(())
    }

    /// What a group left behind must not slow the next one.
    pub fn empty_pools(&self) -> anyhow::Result<()> {
        for pool in [VOLUMES, IMAGES] {
            let images = self.run("rbd", &["ls", pool])?;
            for image in images.lines() {
                let name = format!("{pool}/{image}");
                // In any order: what hangs on others goes with the pool.
                if self.run("rbd", &["snap", "purge", "--no-progress", &name]).is_ok() {
                    let _ = self.run("rbd", &["rm", "--no-progress", &name]);
                }
            }
        }
        Ok(())
    }

    /// A command line tool of Ceph's; answers what it printed.
    pub fn run(&self, tool: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(tool)
            .arg("-c")
            .arg(&self.conf)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("{tool} cannot be run"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "{tool} {}: {said}", arguments.join(" "));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// `rbd import`, as the images that Glance makes.
    pub fn import(&self, file: &Path, image: &str) -> anyhow::Result<Duration> {
        let (file, target) = (file.display().to_string(), format!("{IMAGES}/{image}"));
        let started = Instant::now();
        self.run("rbd", &["import", "--no-progress", "--object-size", "8M", &file, &target])?;
        Ok(started.elapsed())
    }

    pub fn export(&self, image: &str, file: &Path) -> anyhow::Result<Duration> {
        let _ = std::fs::remove_file(file);
        let (file, source) = (file.display().to_string(), format!("{IMAGES}/{image}"));
        let started = Instant::now();
        self.run("rbd", &["export", "--no-progress", &source, &file])?;
        Ok(started.elapsed())
    }

    /// `rbd snap create` and `rbd snap protect`, as the images that Glance makes.
    pub fn seal(&self, image: &str) -> anyhow::Result<Duration> {
        let snapshot = format!("{IMAGES}/{image}@snap");
        let started = Instant::now();
        self.run("rbd", &["snap", "create", "--no-progress", &snapshot])?;
        self.run("rbd", &["snap", "protect", &snapshot])?;
        Ok(started.elapsed())
    }

    pub fn remove_sealed(&self, image: &str) -> anyhow::Result<()> {
        let snapshot = format!("{IMAGES}/{image}@snap");
        self.run("rbd", &["snap", "unprotect", &snapshot])?;
        self.run("rbd", &["snap", "rm", "--no-progress", &snapshot])?;
        self.remove(image)
    }

    pub fn remove(&self, image: &str) -> anyhow::Result<()> {
        self.run("rbd", &["rm", "--no-progress", &format!("{IMAGES}/{image}")]).map(drop)
    }

    /// The pools as the service sees them, called from this process.
    pub fn stores(&self) -> anyhow::Result<Stores> {
        let threads = BlockingPool::new(48, 16, 3, 16);
        let open = |pool: &str| -> anyhow::Result<RbdStore> {
            let options = RbdOptions { conf: Some(self.conf.clone()), ..RbdOptions::new(pool) };
            Ok(rbd::open(options, threads.clone())?)
        };
        Ok(Stores {
            images: std::sync::Arc::new(open(IMAGES)?),
            more_images: std::collections::BTreeMap::new(),
            volumes: Backends::one("rbd", std::sync::Arc::new(open(VOLUMES)?)),
        })
    }
}
