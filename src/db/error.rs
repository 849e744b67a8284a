//! What can go wrong with the database.

pub type Result<T, E = DbError> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// A unique key is taken.
    #[error("a row with this key exists already")]
    Exists,
    /// A reference to a missing row, or the removal of a referenced one.
    #[error("another row depends on this one, or this one on a missing one")]
    Reference,
    /// The status table of `model` does not allow it: a bug of the caller, caught before the row.
    #[error("a {what} cannot go from {from} to {to}")]
    Transition { what: &'static str, from: &'static str, to: &'static str },
    /// There is no room for another job; with the project, no room for one of its own.
    #[error("the queue is full")]
    QueueFull { of_project: bool },
    /// The worker's lease went to someone else: nothing was written.
    #[error("the job's lease was lost")]
    LeaseLost,
    #[error("the database's schema is of a newer version than this program")]
    Newer,
    #[error("the migration of the database failed")]
    Migration(#[source] sqlx::migrate::MigrateError),
    #[error("the database's address is not usable: {0}")]
    Address(String),
    #[error("a job's payload cannot be written or read")]
    Payload(#[from] serde_json::Error),
    /// It may answer when asked again.
    #[error("the database does not answer")]
    Unavailable(#[source] sqlx::Error),
    #[error("the database failed")]
    Engine(#[source] sqlx::Error),
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().map(|e| e.kind()) {
            Some(sqlx::error::ErrorKind::UniqueViolation) => DbError::Exists,
            Some(sqlx::error::ErrorKind::ForeignKeyViolation) => DbError::Reference,
            _ if may_pass(&error) => DbError::Unavailable(error),
            _ => DbError::Engine(error),
        }
    }
}

fn may_pass(error: &sqlx::Error) -> bool {
    use sqlx::Error::{Database, Io, PoolClosed, PoolTimedOut, WorkerCrashed};
    match error {
        Io(_) | PoolTimedOut | PoolClosed | WorkerCrashed => true,
        // SQLite: busy. PostgreSQL: serialization failure, deadlock, connection failures, no room and too many
        // connections, shutting down or starting, given up by an operator's bounds on time, a server that only reads.
        Database(error) => error.code().is_some_and(|code| {
            matches!(
                &*code,
                "5" | "25006" | "25P03" | "40001" | "40P01" | "55P03" | "57014" | "57P01" | "57P02" | "57P03"
            ) || code.len() == 5 && (code.starts_with("08") || code.starts_with("53"))
        }),
        _ => false,
    }
}
