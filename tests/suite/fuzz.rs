//! The fuzz targets for a moment: every seed, and some thousand damaged ones, always the same. `make fuzz` looks for
//! longer, and knows which way the code went.

#[path = "../../fuzz/targets/mod.rs"]
mod targets;

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Damaged copies of each seed.
const COPIES: usize = 100;

/// What parsers look at: the ends of numbers, and the signs of texts.
const TELLING: &[&[u8]] = &[
    b"\0",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0\0\0\0\0",
    b"/",
    b"~",
    b"\"",
    b"'",
    b"\\",
    b"[",
    b"{",
    b"-",
    b",",
    b":",
    b"99999999999999999999",
    "ü".as_bytes(),
];

fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = match target {
        "inspector" | "disk" => "images",
        other => other,
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(folder);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect()
}

fn damaged(seed: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..random.random_range(1..=4) {
        let at = random.random_range(0..=bytes.len());
        let end = random.random_range(at..=bytes.len().min(at + 16));
        match random.random_range(0..5) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            3 => bytes[at..end].iter_mut().for_each(|byte| *byte ^= 1 << random.random_range(0..8)),
            _ => {
                let telling = TELLING[random.random_range(0..TELLING.len())];
                let end = bytes.len().min(at + telling.len() * random.random_range(0..=1));
                bytes.splice(at..end, telling.iter().copied());
            }
        }
    }
    bytes
}

#[test]
fn no_parser_is_brought_down() {
    for (name, target) in targets::ALL {
        let mut random = StdRng::seed_from_u64(7);
        for (path, seed) in seeds(name) {
            let damaged = (0..COPIES).map(|_| damaged(&seed, &mut random)).collect::<Vec<_>>();
            for bytes in std::iter::once(seed).chain(damaged) {
                let outcome = panic::catch_unwind(AssertUnwindSafe(|| target(&bytes)));
                assert!(outcome.is_ok(), "{name}, from {path}: {:?}", bytes.escape_ascii().to_string());
            }
        }
    }
}

/// A seed that is refused at once leads nowhere.
#[test]
fn seeds_are_what_they_are_called() {
    for (path, seed) in seeds("disk") {
        let file = targets::Sparse::read(&seed).unwrap();
        let found = targets::inspect(&file.bytes(0..file.length), 4096).found;
        let name = Path::new(&path).file_name().unwrap().to_str().unwrap().split('-').next().unwrap();
        let expected = if name == "raw" { "gpt" } else { name };
        let one = found.iter().find(|one| one.format.name() == expected);
        assert!(one.is_some_and(|one| one.disk.is_ok() == (name != "qed")), "{path}: {found:?}");
    }
}

#[test]
fn requests_are_understood() {
    for (path, seed) in seeds("request") {
        let status = targets::request::answer(&seed);
        let is_lost = status.is_none_or(|status| matches!(status.as_u16(), 400 | 404 | 405 | 406 | 415));
        // What it wants to have is on no pool.
        assert!(!is_lost || path.ends_with("/manage"), "{path}: {status:?}");
    }
}
