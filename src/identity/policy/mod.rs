//! What callers may do: rules in the language of oslo.policy, under the names that Glance and Cinder give them.
//!
//! - `check`, `template`, `parse`: one rule: its tree, its texts with `%(key)s`, its reader
//! - `subject`, `target`: who asks, and what is acted on, as rules see them
//! - `rules`: all rules of one API, checked as a whole, and their verdicts
//! - [`image`], [`volume`], [`own`]: the rules that the APIs ask, with their defaults
//! - `file`: a policy file
//! - `protections`: a file of who may do what with custom properties of images
//! - `policies`: the rules in force, and how they are read again
//! - `guard`: a caller before the rules of one API: what handlers ask

mod check;
mod file;
mod guard;
pub mod image;
pub mod own;
mod parse;
mod policies;
mod protections;
mod rules;
mod subject;
mod table;
mod target;
mod template;
pub mod volume;

pub use check::Check;
pub use file::FileFault;
pub(crate) use file::read_text;
pub use guard::Guard;
pub use parse::{Fault, check, listed};
pub use policies::{Api, Policies};
pub use protections::Access;
pub use rules::{Rules, RulesFault};
pub use subject::Subject;
pub use table::Rule;
pub use target::Target;
pub use template::Template;
