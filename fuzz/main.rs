//! The fuzz targets as libFuzzer wants them, in one program: `PUMICE_FUZZ_TARGET` names the one that runs. Without it the
//! names of all are told.

#![no_main]

mod targets;

use std::sync::OnceLock;

static CHOSEN: OnceLock<targets::Target> = OnceLock::new();

fn choose() {
    let name = std::env::var("PUMICE_FUZZ_TARGET").unwrap_or_default();
    if let Some((_, target)) = targets::ALL.iter().find(|(known, _)| *known == name) {
        CHOSEN.get_or_init(|| *target);
        return;
    }
    targets::ALL.iter().for_each(|(known, _)| println!("{known}"));
    std::process::exit(if name.is_empty() { 0 } else { 2 });
}

libfuzzer_sys::fuzz_target!(init: choose(), |bytes: &[u8]| {
    if let Some(target) = CHOSEN.get() {
        target(bytes);
    }
});
