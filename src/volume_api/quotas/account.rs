//! What can be limited, how much of it a project may have, and how much it has.

use std::collections::BTreeMap;

use super::super::request::Call;
use super::super::types;
use crate::config;
use crate::db::quotas::{DEFAULT_CLASS, Limit, Use};
use crate::db::{self, Repository};

/// Something that can be limited: its name, and the limit in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    pub name: String,
    pub default: i64,
}

/// What is limited for each type as well.
const OF_TYPES: [&str; 3] = ["volumes", "gigabytes", "snapshots"];

/// The resources that the caller may know of, in the real service's order: those of volumes, those of each
/// type, groups. What is counted does not go by them.
pub async fn resources(
    repository: &mut Repository,
    call: &Call,
    config: &config::Quotas,
) -> db::Result<Vec<Resource>> {
    let resource = |name: &str, default| Resource { name: name.to_owned(), default };
    let mut all = vec![
        resource("volumes", config.quota_volumes),
        resource("per_volume_gigabytes", config.per_volume_size_limit),
        resource("snapshots", config.quota_snapshots),
        resource("gigabytes", config.quota_gigabytes),
        resource("backups", config.quota_backups),
        resource("backup_gigabytes", config.quota_backup_gigabytes),
    ];
    for volume_type in types::all_visible(repository, call).await? {
        for what in OF_TYPES {
            all.push(resource(&of_type(what, &volume_type.name), -1));
        }
    }
    all.push(resource("groups", config.quota_groups));
    Ok(all)
}

/// The name of a resource for one volume type.
pub fn of_type(what: &str, volume_type: &str) -> String {
    format!("{what}_{volume_type}")
}

/// The limits of a type stay its own when it gets another name.
pub async fn rename_type(repository: &mut Repository, from: &str, to: &str) -> db::Result<()> {
    if from != to {
        for what in OF_TYPES {
            repository.rename_quota(&of_type(what, from), &of_type(what, to)).await?;
        }
    }
    Ok(())
}

type Limits = BTreeMap<String, i64>;

/// The limits of projects that have none of their own.
pub async fn defaults(repository: &mut Repository) -> db::Result<Limits> {
    class_limits(repository, DEFAULT_CLASS).await
}

/// What was set for a class.
pub async fn class_limits(repository: &mut Repository, class: &str) -> db::Result<Limits> {
    let quotas = repository.class_quotas(class).await?;
    Ok(quotas.into_iter().map(|quota| (quota.resource, quota.hard_limit)).collect())
}

/// A project's limits, and what it uses.
pub struct Account {
    /// Set for the project itself.
    pub own: Limits,
    defaults: Limits,
    used: BTreeMap<String, i64>,
    /// Promised to extensions that are under way.
    promised: BTreeMap<String, i64>,
}

impl Account {
    pub async fn limits(repository: &mut Repository, project: &str) -> db::Result<Self> {
        let (own, defaults): (Vec<Limit>, Vec<Limit>) =
            repository.limits(project).await?.into_iter().partition(|limit| limit.own);
        let by_name = |limits: Vec<Limit>| limits.into_iter().map(|l| (l.resource, l.hard_limit)).collect();
        Ok(Self {
            own: by_name(own),
            defaults: by_name(defaults),
            used: BTreeMap::new(),
            promised: BTreeMap::new(),
        })
    }

    /// With what is used.
    pub async fn open(
        repository: &mut Repository,
        project: &str,
        config: &config::Quotas,
    ) -> db::Result<Self> {
        let mut account = Self::limits(repository, project).await?;
        account.count(repository, project, config).await?;
        Ok(account)
    }

    pub async fn count(
        &mut self,
        repository: &mut Repository,
        project: &str,
        config: &config::Quotas,
    ) -> db::Result<()> {
        for Use { what, type_name, count, gigabytes, growing, retyping } in repository.usage(project).await? {
            if retyping {
                for (what, more) in [("volumes", count), ("gigabytes", gigabytes)] {
                    *self.promised.entry(of_type(what, &type_name)).or_default() += more;
                }
                continue;
            }
            self.add(&what, &type_name, count, 0);
            if what == "volumes" || !config.no_snapshot_gb_quota {
                self.add("gigabytes", &type_name, gigabytes, growing);
            }
        }
        Ok(())
    }

    fn add(&mut self, what: &str, volume_type: &str, used: i64, promised: i64) {
        for name in [what.to_owned(), of_type(what, volume_type)] {
            *self.used.entry(name.clone()).or_default() += used;
            *self.promised.entry(name).or_default() += promised;
        }
    }

    pub fn limit(&self, resource: &Resource) -> i64 {
        let set = self.own.get(&resource.name).or_else(|| self.defaults.get(&resource.name));
        set.copied().unwrap_or(resource.default)
    }

    pub fn used(&self, name: &str) -> i64 {
        self.used.get(name).copied().unwrap_or(0)
    }

    pub fn promised(&self, name: &str) -> i64 {
        self.promised.get(name).copied().unwrap_or(0)
    }

    /// What is not there for others any more.
    pub fn consumed(&self, name: &str) -> i64 {
        self.used(name) + self.promised(name)
    }
}
