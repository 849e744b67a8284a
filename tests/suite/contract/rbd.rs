//! librbd on a real cluster under the contract, with both of its clone formats.

use std::sync::atomic::{AtomicU32, Ordering};

use pumice::block::rbd::{self, CloneFormat, RbdOptions};
use pumice::block::{BlockingPool, Leads, Lock, LockKind, StrayName};
use pumice::model::ClusterClient;

use super::*;
use crate::house::StoreKind;
use crate::house::store::ceph_conf;
use crate::process::pools::{self, Pools};

/// The pools are shared with all other tests: names are told apart by process, count and case.
fn stores(case: &str, clone_format: CloneFormat) -> Stores {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Stores {
        first: open("volumes", clone_format),
        second: open("images", clone_format),
        needs_protection: clone_format == CloneFormat::V1,
        has_statistics: true,
        prefix: format!("t{}.{count}.{case}", std::process::id()),
        _keep: Box::new(()),
    }
}

fn options(pool: &str) -> RbdOptions {
    RbdOptions { conf: Some(ceph_conf()), ..RbdOptions::new(pool) }
}

fn open(pool: &str, clone_format: CloneFormat) -> Arc<dyn BlockStore> {
    Arc::new(rbd::open(RbdOptions { clone_format, ..options(pool) }, BlockingPool::default()).unwrap())
}

mod clone_format_1 {
    use super::*;

    async fn fixture(case: &str) -> Stores {
        stores(case, CloneFormat::V1)
    }

    contract_suite!(fixture);
}

mod clone_format_2 {
    use super::*;

    async fn fixture(case: &str) -> Stores {
        stores(case, CloneFormat::V2)
    }

