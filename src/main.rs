//! The binary: reads its command line, does what was asked, says what went wrong.

use std::process::ExitCode;

use clap::Parser;
use pumice::commands::CommandLine;
use tikv_jemallocator::Jemalloc;

/// For C and C++ in this process too. It gives memory back soon after a transfer, and takes less time where one thread
/// frees what another one allocated, as with every row that SQLite's threads read.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    // First of all, so that nobody else has OpenSSL clean up when the process exits: threads of librados, and our own,
    // may still use it then.
    openssl::init();
    match CommandLine::parse().run() {
        Ok(code) => code,
        Err(error) => {
            // The alternate form gives the whole chain of causes.
            eprintln!("pumice: {error:#}");
            ExitCode::FAILURE
        }
    }
}
