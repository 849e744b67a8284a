//! How much is logged, module by module, and how that is changed while the process runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};
use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Targets;

/// Makes what is logged by this process depend on another filter; there once logging was started.
pub(super) static RELOAD: OnceLock<Box<Reload>> = OnceLock::new();

pub(super) type Reload = dyn Fn(EnvFilter) -> anyhow::Result<()> + Send + Sync;

/// Deeper modules that may have levels of their own at the most.
const MOST: usize = 100;

/// What the log is configured to say, and what was said about it since. Cheap to clone.
#[derive(Clone)]
pub struct Levels(Arc<Inner>);

struct Inner {
    /// `log.filter`
    configured: String,
    set: Mutex<BTreeMap<String, Severity>>,
}

/// How grave a line must be to be logged, by the names of Python's levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    Trace,
    Debug,
    Info,
    Warning,
    Error,
    /// No line of ours is: nothing is logged.
    Critical,
}

impl Severity {
    /// One that can be asked for, in letters of any case.
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_uppercase().as_str() {
            "DEBUG" => Some(Self::Debug),
            "INFO" => Some(Self::Info),
            "WARNING" => Some(Self::Warning),
            "ERROR" => Some(Self::Error),
            _ => None,
        }
    }

    /// As a filter says it.
    fn directive(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warn",
            Self::Error => "error",
            Self::Critical => "off",
        }
    }
}

/// What somebody asked for, as processes tell it each other.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    pub modules: Vec<String>,
    pub prefix: String,
    pub level: Severity,
}

