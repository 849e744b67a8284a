//! Thousands of damaged images, judged by us and by oslo.utils: the same verdict, or one that is listed here.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use pumice::formats::{Danger, Format, Refusal, Rules};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Deserialize;
use serde_json::json;

use super::{bases, inspect};

/// So many for each image.
const MUTATIONS: usize = 150;
const RULES: Rules = Rules { require_match: true, allow_invalid_partitions: false };

/// Where the other accepts what we refuse.
fn why_stricter(refusal: &Refusal, length: usize) -> Option<&'static str> {
    use Format::{Luks, Qcow2, Qed, Vdi, Vhd, Vhdx, Vmdk};
    let (format, danger) = match refusal {
        Refusal::Unsafe { format, danger } => (format, danger),
        Refusal::Ambiguous(names) if names.split(',').any(|name| name == "vhd") => {
            return Some("it does not see that the whole is a fixed VHD");
        }
        Refusal::Ambiguous(_) | Refusal::Mismatch { .. } => return None,
    };
    Some(match (format, danger) {
        (Qcow2 | Qed, _) if length < 512 => "it takes what is shorter than a sector for raw bytes",
        (Qcow2, Danger::Malformed(_)) => {
            "it looks at the magic, the version and the features, not at the tables"
        }
        (Qcow2 | Vmdk | Vhd | Vhdx | Vdi, Danger::TooLarge) => "it believes any size",
        (Vmdk, Danger::BackingFile) => "it does not look for a parent",
        (Vmdk, Danger::Malformed(_)) => "it looks at a part of the header and of the descriptor",
        (Vmdk, Danger::DataFile) => "it looks for / alone, in any kind of extent",
        (Vmdk, Danger::Unsupported(_)) => "it reads on where QEMU would, and takes the rest for raw bytes",
        (Vhd, _) => "it looks at the cookie alone",
        (Vhdx, _) => "it looks for the size alone",
        (Vdi, _) => "it looks at the signature and the size alone",
        (Luks, Danger::Malformed(_)) => "it does not look where the encrypted bytes are",
        _ => return None,
    })
}

/// Where we accept what the other refuses.
fn why_looser(name: &str, bytes: &[u8]) -> Option<&'static str> {
    match name {
        "qcow2" if bytes.get(79).is_some_and(|features| features & 16 != 0) => {
            Some("extended L2 entries are published, and QEMU writes them since 5.2; it does not know them")
        }
        "vhd" => Some(
            "a fixed VHD has its footer at the end alone, where it does not look: a disk with partitions",
        ),
        _ => None,
    }
}

/// Where both accept and the sizes differ.
fn why_another_size(name: &str) -> Option<&'static str> {
    match name {
        "vhd" => Some("it takes the original size; the current one counts after a resize"),
        _ => None,
    }
}

#[derive(Debug, Deserialize)]
struct Theirs {
    accepted: Option<String>,
    virtual_size: Option<i128>,
}

struct Case {
    base: String,
    cut: Option<usize>,
    patches: Vec<(usize, Vec<u8>)>,
}

impl Case {
    fn line(&self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let patches: Vec<_> = self.patches.iter().map(|(at, bytes)| json!([at, hex(bytes)])).collect();
        json!([self.base, self.cut, patches]).to_string()
    }

    fn apply(&self, base: &[u8]) -> Vec<u8> {
        let mut bytes = base[..self.cut.unwrap_or(base.len())].to_vec();
        for (at, patch) in &self.patches {
            bytes[*at..at + patch.len()].copy_from_slice(patch);
        }
        bytes
    }
}

/// Where formats have something to say, as ranges of a file.
const PLACES: &[(usize, usize)] = &[
    (0, 80),
    (0, 128),
    (0, 600),
    (446, 512),
    (512, 900),
    (512, 1100),
    (32 << 10, (32 << 10) + 140),
    (192 << 10, (192 << 10) + 100),
    (2 << 20, (2 << 20) + 300),
    ((2 << 20) + (64 << 10), (2 << 20) + (64 << 10) + 64),
];

const MAGICS: &[(usize, &[u8])] = &[
    (510, b"\x55\xaa"),
    (32 * 1024 + 1, b"CD001"),
    (0, b"KDMV"),
    (0, b"QFI\xfb"),
    (0, b"LUKS\xba\xbe"),
    (0, b"conectix"),
    (0, b"vhdxfile"),
    (0x40, b"\x7f\x10\xda\xbe"),
];

