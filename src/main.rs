//! The binary: reads its command line, does what was asked, says what went wrong.

use std::process::ExitCode;

use clap::Parser;
use pumice::commands::CommandLine;

fn main() -> ExitCode {
    match CommandLine::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The alternate form gives the whole chain of causes.
            eprintln!("pumice: {error:#}");
            ExitCode::FAILURE
        }
    }
}