impl Change {
    pub fn written(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Levels {
    pub fn new(configured: &str) -> Self {
        Self(Arc::new(Inner { configured: configured.to_owned(), set: Mutex::default() }))
    }

    /// Does what another process was asked for.
    pub fn hear(&self, text: &str) {
        match serde_json::from_str(text) {
            Ok(change) => self.apply(&change),
            Err(error) => tracing::warn!(%error, "another process tells what is not understood"),
        }
    }

    pub fn apply(&self, change: &Change) {
        let modules: Vec<&str> = change.modules.iter().map(String::as_str).collect();
        match self.set(&modules, &change.prefix, change.level) {
            Ok(()) => {
                tracing::info!(log.prefix = %change.prefix, log.level = ?change.level, "levels were set")
            }
            Err(error) => tracing::warn!(%error, "levels cannot be set"),
        }
    }

    /// Sets the level of those of these modules whose names begin with `prefix`, or of the one deep inside of one of them
    /// that it names itself.
    fn set(&self, modules: &[&str], prefix: &str, level: Severity) -> anyhow::Result<()> {
        let filter = {
            let mut set = self.locked();
            let known = modules.iter().filter(|module| module.starts_with(prefix));
            let chosen: Vec<String> = match known.map(|module| (*module).to_owned()).collect::<Vec<_>>() {
                none if none.is_empty() && is_inside(modules, prefix) => vec![prefix.to_owned()],
                known => known,
            };
            for module in chosen {
                // What is inside follows.
                set.retain(|other, _| !other.starts_with(&module));
                if set.len() < MOST {
                    set.insert(module, level);
                }
            }
            self.filter(&set)
        };
        match RELOAD.get() {
            Some(reload) => reload(EnvFilter::try_new(filter)?),
            None => Ok(()),
        }
    }

    /// The levels of those of these modules whose names begin with `prefix`, and of what was set inside of them.
    pub fn of(&self, modules: &[&str], prefix: &str) -> BTreeMap<String, Severity> {
        let set = self.locked();
        let filter = targets(&self.filter(&set));
        let inside = set.keys().map(String::as_str).filter(|module| is_inside(modules, module));
        let named = modules.iter().copied().chain(inside).filter(|module| module.starts_with(prefix));
        named.map(|module| (module.to_owned(), severity(&filter, module))).collect()
    }

    /// What is configured, without what it says of modules that were set, and then these.
    fn filter(&self, set: &BTreeMap<String, Severity>) -> String {
        let is_set = |directive: &str| set.keys().any(|module| directive.starts_with(module.as_str()));
        let configured = self.0.configured.split(',').map(str::trim).filter(|directive| !is_set(directive));
        let set = set.iter().map(|(module, level)| format!("{module}={}", level.directive()));
        configured.map(str::to_owned).chain(set).collect::<Vec<_>>().join(",")
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, Severity>> {
        // Entries are whole values: a panic elsewhere leaves none half made.
        self.0.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_inside(modules: &[&str], name: &str) -> bool {
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':'));
    is_name
        && modules.iter().any(|module| name.strip_prefix(module).is_some_and(|rest| rest.starts_with("::")))
}

/// What a filter says of modules; what it says of spans in them is left out.
fn targets(filter: &str) -> Targets {
    let is_of_spans = |directive: &str| directive.contains(['[', ']', '{', '}']);
    let directives: Vec<&str> = filter.split(',').filter(|directive| !is_of_spans(directive)).collect();
    directives.join(",").parse().unwrap_or_default()
}

fn severity(filter: &Targets, module: &str) -> Severity {
    let levels = [
        (Level::TRACE, Severity::Trace),
        (Level::DEBUG, Severity::Debug),
        (Level::INFO, Severity::Info),
        (Level::WARN, Severity::Warning),
        (Level::ERROR, Severity::Error),
    ];
    let enabled = levels.into_iter().find(|(level, _)| filter.would_enable(module, level));
    enabled.map_or(Severity::Critical, |(_, severity)| severity)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULES: &[&str] = &["pumice::block", "pumice::jobs"];

    fn all(levels: &Levels) -> Vec<(String, Severity)> {
        levels.of(MODULES, "").into_iter().collect()
    }

    #[test]
    fn the_filter_says_them_until_they_are_set() {
        let levels = Levels::new("warn,pumice::jobs=debug,pumice::jobs[job]=trace");
        let (block, jobs) = ("pumice::block".to_owned(), "pumice::jobs".to_owned());
        assert_eq!(all(&levels), [(block.clone(), Severity::Warning), (jobs.clone(), Severity::Debug)]);
        levels.set(MODULES, "pumice::j", Severity::Error).unwrap();
        assert_eq!(all(&levels), [(block.clone(), Severity::Warning), (jobs.clone(), Severity::Error)]);
        assert_eq!(levels.filter(&levels.locked()), "warn,pumice::jobs=error");
        levels.set(MODULES, "", Severity::Info).unwrap();
        assert_eq!(all(&levels), [(block, Severity::Info), (jobs, Severity::Info)]);
        levels.set(MODULES, "cinder", Severity::Debug).unwrap();
        assert_eq!(levels.of(MODULES, "pumice::b").len(), 1);
        assert_eq!(levels.filter(&levels.locked()), "warn,pumice::block=info,pumice::jobs=info");
    }

    #[test]
    fn what_lies_inside_of_a_module_may_differ_until_that_is_set() {
        let levels = Levels::new("info");
        levels.set(MODULES, "pumice::block::rbd", Severity::Debug).unwrap();
        let inside = ("pumice::block::rbd".to_owned(), Severity::Debug);
        assert_eq!(levels.of(MODULES, "pumice::block").into_iter().next_back(), Some(inside));
        levels.set(MODULES, "pumice::block", Severity::Error).unwrap();
        assert_eq!(levels.of(MODULES, "").len(), 2);
        for strange in ["pumice::block::a=trace", "pumice::blocks::a", "hyper", "pumice::block::[x]"] {
            levels.set(MODULES, strange, Severity::Debug).unwrap();
            assert_eq!(levels.of(MODULES, "").len(), 2, "{strange}");
        }
    }

    #[test]
    fn a_filter_of_nothing_logs_nothing() {
        assert_eq!(Levels::new("off").of(MODULES, "pumice::jobs")["pumice::jobs"], Severity::Critical);
        assert_eq!(Levels::new("trace").of(MODULES, "pumice::jobs")["pumice::jobs"], Severity::Trace);
        assert_eq!(Severity::parse("warning"), Some(Severity::Warning));
        assert_eq!(Severity::parse("CRITICAL"), None);
    }
}
