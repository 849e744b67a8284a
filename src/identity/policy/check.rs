//! One rule as a tree.

use std::fmt;

use super::{Subject, Target, Template};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// `@`, and a rule without text.
    Always,
    /// `!`
    Never,
    All(Vec<Check>),
    Any(Vec<Check>),
    Not(Box<Check>),
    /// `rule:name`
    Rule(String),
    /// `role:name`
    Role(Template),
    /// `project_id:%(project_id)s`: something about the caller, against a text.
    Caller(String, Template),
    /// `'public':%(visibility)s`, `True:%(protected)s`: a text in the rule, against another one.
    Literal(Literal, Template),
}

/// A Python literal: its text, and how it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Literal {
    pub(super) text: String,
    pub(super) written: String,
}

impl Check {
    /// The verdict. `rule` says what another rule's verdict is.
    pub(super) fn holds(&self, subject: &Subject<'_>, target: &Target, rule: &impl Fn(&str) -> bool) -> bool {
        match self {
            Check::Always => true,
            Check::Never => false,
            Check::All(checks) => checks.iter().all(|check| check.holds(subject, target, rule)),
            Check::Any(checks) => checks.iter().any(|check| check.holds(subject, target, rule)),
            Check::Not(check) => !check.holds(subject, target, rule),
            Check::Rule(name) => rule(name),
            Check::Role(name) => name.fill(target).is_some_and(|name| subject.has_role(&name)),
            Check::Caller(what, text) => text.fill(target).is_some_and(|text| subject.is(what, &text)),
            Check::Literal(literal, text) => text.fill(target).is_some_and(|text| text == literal.text),
        }
    }

    /// Calls `visit` for this check and all below it.
    pub(super) fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Check)) {
        visit(self);
        match self {
            Check::All(checks) | Check::Any(checks) => checks.iter().for_each(|check| check.walk(visit)),
            Check::Not(check) => check.walk(visit),
            _ => {}
        }
    }
}

/// As it is written; what was read from words reads back as the same tree.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Check::Always => f.write_str("@"),
            Check::Never => f.write_str("!"),
            Check::All(checks) => joined(f, checks, " and "),
            Check::Any(checks) => joined(f, checks, " or "),
            Check::Not(check) => write!(f, "not {check}"),
            Check::Rule(name) => write!(f, "rule:{name}"),
            Check::Role(name) => write!(f, "role:{name}"),
            Check::Caller(what, text) => write!(f, "{what}:{text}"),
            Check::Literal(literal, text) => write!(f, "{}:{text}", literal.written),
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, checks: &[Check], operator: &str) -> fmt::Result {
    f.write_str("(")?;
    for (i, check) in checks.iter().enumerate() {
        if i > 0 {
            f.write_str(operator)?;
        }
        write!(f, "{check}")?;
    }
    f.write_str(")")
}
