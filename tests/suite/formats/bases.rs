//! Images as `qemu-img` makes them, and some that it does not make.

use std::path::Path;
use std::process::Command;

/// The disk in each of them.
pub const DISK: u64 = 4 << 20;

/// Name, format for `qemu-img`, its options.
const MADE: &[(&str, &str, &str)] = &[
    ("qcow2-v2", "qcow2", "compat=0.10"),
    ("qcow2-v3", "qcow2", "compat=1.1"),
    ("qcow2-zstd", "qcow2", "compression_type=zstd,cluster_size=4096"),
    ("qcow2-extended-l2", "qcow2", "extended_l2=on,cluster_size=128k"),
    ("vmdk-sparse", "vmdk", "subformat=monolithicSparse"),
    ("vmdk-stream", "vmdk", "subformat=streamOptimized"),
    ("vmdk-flat", "vmdk", "subformat=monolithicFlat"),
    ("vmdk-split", "vmdk", "subformat=twoGbMaxExtentSparse"),
    ("vhd-dynamic", "vpc", "subformat=dynamic,force_size=on"),
    ("vhd-fixed", "vpc", "subformat=fixed,force_size=on"),
    ("vhdx-dynamic", "vhdx", "subformat=dynamic,block_size=1M"),
    ("vdi-dynamic", "vdi", "static=off"),
    ("vdi-static", "vdi", "static=on"),
    ("qed", "qed", "cluster_size=64k"),
    ("luks", "luks", "key-secret=key,iter-time=10"),
];

pub fn qemu_img(folder: &Path, arguments: &[&str]) {
    run(folder, "qemu-img", arguments);
}

/// Writes into an image.
pub fn qemu_io(folder: &Path, format: &str, name: &str, commands: &[String]) {
    let mut arguments = vec!["-f", format, "-d", "unmap"];
    arguments.extend(commands.iter().flat_map(|command| ["-c", command.as_str()]));
    arguments.push(name);
    run(folder, "qemu-io", &arguments);
}

fn run(folder: &Path, program: &str, arguments: &[&str]) {
    // On a busy machine `qemu-img` now and then fails to measure how fast it derives the key of a LUKS image.
    for is_last in [false, false, false, true] {
        let output = Command::new(program).args(arguments).current_dir(folder).output();
        let output = output.expect("qemu-img or qemu-io is missing: run the tests with `make test`");
        let words = String::from_utf8_lossy(&output.stderr);
        if !is_last && words.contains("accurate CPU usage") {
            continue;
        }
        assert!(output.status.success(), "{arguments:?}: {words}");
        return;
    }
}

/// Writes them into `folder`, and answers their names.
pub fn make(folder: &Path) -> Vec<String> {
    std::fs::write(folder.join("raw"), disk()).unwrap();
    let mut names = vec!["raw".to_owned()];
    for (name, format, options) in MADE {
        let secret = ["--object", "secret,id=key,data=no-secret"];
        let convert = ["convert", "-f", "raw", "-O", format, "-o", options, "raw", name];
        let arguments = if *format == "luks" {
            [&convert[..1], &secret, &convert[1..]].concat()
        } else {
            convert.to_vec()
        };
        qemu_img(folder, &arguments);
        names.push((*name).to_owned());
    }
    qemu_img(folder, &["create", "-q", "-f", "qcow2", "-b", "raw", "-F", "raw", "qcow2-backing"]);
    qemu_img(folder, &["create", "-q", "-f", "qcow2", "-o", "data_file=other.data", "qcow2-data-file", "4M"]);
    qemu_img(folder, &["create", "-q", "-f", "vmdk", "-b", "vmdk-sparse", "-F", "vmdk", "vmdk-child"]);
    names.extend(["qcow2-backing", "qcow2-data-file", "vmdk-child"].map(str::to_owned));
    for (name, bytes) in [("iso", iso()), ("mbr", mbr(0x83)), ("gpt", mbr(0xEE)), ("iso-gpt", bootable_iso())]
    {
        std::fs::write(folder.join(name), bytes).unwrap();
        names.push(name.to_owned());
    }
    names
}

/// Some of it is not zero.
pub fn disk() -> Vec<u8> {
    let mut disk = vec![0; DISK as usize];
    for (at, byte) in disk[100_000..200_000].iter_mut().enumerate() {
        *byte = (at % 251) as u8;
    }
    disk
}

pub fn mbr(kind: u8) -> Vec<u8> {
    let mut bytes = disk()[..300_000].to_vec();
    bytes[446..462].copy_from_slice(&[0, 0, 2, 0, kind, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0, 0x40, 2, 0, 0]);
    bytes[510..512].copy_from_slice(&[0x55, 0xAA]);
    bytes
}

pub fn iso() -> Vec<u8> {
    let mut bytes = vec![0; 300_000];
    let descriptor = &mut bytes[32 << 10..];
    descriptor[..7].copy_from_slice(b"\x01CD001\x01");
    descriptor[80..84].copy_from_slice(&146u32.to_le_bytes());
    descriptor[84..88].copy_from_slice(&146u32.to_be_bytes());
    descriptor[128..132].copy_from_slice(&[0, 8, 8, 0]);
    bytes
}

pub fn bootable_iso() -> Vec<u8> {
    let mut bytes = iso();
    bytes[..512].copy_from_slice(&mbr(0x83)[..512]);
    bytes
}
