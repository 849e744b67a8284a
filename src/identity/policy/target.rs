//! What is acted on, as rules see it.

use std::collections::BTreeMap;
use std::fmt::Display;

/// Texts under the keys that `%(key)s` names, as Python writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target(BTreeMap<String, String>);

impl Target {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with(mut self, key: &str, value: impl Display) -> Self {
        self.0.insert(key.to_owned(), value.to_string());
        self
    }

    /// Nothing is a value too, and called `None`.
    pub fn with_option(self, key: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self.with(key, "None"),
        }
    }

    pub fn with_truth(self, key: &str, truth: bool) -> Self {
        self.with(key, if truth { "True" } else { "False" })
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }
}
