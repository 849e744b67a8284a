//! What callers may do: rules in the language of oslo.policy, under the names that Glance and Cinder give them.
//!
//! - `check`: one rule as a tree, and how it is written
//! - `template`: texts with `%(key)s`, filled in from what is acted on
//! - `parse`: from the text of a rule to its tree
//! - `rules`: all rules of one API, checked as a whole, and their verdicts

mod check;
mod parse;
mod rules;
mod subject;
mod target;
mod template;

pub use check::Check;
pub use parse::{Fault, check, listed};
pub use rules::{Rules, RulesFault};
pub use subject::Subject;
pub use target::Target;
pub use template::Template;
