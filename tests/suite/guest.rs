//! A virtual machine boots from a volume on the real cluster. Its hypervisor, QEMU, knows what the API told it and the
//! key of the cephx user, as Nova's does, and nothing else: no file of the cluster's, no path.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pumice::config::Config;
use pumice::jobs::{NoFaults, VolumeSource};
use pumice::model::{VolumeId, VolumeStatus};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::house::store::ceph_conf;
use crate::house::{DatabaseKind, House, StoreKind};
use crate::support::{Answer, Call};

/// However slow the machine.
const PATIENCE: Duration = Duration::from_secs(120);
const SECTOR: usize = 512;
/// Where the guest writes: beyond the first objects of the volume.
const WRITTEN: u64 = 40_000;
const USER: &str = "admin";
const SERVER: &str = "83ec2e3b-4321-422b-8706-a84185f52a0a";

/// The first sector of a disk, in the machine's own language: reads the second sector, turns every byte of it over
/// with 0xA5, writes it to the sector [`WRITTEN`], says `y` or `n` on the serial line, and has the machine reset.
fn boot_sector() -> Vec<u8> {
    const AT: u16 = 0x7c00;
    let code: &[&[u8]] = &[
        &[0x31, 0xc0],             // xor ax, ax
        &[0x8e, 0xd8],             // mov ds, ax
        &[0x8e, 0xc0],             // mov es, ax
        &[0x8e, 0xd0],             // mov ss, ax
        &[0xbc, 0x00, 0x7c],       // mov sp, 7c00
        &[0xfc],                   // cld
        &[0xbe, 0x3c, 0x7c],       // mov si, what to read
        &[0xb4, 0x42],             // mov ah, 42: extended read
        &[0xcd, 0x13],             // int 13
        &[0x72, 0x1a],             // jc failed
        &[0xbe, 0x00, 0x80],       // mov si, 8000
        &[0xb9, 0x00, 0x02],       // mov cx, 512
        &[0x80, 0x34, 0xa5],       // again: xor byte [si], a5
        &[0x46],                   // inc si
        &[0xe2, 0xfa],             // loop again
        &[0xbe, 0x4c, 0x7c],       // mov si, what to write
        &[0xb8, 0x00, 0x43],       // mov ax, 4300: extended write
        &[0xcd, 0x13],             // int 13
        &[0x72, 0x04],             // jc failed
        &[0xb0, b'y', 0xeb, 0x02], // mov al, 'y'; jmp say
        &[0xb0, b'n'],             // failed: mov al, 'n'
        &[0xba, 0xf8, 0x03, 0xee], // say: mov dx, 3f8; out dx, al
        &[0xb0, 0xfe, 0xe6, 0x64], // mov al, fe; out 64, al: reset
        &[0xf4, 0xeb, 0xfd],       // end: hlt; jmp end
    ];
    let mut sector = code.concat();
    for (wanted_at, first) in [(0x3c, 1), (0x4c, WRITTEN)] {
        assert_eq!(sector.len(), wanted_at, "as the code at {AT:#x} names it");
        // One sector, to or from 0000:8000.
        sector.extend([0x10, 0, 1, 0, 0x00, 0x80, 0, 0]);
        sector.extend(first.to_le_bytes());
    }
    sector.resize(SECTOR - 2, 0);
    sector.extend([0x55, 0xaa]);
    sector
}

