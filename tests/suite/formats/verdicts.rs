//! What is accepted as what.

use std::collections::HashMap;

use pumice::formats::{Danger, Refusal, Rules};

use super::bases::{self, DISK};
use super::inspect;

const STRICT: Rules = Rules { require_match: true, allow_invalid_partitions: false };
const LOOSE: Rules = Rules { require_match: false, allow_invalid_partitions: true };

fn files() -> HashMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let names = bases::make(folder.path());
    names.into_iter().map(|name| (name.clone(), std::fs::read(folder.path().join(name)).unwrap())).collect()
}

fn danger(bytes: &[u8]) -> Danger {
    match inspect(bytes, 70_001).judge("raw", &STRICT) {
        Err(Refusal::Unsafe { danger, .. }) => danger,
        other => panic!("{other:?}"),
    }
}

#[test]
fn real_images_are_what_they_are() {
    let files = files();
    let good = [
        ("raw", "raw", Some(DISK)),
        ("qcow2-v2", "qcow2", Some(DISK)),
        ("qcow2-v3", "qcow2", Some(DISK)),
        ("qcow2-zstd", "qcow2", Some(DISK)),
        ("qcow2-extended-l2", "qcow2", Some(DISK)),
        ("vmdk-sparse", "vmdk", Some(DISK)),
        ("vmdk-stream", "vmdk", Some(DISK)),
        ("vhd-dynamic", "vhd", Some(DISK)),
        ("vhd-fixed", "vhd", Some(DISK)),
        ("vhdx-dynamic", "vhdx", Some(DISK)),
        ("vdi-dynamic", "vdi", Some(DISK)),
        ("vdi-static", "vdi", Some(DISK)),
        ("iso", "iso", Some(146 * 2048)),
        ("iso-gpt", "iso", Some(146 * 2048)),
        ("raw", "ami", None),
        ("raw", "ploop", None),
    ];
    for (name, declared, size) in good {
        let content = inspect(&files[name], 70_001);
        assert_eq!(content.judge(declared, &STRICT), Ok(size), "{name} as {declared}: {content:?}");
    }
    for (name, bytes) in &files {
        let content = inspect(bytes, 70_001);
        let is_bad = ["qcow2-backing", "qcow2-data-file", "vmdk-child", "vmdk-flat", "vmdk-split", "qed"]
            .contains(&name.as_str());
        let as_raw = content.judge("raw", &STRICT);
        assert_eq!(as_raw.is_err(), is_bad, "{name}: {as_raw:?}");
        // Asked to be raw, it is as large as its bytes, whatever they look like.
        assert!(is_bad || as_raw == Ok(Some(bytes.len() as u64)), "{name}: {as_raw:?}");
        for declared in ["qcow2", "vmdk", "vhd", "vhdx", "vdi", "iso", "ami"] {
            let is_it = good.iter().any(|(good, format, _)| good == name && *format == declared);
            let is_raw = declared == "ami" && content.found.is_empty();
            assert_eq!(content.judge(declared, &STRICT).is_ok(), is_it || is_raw, "{name} as {declared}");
        }
    }
    assert_eq!(danger(&files["qcow2-backing"]), Danger::BackingFile);
    assert_eq!(danger(&files["qcow2-data-file"]), Danger::DataFile);
    assert_eq!(danger(&files["vmdk-child"]), Danger::BackingFile);
}

#[test]
fn what_qcow2_must_not_say() {
    let good = files().remove("qcow2-v3").unwrap();
    let patched = |at: usize, bytes: &[u8]| {
        let mut copy = good.clone();
        copy[at..at + bytes.len()].copy_from_slice(bytes);
        danger(&copy)
    };
    assert_eq!(patched(72, &(1u64 << 40).to_be_bytes()), Danger::UnknownFeatures);
    assert_eq!(patched(24, &u64::MAX.to_be_bytes()), Danger::TooLarge);
    assert_eq!(patched(24, &(1u64 << 45).to_be_bytes()), Danger::Malformed("the L1 table is too short"));
    assert_eq!(patched(36, &u32::MAX.to_be_bytes()), Danger::Malformed("the L1 table is too long"));
    assert_eq!(patched(20, &63u32.to_be_bytes()), Danger::Malformed("the cluster size"));
    assert_eq!(danger(&good[..60]), Danger::Malformed("a header is cut short"));
}

#[test]
fn what_a_vmdk_descriptor_must_not_say() {
    let good = files().remove("vmdk-sparse").unwrap();
    let text = |from: &str, to: &str| {
        let text = String::from_utf8(good[512..20 * 512].to_vec()).unwrap();
        assert!(text.contains(from), "{text}");
        let mut changed = text.trim_end_matches('\0').replace(from, to).into_bytes();
        changed.resize(20 * 512 - 512, 0);
        danger(&[&good[..512], &changed, &good[20 * 512..]].concat())
    };
    let subformat =
        Danger::Unsupported("only VMDKs of types monolithicSparse and streamOptimized are supported");
    assert_eq!(text("monolithicSparse", "monolithicFlat"), subformat);
    assert_eq!(text("SPARSE \"", "SPARSE \"/etc/"), Danger::DataFile);
    assert_eq!(text("SPARSE \"", "FLAT \""), Danger::DataFile);
    assert_eq!(text("parentCID=ffffffff", "parentCID=12345678"), Danger::BackingFile);
    let two = Danger::Malformed("the descriptor must have one type");
    assert_eq!(text("createType", "createType=\"monolithicSparse\"\ncreateType"), two);
    // QEMU would follow the descriptor instead.
    let mut empty = good.clone();
    empty[12..20].fill(0);
    assert_eq!(danger(&empty), Danger::Malformed("no sectors"));
}

#[test]
fn rules_of_the_operator() {
    let files = files();
    let judge = |name: &str, declared, rules| inspect(&files[name], 70_001).judge(declared, rules);
    assert!(matches!(judge("qcow2-v3", "vmdk", &STRICT), Err(Refusal::Mismatch { found: "qcow2", .. })));
    assert_eq!(judge("qcow2-v3", "vmdk", &LOOSE), Ok(None));
    // Unsafe content is never let in.
    assert!(judge("qcow2-backing", "vmdk", &LOOSE).is_err());

    let mut boot_sector = bases::mbr(0x83);
    boot_sector[446] = 7;
    let content = inspect(&boot_sector, 512);
    assert!(matches!(content.judge("raw", &STRICT), Err(Refusal::Unsafe { .. })));
    assert_eq!(content.judge("raw", &LOOSE), Ok(Some(boot_sector.len() as u64)));
    assert_eq!(content.judge("aki", &STRICT), Ok(None));
}

#[test]
fn what_can_be_taken_for_two_things_is_refused() {
    let mut bytes = files().remove("qcow2-v3").unwrap();
    bytes[(32 << 10) + 1..(32 << 10) + 6].copy_from_slice(b"CD001");
    for declared in ["qcow2", "iso", "raw"] {
        let verdict = inspect(&bytes, 512).judge(declared, &STRICT);
        assert_eq!(verdict, Err(Refusal::Ambiguous("qcow2,iso".to_owned())));
    }
}
