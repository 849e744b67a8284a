//! Pools of a test's own, where it looks at all there is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::house::StoreKind;
use crate::house::store::ceph_conf;

const TRIMMED_WITHIN: Duration = Duration::from_secs(60);
const NOTICED_WITHIN: Duration = Duration::from_secs(60);

/// An object of ours in a pool that is to be full.
const FILLER: &str = "filler";

pub struct Pools {
    pub images: String,
    pub volumes: String,
    on_ceph: bool,
}

/// The two users that examples/ceph.toml tells an operator to make, allowed what it says and on these pools only.
pub struct Users {
    pub images: String,
    pub volumes: String,
    /// A configuration file of the cluster that finds their keys.
    pub conf: PathBuf,
}

impl Pools {
    /// On the cluster they are made; in a directory they come by themselves.
    pub fn make(store: StoreKind) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let own = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let pools = Self {
            images: format!("images-{own}"),
            volumes: format!("volumes-{own}"),
            on_ceph: matches!(store, StoreKind::RbdV1 | StoreKind::RbdV2),
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

impl Users {
    pub fn make(pools: &Pools, folder: &Path) -> Self {
        let example = include_str!("../../../examples/ceph.toml").replace("\\\n#", "");
        let keyring = folder.join("keyring");
        let mut keys = String::new();
        let mut make = |user: &str, pool: &str| {
            let line = example
                .lines()
                .find_map(|line| line.strip_prefix(&format!("#   ceph auth get-or-create client.{user} ")));
            let name = format!("{user}-{pool}");
            let caps = line.unwrap().replace("=images", &format!("={}", pools.images));
            let caps = caps.replace("=volumes", &format!("={}", pools.volumes));
            // As a shell would take it apart: `mon 'profile rbd' osd '...'`.
            let caps = caps.split('\'').map(str::trim).filter(|part| !part.is_empty());
            let entity = format!("client.{name}");
            let mut arguments = vec!["auth", "get-or-create", &entity];
            arguments.extend(caps);
            keys.push_str(&run("ceph", &arguments));
            name
        };
        let (images, volumes) = (make("glance", &pools.images), make("cinder", &pools.volumes));
        std::fs::write(&keyring, keys).unwrap();
        let conf = folder.join("ceph.conf");
        let text = std::fs::read_to_string(ceph_conf()).unwrap();
        let lines = text.lines().map(|line| match line.starts_with("keyring = ") {
            true => format!("keyring = {}", keyring.display()),
            false => line.to_owned(),
        });
        std::fs::write(&conf, lines.collect::<Vec<_>>().join("\n") + "\n").unwrap();
        Self { images, volumes, conf }
    }
}

/// Keys that were taken away, to be given back.
pub struct Keys(Vec<String>);

impl Users {
    /// The cluster knows them no more.
    pub fn revoke(&self) -> Keys {
        let take = |user: &String| {
            let entity = format!("client.{user}");
            let key = run("ceph", &["auth", "export", &entity]);
            run("ceph", &["auth", "rm", &entity]);
            key
        };
        Keys([&self.images, &self.volumes].map(take).into())
    }

    pub fn restore(&self, keys: &Keys) {
        let file = self.conf.with_extension("given-back");
        for key in &keys.0 {
            std::fs::write(&file, key).unwrap();
            run("ceph", &["auth", "import", "-i", &file.display().to_string()]);
        }
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        for user in [&self.images, &self.volumes] {
            let _ = command("ceph", &["auth", "rm", &format!("client.{user}")]).output();
        }
    }
}

impl Pools {
    /// What a client leaves that is killed in a certain moment, see [`repeer`].
    pub fn forget_ghosts(&self) {
        if self.on_ceph {
            for pool in [&self.images, &self.volumes] {
                repeer(pool);
            }
        }
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

/// The most a pool may hold, in bytes; 0 is no limit. The cluster notices a pool that holds more after a while.
pub fn limit(pool: &str, bytes: u64) {
    run("ceph", &["osd", "pool", "set-quota", pool, "max_bytes", &bytes.to_string()]);
}

/// Holds more than `bytes`, and may not, until it is [`drain`]ed: the cluster has noticed.
pub fn fill(pool: &str, bytes: usize) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![1; bytes + 1]).unwrap();
    run("rados", &["-p", pool, "put", FILLER, &file.path().display().to_string()]);
    limit(pool, bytes as u64);
    wait_until_full(pool, true);
}

pub fn drain(pool: &str) {
    limit(pool, 0);
    wait_until_full(pool, false);
    run("rados", &["-p", pool, "rm", FILLER]);
}

/// The monitor looks every five seconds.
fn wait_until_full(pool: &str, full: bool) {
    let end = Instant::now() + NOTICED_WITHIN;
    let is_full = || {
        let told = run("ceph", &["osd", "pool", "ls", "detail", "--format", "json"]);
        let told: Vec<serde_json::Value> = serde_json::from_str(&told).unwrap();
        let told = told.iter().find(|one| one["pool_name"] == pool).unwrap();
        told["flags_names"].as_str().unwrap().contains("full_quota")
    };
    while is_full() != full {
        assert!(Instant::now() < end, "the cluster does not notice how full pool {pool} is");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Has the OSD load its placement groups anew. A client that is killed in the very moment in which it opens an image
/// leaves a watcher that the OSD (16.2) wrote down and does not know, and so never forgets: the image counts as in use.
/// On more than one OSD `ceph pg repeer` does it.
pub fn repeer(pool: &str) {
    run("ceph", &["osd", "pool", "set", pool, "size", "2"]);
    run("ceph", &["osd", "pool", "set", pool, "size", "1", "--yes-i-really-mean-it"]);
}

/// The objects of images that stay. What only a snapshot had that is gone the OSDs trim afterwards: for so long it is
/// listed, though nobody can read it.
pub fn left_of_images(pool: &str) -> Vec<String> {
    const OF_IMAGES: [&str; 4] = ["rbd_data.", "rbd_header.", "rbd_id.", "rbd_object_map."];
    let is_left = |name: &String| OF_IMAGES.iter().any(|start| name.starts_with(start));
    let end = Instant::now() + TRIMMED_WITHIN;
    loop {
        let left: Vec<String> = objects(pool).into_iter().filter(is_left).collect();
        if left.is_empty() {
            return left;
        }
        if Instant::now() > end {
            return left.into_iter().map(|object| told_of(pool, &object)).collect();
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// An OSD on what says that it is a spinning disk rests for five seconds after every two objects that it trims.
pub fn trim_without_rests() {
    for option in ["osd_snap_trim_sleep_hdd", "osd_delete_sleep_hdd"] {
        run("ceph", &["tell", "osd.*", "config", "set", option, "0"]);
    }
}

/// Whether an object, as [`left_of_images`] tells of it, is there for snapshots alone, and nobody can read it.
pub fn is_for_snapshots_alone(told: &str) -> bool {
    told.contains("(2) No such file or directory")
}

/// What RADOS says of an object that should not be there.
fn told_of(pool: &str, object: &str) -> String {
    let say = |arguments: &[&str]| {
        let output = command("rados", &[&["-p", pool], arguments].concat()).output().unwrap();
        [output.stdout, output.stderr].map(|words| String::from_utf8_lossy(&words).trim().to_owned()).concat()
    };
    let snapshots = say(&["listsnaps", object]).split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{object}: {}; {snapshots}", say(&["stat", object]))
}

/// In a pool where nothing has a name any more: takes away images that are in its trash neither, and have no data: what
/// they were made of by a process that was paused in the middle of that and went on when somebody else had taken the name
/// away. Answers their ids.
pub fn take_away_nameless(pool: &str) -> Vec<String> {
    let all = objects(pool);
    let has = |start: &str| all.iter().any(|name| name.starts_with(start));
    let trash = run("rbd", &["trash", "ls", "--all", pool]);
    let ids = all.iter().filter_map(|name| name.strip_prefix("rbd_header."));
    let is_nameless = |id: &&str| !has("rbd_id.") && !trash.contains(*id) && !has(&format!("rbd_data.{id}."));
    let nameless: Vec<String> = ids.filter(is_nameless).map(str::to_owned).collect();
    for id in &nameless {
        for object in all.iter().filter(|name| name.ends_with(&format!(".{id}"))) {
            // It may go by itself in this moment.
            let _ = command("rados", &["-p", pool, "rm", object]).output();
        }
    }
    nameless
}

/// How far a process came that died on an image's way to the trash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Died {
    /// The entry is written, and the image has its name still.
    AtTheEntry,
    /// `rbd_id.<name>` is gone, or the name in the directory.
    BetweenTheNames { directory: bool },
    /// It was a removal, and had begun to remove the data.
    AtTheData,
}

/// Leaves an image as such a process does; answers its id.
pub fn leave_half_removed(pool: &str, name: &str, died: Died) -> String {
    let info: serde_json::Value =
        serde_json::from_str(&run("rbd", &["info", "--format", "json", &format!("{pool}/{name}")])).unwrap();
    let id = info["id"].as_str().unwrap().to_owned();
    // `cls::rbd::TrashImageSpec`: who put it there (the user, a removal), the name, two times, how far it is (on its way,
    // being removed).
    let (source, state) = if died == Died::AtTheData { (3, 2) } else { (0, 1) };
    let length = u8::try_from(name.len()).unwrap();
    let inner = [&[source, length, 0, 0, 0], name.as_bytes(), &[0; 16], &[state]].concat();
    let entry = [&[2, 1, u8::try_from(inner.len()).unwrap(), 0, 0, 0], &inner[..]].concat();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, entry).unwrap();
    let rados = |arguments: &[&str]| run("rados", &[&["-p", pool], arguments].concat());
    let file = file.path().display().to_string();
    rados(&["setomapval", "rbd_trash", &format!("id_{id}"), "--input-file", &file]);
    if matches!(died, Died::BetweenTheNames { directory: true } | Died::AtTheData) {
        rados(&["rmomapkey", "rbd_directory", &format!("name_{name}")]);
        rados(&["rmomapkey", "rbd_directory", &format!("id_{id}")]);
    }
    if matches!(died, Died::BetweenTheNames { directory: false } | Died::AtTheData) {
        rados(&["rm", &format!("rbd_id.{name}")]);
    }
    id
}

/// What Ceph's own tools say of an image, whatever that is.
pub fn seen_of(pool: &str, name: &str) -> String {
    let spec = format!("{pool}/{name}");
    let pointer = format!("rbd_id.{name}");
    let asked: [(&str, &[&str]); 5] = [
        ("rbd", &["info", &spec]),
        ("rbd", &["snap", "ls", "--all", &spec]),
        ("rbd", &["trash", "ls", "--all", "--long", pool]),
        ("rados", &["-p", pool, "get", &pointer, "-"]),
        ("rados", &["-p", pool, "listomapvals", "rbd_directory"]),
    ];
    let told = asked.map(|(program, arguments)| {
        let output = command(program, arguments).output().unwrap();
        let (words, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        format!("{program} {arguments:?}: {words}{errors}")
    });
    told.join("\n")
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
