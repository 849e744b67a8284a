//! What is wrong with a configuration.

use std::fmt::{self, Display};
use std::io;
use std::path::PathBuf;

/// Why a configuration cannot be used. The text names the file, the line or the option, and repeats no value
/// that may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{}: cannot be read", .path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{}, line {line}: {message}", .path.display())]
    Syntax { path: PathBuf, line: usize, message: String },
    #[error("{0}")]
    Refused(Faults),
}

/// All that is wrong with the values, a line each.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Faults(Vec<String>);

impl Faults {
    pub fn add(&mut self, fault: impl Into<String>) {
        self.0.push(fault.into());
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes that an option does not hold what it must.
    pub(super) fn require(&mut self, holds: bool, option: &str, rule: &str, value: impl Display) {
        if !holds {
            self.add(format!("{option}: {rule}, not {value}"));
        }
    }
}

impl Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}