fn mutate(random: &mut StdRng, base: &str, bytes: &[u8]) -> Case {
    let cut = random.random_ratio(1, 8).then(|| {
        let cuts = [0, 4, 63, 64, 511, 512, 592, 1024, 34_815, 34_816, 200_000, bytes.len() - 1];
        cuts[random.random_range(0..cuts.len())].min(bytes.len())
    });
    let length = cut.unwrap_or(bytes.len());
    let tail = (length.saturating_sub(1536), length);
    let mut patches = Vec::new();
    for _ in 0..random.random_range(1..4) {
        let (at, patch) = if random.random_ratio(1, 10) {
            let (at, magic) = MAGICS[random.random_range(0..MAGICS.len())];
            (at, magic.to_vec())
        } else {
            let choice = random.random_range(0..=PLACES.len());
            let (start, end) = PLACES.get(choice).copied().unwrap_or(tail);
            if start >= end.min(length) {
                continue;
            }
            let at = random.random_range(start..end.min(length));
            let old = bytes[at];
            let new = [0, 0xFF, 1, old ^ 1 << random.random_range(0..8), random.random()];
            (at, vec![new[random.random_range(0..new.len())]])
        };
        if at + patch.len() <= length {
            patches.push((at, patch));
        }
    }
    Case { base: base.to_owned(), cut, patches }
}

/// Asks the oracle about all of them.
fn ask(folder: &std::path::Path, cases: &[Case]) -> Vec<Theirs> {
    let clients = std::env::var_os("PUMICE_TEST_CLIENTS")
        .expect("PUMICE_TEST_CLIENTS names no folder with the clients: run the tests with `make test`");
    let mut python = Command::new(std::path::PathBuf::from(clients).join("python"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/oracle.py"))
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = python.stdin.take().unwrap();
    let lines: String = cases.iter().map(|case| case.line() + "\n").collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = BufReader::new(python.stdout.take().unwrap());
    let answers = output.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    writer.join().unwrap();
    assert!(python.wait().unwrap().success());
    answers
}

/// The `disk_format` under which an image of that kind is uploaded.
fn declared(format: &str) -> &str {
    if ["gpt", "luks", "qed"].contains(&format) { "raw" } else { format }
}

/// Says what the difference is, or why there is one.
fn compare(bytes: &[u8], chunk: usize, theirs: &Theirs) -> Result<Option<&'static str>, String> {
    let content = inspect(bytes, chunk);
    let ours = content.names();
    let told = |what: &str| Err(format!("{what}\n  ours {content:?}\n  theirs {theirs:?}"));
    let Some(accepted) = &theirs.accepted else {
        let name = content.found.iter().map(|found| found.format.name()).find(|name| *name != "gpt");
        let as_itself = declared(name.unwrap_or("raw"));
        return match content.judge(as_itself, &RULES) {
            Err(_) => Ok(None),
            Ok(_) => why_looser(&ours, bytes)
                .or(why_looser(as_itself, bytes))
                .map(Some)
                .ok_or(())
                .or_else(|()| told("looser")),
        };
    };
    let declared = declared(accepted);
    match content.judge(declared, &RULES) {
        Ok(size) if declared == "raw" || size.map_or(0, i128::from) == theirs.virtual_size.unwrap_or(0) => {
            Ok(None)
        }
        Ok(_) => why_another_size(declared).map(Some).ok_or(()).or_else(|()| told("another size")),
        Err(refusal) => {
            why_stricter(&refusal, bytes.len()).map(Some).ok_or(()).or_else(|()| told("stricter"))
        }
    }
}

#[test]
fn damaged_images_have_the_verdict_of_the_real_service() {
    let folder = tempfile::tempdir().unwrap();
    let names = bases::make(folder.path());
    let files: BTreeMap<_, _> =
        names.iter().map(|name| (name.clone(), std::fs::read(folder.path().join(name)).unwrap())).collect();
    let mut random = StdRng::seed_from_u64(5);
    let mut cases = Vec::new();
    for (name, bytes) in &files {
        cases.push(Case { base: name.clone(), cut: None, patches: Vec::new() });
        cases.extend((0..MUTATIONS).map(|_| mutate(&mut random, name, bytes)));
    }
    let answers = ask(folder.path(), &cases);
    assert_eq!(answers.len(), cases.len());

    let (mut refused, mut explained, mut unexplained) = (0, BTreeMap::new(), Vec::new());
    for (case, theirs) in cases.iter().zip(&answers) {
        refused += usize::from(theirs.accepted.is_none());
        match compare(&case.apply(&files[&case.base]), random.random_range(100..90_000), theirs) {
            Ok(None) => {}
            Ok(Some(reason)) => *explained.entry(reason).or_insert(0) += 1,
            Err(difference) => unexplained.push(format!("{}\n  {difference}", case.line())),
        }
    }
    println!("{} images, {refused} refused by the other; differences: {explained:#?}", cases.len());
    assert!(unexplained.is_empty(), "{} differences:\n{}", unexplained.len(), unexplained.join("\n"));
    assert!(refused > cases.len() / 10 && refused < cases.len(), "{refused} of {}", cases.len());
}
