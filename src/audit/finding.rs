//! What an audit says.

use std::collections::{BTreeSet, HashSet};
use std::hash::{Hash, Hasher};

use serde::Serialize;

use super::repair::Mend;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An image on a pool, and no row that has it.
    Orphan,
    /// What was deleted or given up and is there still, though nothing needs it.
    Zombie,
    /// A row, and nothing on the pool.
    Missing,
    /// The pool and the row say different sizes.
    WrongSize,
    /// A snapshot on a pool that no row has and no clone needs.
    StraySnapshot,
    /// Open for writing though it is attached nowhere.
    StaleWatcher,
    /// The client that locked it does not have it open any more.
    StaleLock,
    /// A name that a pool keeps, and no image that has it.
    StrayName,
    /// Objects of an image that has no name.
    Nameless,
    /// A volume's status and its attachments contradict each other.
    LeakedAttachment,
    /// A status that only a job could end, and no job.
    Stranded,
}

impl Kind {
    pub const ALL: [Kind; 11] = [
        Kind::Orphan,
        Kind::Zombie,
        Kind::Missing,
        Kind::WrongSize,
        Kind::StraySnapshot,
        Kind::StaleWatcher,
        Kind::StaleLock,
        Kind::StrayName,
        Kind::Nameless,
        Kind::LeakedAttachment,
        Kind::Stranded,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Orphan => "orphan",
            Kind::Zombie => "zombie",
            Kind::Missing => "missing",
            Kind::WrongSize => "wrong-size",
            Kind::StraySnapshot => "stray-snapshot",
            Kind::StaleWatcher => "stale-watcher",
            Kind::StaleLock => "stale-lock",
            Kind::StrayName => "stray-name",
            Kind::Nameless => "nameless",
            Kind::LeakedAttachment => "leaked-attachment",
            Kind::Stranded => "stranded",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub kind: Kind,
    /// The backend, or `images`, or `images/` and the id of another store for images.
    pub backend: String,
    /// As on the pool: `volume-<id>`, `volume-<id>@snapshot-<id>`.
    pub name: String,
    /// Bytes, where they are known.
    pub size: Option<u64>,
    /// In one sentence.
    pub explanation: String,
    /// What repair would do; `None`: nothing, somebody has to decide.
    pub repair: Option<&'static str>,
    /// The image on the pool that it is about.
    #[serde(skip)]
    pub(super) image: String,
    #[serde(skip)]
    pub(super) mend: Option<Mend>,
}

/// There may be very many, which are looked up by what they are about.
impl Hash for Finding {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.kind, &self.backend, &self.name).hash(state);
    }
}

/// All that was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub findings: Vec<Finding>,
    /// What could not be looked at, and why.
    pub unseen: Vec<String>,
}

impl Report {
    pub(super) fn new(mut findings: Vec<Finding>, unseen: Vec<String>) -> Self {
        findings.sort_by(|a, b| (&a.backend, a.kind, &a.name).cmp(&(&b.backend, b.kind, &b.name)));
        findings.dedup();
        Self { findings, unseen }
    }

    /// The images that the findings are about.
    pub(super) fn suspects(&self) -> HashSet<String> {
        self.findings.iter().map(|finding| finding.image.clone()).collect()
    }

    pub(super) fn has_strays(&self) -> bool {
        self.findings.iter().any(|finding| matches!(finding.kind, Kind::StrayName | Kind::Nameless))
    }

    /// What a second look at the suspects says as well.
    pub(super) fn confirmed_by(self, second: Self) -> Self {
        let first: HashSet<&Finding> = self.findings.iter().collect();
        let findings = second.findings.into_iter().filter(|found| first.contains(found)).collect();
        let unseen: BTreeSet<_> = self.unseen.into_iter().chain(second.unseen).collect();
        Self { findings, unseen: unseen.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(name: &str, explanation: &str) -> Finding {
        Finding {
            kind: Kind::Orphan,
            backend: "fast".to_owned(),
            name: name.to_owned(),
            size: None,
            explanation: explanation.to_owned(),
            repair: None,
            image: name.to_owned(),
            mend: None,
        }
    }

    #[test]
    fn only_what_is_found_twice_is_confirmed() {
        let first = Report::new(vec![finding("a", "x"), finding("b", "x")], vec!["q".to_owned()]);
        let second = vec![finding("a", "x"), finding("b", "y"), finding("c", "x")];
        let confirmed = first.confirmed_by(Report::new(second, vec!["p".to_owned(), "q".to_owned()]));
        assert_eq!(confirmed.findings, [finding("a", "x")]);
        assert_eq!(confirmed.unseen, ["p", "q"]);
    }
}
