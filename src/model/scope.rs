//! What a role is held on, and a token is good for.

use super::{DomainId, ProjectId};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    Project(ProjectId),
    Domain(DomainId),
    /// The whole installation.
    System,
}

impl Scope {
    pub fn kind(&self) -> &'static str {
        match self {
            Scope::Project(_) => "project",
            Scope::Domain(_) => "domain",
            Scope::System => "system",
        }
    }

    pub fn id(&self) -> &str {
        match self {
            Scope::Project(id) => id.as_str(),
            Scope::Domain(id) => id.as_str(),
            Scope::System => "all",
        }
    }

    /// `None` for a kind that there is not.
    pub fn new(kind: &str, id: String) -> Option<Self> {
        match kind {
            "project" => Some(Scope::Project(ProjectId(id))),
            "domain" => Some(Scope::Domain(DomainId(id))),
            "system" => Some(Scope::System),
            _ => None,
        }
    }
}
