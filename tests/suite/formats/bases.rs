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
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    let output = output.expect("qemu-img or qemu-io is missing: run the tests with `make test`");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Writes them into `folder`, and answers their names.
pub fn make(folder: &Path) -> Vec<String> {
    std::fs::write(folder.join("raw"), disk()).unwrap();
    let mut names = vec!["raw".to_owned()];
    for (name, format, options) in MADE {
        qemu_img(folder, &["convert", "-f", "raw", "-O", format, "-o", options, "raw", name]);
        names.push((*name).to_owned());
    }
    qemu_img(folder, &["create", "-q", "-f", "qcow2", "-b", "raw", "-F", "raw", "qcow2-backing"]);
    qemu_img(folder, &["create", "-q", "-f", "qcow2", "-o", "data_file=other.data", "qcow2-data-file", "4M"]);
    qemu_img(folder, &["create", "-q", "-f", "vmdk", "-b", "vmdk-sparse", "-F", "vmdk", "vmdk-child"]);
    names.extend(["qcow2-backing", "qcow2-data-file", "vmdk-child"].map(str::to_owned));
    let written = [
        ("iso", iso()),
        ("mbr", mbr(0x83)),
        ("gpt", mbr(0xEE)),
        ("iso-gpt", bootable_iso()),
        ("luks", luks()),
    ];
    for (name, bytes) in written {
        std::fs::write(folder.join(name), bytes).unwrap();
        names.push(name.to_owned());
    }
    // What is written here is what others take for it.
    qemu_img(folder, &["info", "-f", "luks", "luks"]);
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

/// Version 1, with one key slot in use. `qemu-img` makes such an image only where it can measure how fast it
/// derives a key, which it often cannot on a busy machine.
fn luks() -> Vec<u8> {
    const KEY: u32 = 64;
    const STRIPES: u32 = 4000;
    // Each slot holds the key once a stripe, in sectors, and begins at a page.
    const SLOT: u32 = (KEY * STRIPES).div_ceil(4096) * 8;
    const FIRST_SLOT: u32 = 8;
    const PAYLOAD: u32 = FIRST_SLOT + 8 * SLOT;

    let mut bytes: Vec<u8> = disk().iter().map(|byte| byte ^ 0xA5).collect();
    bytes.splice(..0, vec![0; PAYLOAD as usize * 512]);
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, b"LUKS\xba\xbe\0\x01");
    put(8, b"aes");
    put(40, b"xts-plain64");
    put(72, b"sha256");
    put(104, &PAYLOAD.to_be_bytes());
    put(108, &KEY.to_be_bytes());
    put(112, &[7; 20 + 32]);
    put(164, &1000_u32.to_be_bytes());
    put(168, b"5f0c2f6e-1d5b-4f0e-9d43-6f3f6f0f9a11");
    for slot in 0..8 {
        let at = 208 + 48 * slot as usize;
        let state: u32 = if slot == 0 { 0x00AC_71F3 } else { 0x0000_DEAD };
        put(at, &state.to_be_bytes());
        put(at + 4, &1000_u32.to_be_bytes());
        put(at + 8, &[9; 32]);
        put(at + 40, &(FIRST_SLOT + slot * SLOT).to_be_bytes());
        put(at + 44, &STRIPES.to_be_bytes());
    }
    bytes
}
