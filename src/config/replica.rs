use super::Database;
use super::faults::Faults;
use super::section::section;
use super::values::{DatabaseKind, Role};

section! {
    /// This process among those that share its database.
    pub struct Replica = "replica" {
        /// `all`, `api` (it serves the APIs and leaves jobs to others) or `worker` (it works on jobs, and serves
        /// `/healthz`, `/readyz` and `/metrics` alone). `serve --role` says otherwise. With SQLite there is one
        /// process, which does all.
        pub role: Role = Role::All, "none";
    }
}

impl Replica {
    pub(super) fn check(&self, _: &mut Faults) {}

    pub(super) fn check_on(&self, database: &Database, faults: &mut Faults) {
        let fits = self.role == Role::All || database.url.kind() != DatabaseKind::Sqlite;
        faults.require(fits, "replica.role", "must be all with SQLite, which has one process", "another one");
    }
}
