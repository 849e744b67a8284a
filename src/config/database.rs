use super::faults::Faults;
use super::section::section;
use super::values::{DatabaseUrl, Seconds};

section! {
    /// What is remembered.
    pub struct Database = "database" {
        /// `sqlite:` and a path, or `postgres://user:password@host/database`. The SQLite file and the directory
        /// it lies in are made when missing. A password is never printed or logged.
        pub url: DatabaseUrl = DatabaseUrl::file("pumice-data/pumice.db"), "URL";
        /// Connections to PostgreSQL, or readers of the SQLite file (which has one writer besides).
        pub max_connections: u32 = 10, "connections";
        /// How long to wait for a free connection, or for another process that writes to the SQLite file.
        pub busy_timeout: Seconds = Seconds(10), "seconds";
    }
}

impl Database {
    pub(super) fn check(&self, faults: &mut Faults) {
        let connections = self.max_connections;
        faults.require(
            (1..=1_000).contains(&connections),
            "database.max_connections",
            "must be from 1 to 1000",
            connections,
        );
        faults.require(self.busy_timeout.0 > 0, "database.busy_timeout", "must be at least 1", 0);
    }
}