    contract_suite!(fixture);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_monitors_are_where_the_cluster_answers() {
    let monitors = open("volumes", CloneFormat::Auto).monitors().await.unwrap();
    assert!(!monitors.is_empty());
    for monitor in monitors {
        std::net::TcpStream::connect((monitor.host.as_str(), monitor.port)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_with_the_same_options_share_a_connection() {
    let first = rbd::open(options("images"), BlockingPool::default()).unwrap();
    let second = rbd::open(options("volumes"), BlockingPool::default()).unwrap();
    assert_eq!(first.instance().await.unwrap(), second.instance().await.unwrap());
}

/// Processes that delete two clones of one image both find it to be the next, and whoever comes second is told nothing
/// worse than that somebody else is at it.
#[tokio::test(flavor = "multi_thread")]
async fn two_clients_remove_an_image_at_once() {
    let apart = |seconds| {
        let options = RbdOptions { operation_timeout: seconds, ..options("volumes") };
        rbd::open(options, BlockingPool::default()).unwrap()
    };
    let clients = [apart(298), apart(299)];
    assert_ne!(clients[0].instance().await.unwrap(), clients[1].instance().await.unwrap());
    for round in 0..20 {
        let name = format!("t{}.both.{round}", std::process::id());
        clients[0].create(&name, 32 << 20, 4 << 20).await.unwrap();
        let image = clients[0].open(&name, OpenMode::ReadWrite).await.unwrap();
        image.write(0, vec![1; 32 << 20].into()).await.unwrap();
        image.close().await.unwrap();
        let remove = |client: usize| {
            let (client, name) = (&clients[client], &name);
            async move { client.remove(name, &Progress::new()).await }
        };
        let (one, other) = tokio::join!(remove(0), remove(1));
        for failure in [one, other].into_iter().filter_map(Result::err) {
            assert!(matches!(failure.kind, ErrorKind::NotFound | ErrorKind::Busy), "{round}: {failure}");
        }
        let mut tries = 0;
        while let Err(failure) = remove(0).await {
            if failure.kind == ErrorKind::NotFound {
                break;
            }
            tries += 1;
            assert!(tries < 600, "{failure}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_pool_that_is_not_there_nothing_counts_as_gone() {
    let store = rbd::open(options("no-such-pool"), BlockingPool::default()).unwrap();
    assert_eq!(store.list().await.unwrap_err().kind, ErrorKind::Disconnected);
    let opened = store.open("a", OpenMode::ReadOnly).await;
    assert_eq!(opened.map(drop).unwrap_err().kind, ErrorKind::Disconnected);
    assert_eq!(store.remove("a", &Progress::new()).await.unwrap_err().kind, ErrorKind::Disconnected);
}

/// An image with some bytes, and where a process that died while it renamed it left it: with the new name in the
/// directory or not yet, and with both of the objects that lead to it.
async fn half_renamed(case: &str, is_in_directory: bool) -> (Arc<dyn BlockStore>, [String; 2]) {
    let store = open("volumes", CloneFormat::V2);
    let names = ["from", "to"].map(|end| format!("t{}.{case}.{end}", std::process::id()));
    let [from, to] = &names;
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display().to_string();
    let pointer =
        |verb, name: &str| pools::run("rados", &["-p", "volumes", verb, &format!("rbd_id.{name}"), &path]);
    store.create(from, 8 << 20, 4 << 20).await.unwrap();
    pointer("get", from);
    if is_in_directory {
        store.rename(from, to).await.unwrap();
        pointer("put", from);
    } else {
        pointer("put", to);
    }
    let image = store.open(&names[usize::from(is_in_directory)], OpenMode::ReadWrite).await.unwrap();
    image.write(0, Bytes::from_static(b"here")).await.unwrap();
    image.close().await.unwrap();
    (store, names)
}

/// Nothing else leads to it.
async fn is_only(store: &Arc<dyn BlockStore>, name: &str, other: &str) {
    let image = store.open(name, OpenMode::ReadOnly).await.unwrap();
    assert_eq!(image.read(0, 4).await.unwrap(), "here");
    image.close().await.unwrap();
    assert_eq!(store.open(other, OpenMode::ReadOnly).await.err().unwrap().kind, ErrorKind::NotFound);
    assert!(!pools::objects("volumes").contains(&format!("rbd_id.{other}")));
    store.remove(name, &Progress::new()).await.unwrap();
}

/// The process died before the directory had the new name, or after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_that_broke_off_is_brought_to_its_end() {
    for is_in_directory in [false, true] {
        let (store, [from, to]) = half_renamed("finish", is_in_directory).await;
        store.rename(&from, &to).await.unwrap();
        is_only(&store, &to, &from).await;
    }
}

/// What is meant for the name that is none does not meet the image.
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_that_broke_off_leaves_one_name() {
    for is_in_directory in [false, true] {
        let (store, [from, to]) = half_renamed("stray", is_in_directory).await;
        let (name, stray) = if is_in_directory { (to, from) } else { (from, to) };
        for mode in [OpenMode::ReadOnly, OpenMode::ReadWrite] {
            assert_eq!(store.open(&stray, mode).await.err().unwrap().kind, ErrorKind::NotFound);
        }
        assert_eq!(store.trash_move(&stray).await.unwrap_err().kind, ErrorKind::NotFound);
        let removed = store.remove(&stray, &Progress::new()).await;
        assert_eq!(removed.unwrap_err().kind, ErrorKind::NotFound);
        is_only(&store, &name, &stray).await;
    }
}

async fn strays(store: &Arc<dyn BlockStore>, case: &str) -> Vec<StrayName> {
    let ours = format!("t{}.{case}.", std::process::id());
    store.strays().await.unwrap().names.into_iter().filter(|stray| stray.name.starts_with(&ours)).collect()
}

/// It is found without being asked for, and goes without what it leads to.
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_that_broke_off_is_found() {
    for is_in_directory in [false, true] {
        let (store, [from, to]) = half_renamed("found", is_in_directory).await;
        let (name, stray) = if is_in_directory { (to, from) } else { (from, to) };
        let found = strays(&store, "found").await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((&found[0].name, &found[0].leads), (&stray, &Leads::To(name.clone())));
        let other = StrayName { written_at: found[0].written_at - 1, ..found[0].clone() };
        assert!(!store.remove_stray_name(&other).await.unwrap(), "it is not the one that was found");
        assert!(store.remove_stray_name(&found[0]).await.unwrap());
        assert!(!store.remove_stray_name(&found[0]).await.unwrap());
        assert_eq!(strays(&store, "found").await, []);
        is_only(&store, &name, &stray).await;
    }
}

/// As long as there is an image that it may be meant for, a name stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_nowhere_is_found() {
    let store = open("volumes", CloneFormat::V2);
    let name = format!("t{}.nowhere.name", std::process::id());
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display().to_string();
    let object = format!("rbd_id.{name}");
    store.create(&name, 8 << 20, 4 << 20).await.unwrap();
    pools::run("rados", &["-p", "volumes", "get", &object, &path]);
    let id = store.trash_move(&name).await.unwrap();
    pools::run("rados", &["-p", "volumes", "put", &object, &path]);
    let found = strays(&store, "nowhere").await;
    assert_eq!(found.iter().map(|stray| &stray.leads).collect::<Vec<_>>(), [&Leads::Astray]);
    assert!(!store.remove_stray_name(&found[0]).await.unwrap());
    assert!(pools::objects("volumes").contains(&object));

    store.trash_remove(&id, &Progress::new()).await.unwrap();
    assert_eq!(
        store.create(&name, 8 << 20, 4 << 20).await.unwrap_err().kind,
        ErrorKind::Exists,
        "it is in the way"
    );
    let found = strays(&store, "nowhere").await;
    assert_eq!(found.iter().map(|stray| &stray.leads).collect::<Vec<_>>(), [&Leads::Nowhere]);
    assert!(store.remove_stray_name(&found[0]).await.unwrap());
    store.create(&name, 8 << 20, 4 << 20).await.unwrap();
    // The name leads to the new one now.
    assert!(!store.remove_stray_name(&found[0]).await.unwrap());
    store.remove(&name, &Progress::new()).await.unwrap();
}

/// What still has its name is not in the trash, whatever an entry there says.
#[tokio::test(flavor = "multi_thread")]
async fn what_came_as_far_as_its_entry_is_not_in_the_trash() {
    let stores = stores("entry", CloneFormat::V2);
    let image = stores.image("begun", OBJECT).await;
    image.create_snapshot("s").await.unwrap();
    let name = image.name().to_owned();
    image.close().await.unwrap();
    let id = pools::leave_half_removed("volumes", &name, pools::Died::AtTheEntry);
    assert_eq!(stores.trash(&*stores.first).await, []);
    assert!(stores.first.list().await.unwrap().contains(&name));
    assert_refused(stores.first.trash_remove(&id, &Progress::new()).await, ErrorKind::NotFound);
    assert_refused(stores.first.trash_has_clones(&id).await, ErrorKind::NotFound);
    let image = stores.write(&name).await;
    assert_eq!(image.snapshots().await.unwrap().len(), 1, "nothing was taken from it");
    image.close().await.unwrap();
    // The next move goes on with it.
    assert_eq!(stores.first.trash_move(&name).await.unwrap(), id);
    assert_eq!(stores.trash(&*stores.first).await, [TrashEntry { id: id.clone(), name }]);
    stores.first.trash_remove(&id, &Progress::new()).await.unwrap();
    assert_eq!(stores.trash(&*stores.first).await, []);
}

/// What has lost its name on its way is in the trash, and goes from there, or by its name.
#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_broke_off_is_brought_to_its_end() {
    use pools::Died::{AtTheData, BetweenTheNames};
    let stores = stores("broken", CloneFormat::V2);
    let ways = [
        (BetweenTheNames { directory: false }, false),
        (BetweenTheNames { directory: false }, true),
        // Not librbd's order, which it would not go on with itself.
        (BetweenTheNames { directory: true }, false),
        (AtTheData, false),
        (AtTheData, true),
    ];
    for (died, by_name) in ways {
        let image = stores.image("half", 4 * OBJECT).await;
        let name = image.name().to_owned();
        image.write(0, noise(1, 2 * OBJECT)).await.unwrap();
        image.close().await.unwrap();
        let id = pools::leave_half_removed("volumes", &name, died);
        let entry = TrashEntry { id: id.clone(), name: name.clone() };
        assert_eq!(stores.trash(&*stores.first).await, [entry], "{died:?}");
        assert!(!stores.first.list().await.unwrap().contains(&name), "{died:?}");
        assert_refused(stores.first.open(&name, OpenMode::ReadOnly).await.map(drop), ErrorKind::NotFound);
        assert!(!stores.first.trash_has_clones(&id).await.unwrap());
        if by_name {
            let removed = stores.first.remove(&name, &Progress::new()).await;
            assert!(removed.is_ok(), "{died:?} {removed:?}");
        } else {
            // Somebody else may have the name by now.
            if died == AtTheData {
                stores.first.create(&name, OBJECT, OBJECT).await.unwrap();
            }
            stores.first.trash_remove(&id, &Progress::new()).await.unwrap();
            if died == AtTheData {
                stores.first.remove(&name, &Progress::new()).await.unwrap();
            }
        }
        assert_eq!(stores.trash(&*stores.first).await, [], "{died:?}");
        let is_left = |object: &String| object.ends_with(&name) || object.contains(&format!(".{id}"));
        let left: Vec<String> = pools::objects("volumes").into_iter().filter(is_left).collect();
        assert_eq!(left, Vec::<String>::new(), "{died:?} {by_name}");
    }
}

/// One that was put on by hand stays when its owner goes, and is in everybody's way.
#[tokio::test(flavor = "multi_thread")]
async fn an_advisory_lock_is_seen_and_broken() {
    let stores = stores("advisory", CloneFormat::V2);
    let image = stores.image("locked", OBJECT).await;
    let name = image.name().to_owned();
    image.close().await.unwrap();
    pools::run("rbd", &["lock", "add", &format!("volumes/{name}"), "by-hand"]);
    let image = stores.write(&name).await;
    let locks = image.locks().await.unwrap();
    assert_eq!(locks.len(), 1, "{locks:?}");
    assert_eq!((locks[0].cookie.as_str(), locks[0].kind), ("by-hand", LockKind::Advisory));
    let listed = pools::run("rbd", &["lock", "ls", &format!("volumes/{name}")]);
    assert!(listed.contains(&locks[0].owner) && listed.contains(&locks[0].address), "{listed} {locks:?}");
    assert_eq!(image.writers().await.unwrap(), Vec::<String>::new());
    let other = Lock { cookie: "another".to_owned(), ..locks[0].clone() };
    assert!(!image.break_lock(&other).await.unwrap());
    let reader = stores.read(&name).await;
    assert_refused(reader.break_lock(&locks[0]).await, ErrorKind::ReadOnly);
    assert!(image.break_lock(&locks[0]).await.unwrap());
    assert!(!image.break_lock(&locks[0]).await.unwrap());
    image.write(0, noise(1, OBJECT)).await.unwrap();
    image.close().await.unwrap();
    stores.first.remove(&name, &Progress::new()).await.unwrap();
}

/// Whoever was believed dead does nothing any more, and connects anew.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_shut_out_writes_nothing_any_more() {
    let other = open("volumes", CloneFormat::V2);
    // A connection of its own: the others in this process stay.
    let shut_out = RbdOptions { operation_timeout: 5, ..options("volumes") };
    let store: Arc<dyn BlockStore> = Arc::new(rbd::open(shut_out, BlockingPool::default()).unwrap());
    let name = format!("t{}.shut-out", std::process::id());
    store.create(&name, OBJECT, OBJECT).await.unwrap();
    let image = store.open(&name, OpenMode::ReadWrite).await.unwrap();
    image.write(0, noise(1, OBJECT)).await.unwrap();
    let reader = other.open(&name, OpenMode::ReadOnly).await.unwrap();
    let address = reader.locks().await.unwrap().remove(0).address;
    let client = ClusterClient { fsid: other.fsid().await.unwrap(), address };
    assert!(rbd::clients().contains(&client), "{client:?} {:?}", rbd::clients());

    let elsewhere = ClusterClient { fsid: "another".to_owned(), ..client.clone() };
    assert!(!other.shut_out(&elsewhere).await.unwrap());
    image.write(0, noise(2, OBJECT)).await.unwrap();
    assert!(other.shut_out(&client).await.unwrap());
    // Who asks an OSD afterwards tells it.
    assert!(reader.read(0, OBJECT).await.unwrap() == noise(2, OBJECT));
    // What librbd noticed before the write it waits with, for a lock that it does not get.
    let refused = image.write(0, noise(3, OBJECT)).await.unwrap_err();
    assert!(matches!(refused.kind, ErrorKind::Disconnected | ErrorKind::TimedOut), "{refused}");
    assert!(reader.read(0, OBJECT).await.unwrap() == noise(2, OBJECT));
    assert_eq!(
        other.open(&name, OpenMode::ReadOnly).await.unwrap().writers().await.unwrap(),
        Vec::<String>::new()
    );

    let again = store.open(&name, OpenMode::ReadWrite).await.unwrap();
    again.write(0, noise(4, OBJECT)).await.unwrap();
    assert!(reader.read(0, OBJECT).await.unwrap() == noise(4, OBJECT));
    for image in [again, reader] {
        image.close().await.unwrap();
    }
    let _ = image.close().await;
    store.remove(&name, &Progress::new()).await.unwrap();
}

/// A monitor that takes connections and says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_hangs_is_an_error_in_time() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let conf = folder.path().join("ceph.conf");
    let text =
        format!("[global]\nmon_host = v2:{}\nauth_client_required = none\n", silent.local_addr().unwrap());
    std::fs::write(&conf, text).unwrap();
    let options = RbdOptions {
        conf: Some(conf),
        connect_timeout: 2,
        operation_timeout: 2,
        retries: 1,
        ..RbdOptions::new("images")
    };
    let store = rbd::open(options, BlockingPool::default()).unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(60), store.list()).await.expect("it hangs");
    let kind = answer.unwrap_err().kind;
    assert!(matches!(kind, ErrorKind::TimedOut | ErrorKind::Disconnected), "{kind:?}");
}

/// Flattens that fill their class never keep a clone waiting.
#[tokio::test(flavor = "multi_thread")]
async fn heavy_calls_do_not_starve_short_ones() {
    let stores = stores("classes", CloneFormat::V1);
    let threads = BlockingPool::new(2, 1, 1, 1);
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let heavy = tokio::spawn({
        let threads = threads.clone();
        async move {
            let wait = move || {
                let _ = held.recv();
                Ok(())
            };
            threads.run(pumice::block::Class::Heavy, "flatten", "x", wait).await
        }
    });
    let store =
        rbd::open(RbdOptions { clone_format: CloneFormat::V1, ..options("volumes") }, threads).unwrap();
    let name = stores.name("short");
    store.create(&name, OBJECT, OBJECT).await.unwrap();
    store.remove(&name, &Progress::new()).await.unwrap();
    assert!(!heavy.is_finished());
    drop(hold);
    heavy.await.unwrap().unwrap();
}

/// A callback of librbd takes a lock of the image once more after it has said that the image is open. With freed memory
/// overwritten, a close that overtakes it ends the process at once, where it otherwise does so one day.
#[test]
fn an_image_may_be_closed_as_soon_as_it_is_open() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["contract::rbd::opens_and_closes", "--exact", "--ignored", "--test-threads=1"])
        .env("MALLOC_PERTURB_", "90")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{}: {said}{complaint}", output.status);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by an_image_may_be_closed_as_soon_as_it_is_open, in a process of its own"]
