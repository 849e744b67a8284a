//! The stores for volumes, by the names of their backends.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::BlockStore;
use crate::model::Host;

/// One place for volumes.
#[derive(Clone)]
pub struct Backend {
    /// As it stands in the host of its volumes.
    pub name: Arc<str>,
    pub store: Arc<dyn BlockStore>,
}

/// All places for volumes; there is always one.
#[derive(Clone)]
pub struct Backends {
    first: Backend,
    others: BTreeMap<String, Backend>,
}

impl Backends {
    pub fn one(name: &str, store: Arc<dyn BlockStore>) -> Self {
        Self { first: Backend { name: name.into(), store }, others: BTreeMap::new() }
    }

    /// With one more.
    pub fn and(mut self, name: &str, store: Arc<dyn BlockStore>) -> Self {
        self.others.insert(name.to_owned(), Backend { name: name.into(), store });
        self
    }

    /// Where volumes were before there were others.
    pub fn first(&self) -> &Backend {
        &self.first
    }

    pub fn iter(&self) -> impl Iterator<Item = &Backend> {
        std::iter::once(&self.first).chain(self.others.values())
    }

    /// The one in which a volume with this host lies; `None` when it is not configured. As long as there is but one,
    /// everything lies there, whatever it was called before.
    pub fn of(&self, host: Option<&str>) -> Option<&Backend> {
        let Some(host) = host.filter(|_| !self.others.is_empty()) else { return Some(&self.first) };
        self.named(Host::parse(host).backend)
    }

    pub fn named(&self, name: &str) -> Option<&Backend> {
        self.iter().find(|backend| &*backend.name == name)
    }
}