/// Runs a machine with the disk that `info`, a connection as the API tells it, leads to. What it says on its serial
/// line, and QEMU's own words.
fn boot(info: &Value) -> (String, String) {
    let (pool, image) = info["name"].as_str().unwrap().split_once('/').unwrap();
    let servers: Vec<Value> = info["hosts"]
        .as_array()
        .unwrap()
        .iter()
        .zip(info["ports"].as_array().unwrap())
        .map(|(host, port)| json!({"host": host, "port": port}))
        .collect();
    let disk = json!({
        "driver": "rbd", "node-name": "volume", "pool": pool, "image": image, "server": servers,
        "user": info["auth_username"], "auth-client-required": ["cephx"], "key-secret": "key",
        "read-only": info["access_mode"] == "ro", "cache": {"direct": true},
    });
    let key = Command::new("ceph")
        .arg("-c")
        .arg(ceph_conf())
        .args(["auth", "get-key"])
        .arg(format!("client.{USER}"))
        .output()
        .unwrap();
    assert!(key.status.success(), "{}", String::from_utf8_lossy(&key.stderr));
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(&key.stdout).unwrap();

    let mut machine = Command::new("qemu-system-x86_64")
        .args(["-nodefaults", "-no-user-config", "-machine", "pc,accel=tcg", "-m", "32", "-display", "none"])
        .args(["-serial", "stdio", "-no-reboot", "-object"])
        .arg(format!("secret,id=key,format=base64,file={}", file.path().display()))
        .args(["-blockdev", &disk.to_string(), "-device", "virtio-blk-pci,drive=volume,bootindex=0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("qemu-system-x86_64 is missing: scripts/need test installs it");
    let started = Instant::now();
    while machine.try_wait().unwrap().is_none() {
        if started.elapsed() > PATIENCE {
            machine.kill().unwrap();
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = machine.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// A cloud whose volumes are on the cluster, and one of them, made to be booted from.
struct Cloud {
    house: House,
    volume: VolumeId,
    /// What the guest reads.
    given: Vec<u8>,
}

impl Cloud {
    async fn new() -> Self {
        let mut config = Config::default();
        config.volumes.rbd_pool = "volumes".to_owned();
        config.volumes.rbd_user = Some(USER.to_owned());
        let house =
            House::with(StoreKind::RbdV2, DatabaseKind::Sqlite, config, std::sync::Arc::new(NoFaults)).await;
        let volume = house.volume(VolumeSource::Empty, 1).await;
        let given: Vec<u8> = (0..SECTOR).map(|i| (i * 7 % 256) as u8).collect();
        house.write(&volume, 0, &[boot_sector(), given.clone()].concat()).await;
        Self { house, volume, given }
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let routes = self.house.service().routes(None);
        let call = Call::to(routes, method, &format!("/volume/v3/{path}")).version(71);
        match body {
            Some(body) => call.json(&body).send().await,
            None => call.send().await,
        }
    }

    async fn act(&self, action: &str, body: Value) -> Answer {
        self.ask("POST", &format!("volumes/{}/action", self.volume), Some(json!({ action: body }))).await
    }

    async fn boots(&self, info: Value) {
        let (said, words) = tokio::task::spawn_blocking(move || boot(&info)).await.unwrap();
        assert_eq!(said, "y", "{words}");
    }

    /// What the guest wrote is there for everybody else.
    async fn assert_written(&self) {
        let found = self.house.read(&self.volume, WRITTEN * SECTOR as u64, SECTOR as u64).await;
        let expected: Vec<u8> = self.given.iter().map(|byte| byte ^ 0xa5).collect();
        assert_eq!(found, expected);
    }

    async fn end(mut self) {
        assert_eq!(self.house.volume_status(&self.volume).await, Some(VolumeStatus::Available));
        assert!(self.house.delete_volume(&self.volume).await);
        self.house.settle().await;
        assert_eq!(self.house.volume_status(&self.volume).await, None);
        self.house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn boots_from_what_an_attachment_tells() {
    let cloud = Cloud::new().await;
    let reserve = json!({"attachment": {"volume_uuid": cloud.volume.as_str(), "instance_uuid": SERVER}});
    let reserved = cloud.ask("POST", "attachments", Some(reserve)).await.expect(200).json();
    let path = format!("attachments/{}", reserved["attachment"]["id"].as_str().unwrap());
    let connector = json!({"attachment": {"connector": {"host": "compute-1", "mountpoint": "/dev/vda"}}});
    let told = cloud.ask("PUT", &path, Some(connector)).await.expect(200).json();
    cloud.ask("POST", &format!("{path}/action"), Some(json!({"os-complete": null}))).await.expect(204);
    cloud.boots(told["attachment"]["connection_info"].clone()).await;

    // While it is attached it grows, and is no smaller and nothing else afterwards.
    cloud.act("os-extend", json!({"new_size": 2})).await.expect(202);
    cloud.house.settle().await;
    let grown = cloud.ask("GET", &format!("volumes/{}", cloud.volume), None).await.json();
    assert_eq!((&grown["volume"]["size"], &grown["volume"]["status"]), (&json!(2), &json!("in-use")));
    cloud.ask("DELETE", &path, None).await.expect(200);
    cloud.assert_written().await;
    cloud.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn boots_from_what_the_older_actions_tell() {
    let cloud = Cloud::new().await;
    cloud.act("os-reserve", json!(null)).await.expect(202);
    let connector = json!({"connector": {"host": "compute-1"}});
    let told = cloud.act("os-initialize_connection", connector.clone()).await.expect(200).json();
    cloud.act("os-attach", json!({"instance_uuid": SERVER, "mountpoint": "/dev/vda"})).await.expect(202);
    cloud.boots(told["connection_info"]["data"].clone()).await;
    cloud.act("os-begin_detaching", json!(null)).await.expect(202);
    cloud.act("os-terminate_connection", connector).await.expect(202);
    cloud.act("os-detach", json!({})).await.expect(202);
    cloud.assert_written().await;
    cloud.end().await;
}

/// A volume that is marked so is told to be read only, and the guest cannot write.
#[tokio::test(flavor = "multi_thread")]
async fn does_not_write_to_what_is_read_only() {
    let cloud = Cloud::new().await;
    cloud.act("os-update_readonly_flag", json!({"readonly": true})).await.expect(202);
    let told = cloud.act("os-initialize_connection", json!({"connector": {}})).await.expect(200).json();
    let info = told["connection_info"]["data"].clone();
    assert_eq!(info["access_mode"], "ro");
    let (said, words) = tokio::task::spawn_blocking(move || boot(&info)).await.unwrap();
    assert_eq!(said, "n", "{words}");
    let untouched = cloud.house.read(&cloud.volume, WRITTEN * SECTOR as u64, SECTOR as u64).await;
    assert!(untouched.iter().all(|byte| *byte == 0));
    cloud.end().await;
}