async fn opens_and_closes() {
    let stores = stores("opened", CloneFormat::V2);
    let each = (0..8).map(|number| {
        let stores = &stores;
        async move {
            let image = stores.image(&format!("i{number}"), 1 << 20).await;
            image.create_snapshot("s").await.unwrap();
            for _ in 0..100 {
                stores.at(image.name(), "s").await.close().await.unwrap();
            }
            image.remove_snapshot("s").await.unwrap();
            let name = image.name().to_owned();
            image.close().await.unwrap();
            stores.first.remove(&name, &Progress::new()).await.unwrap();
        }
    });
    futures::future::join_all(each).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_stays_when_the_trash_is_purged() {
    let pools = Pools::make(StoreKind::RbdV2);
    let options = RbdOptions { conf: Some(ceph_conf()), ..RbdOptions::new(&pools.volumes) };
    let store = rbd::open(options, BlockingPool::default()).unwrap();
    for name in ["moved", "kept"] {
        store.create(name, 4 << 20, 4 << 20).await.unwrap();
    }
    store.trash_move("moved").await.unwrap();
    let id = store.trash_keep("kept").await.unwrap();
    pools::run("rbd", &["trash", "purge", "--no-progress", &pools.volumes]);
    let left = store.trash_list().await.unwrap();
    assert_eq!(left.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["kept"]);
    store.trash_remove(&id, &Progress::new()).await.unwrap();
    assert_eq!(store.trash_list().await.unwrap().len(), 0);
}
