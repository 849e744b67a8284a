//! Who there is, and what they may do: the rows of Identity.

mod application_credentials;
mod domains;
mod projects;
mod roles;
mod tokens;
mod users;

use std::fmt;

use serde_json::{Map, Value};
use sqlx::types::Json;

pub use application_credentials::ApplicationCredential;
pub use domains::Domain;
pub use projects::{Project, ProjectFilter};
pub use roles::{Role, RoleAssignment, RoleAssignmentFilter};
pub use tokens::SigningKey;
pub use users::{User, UserFilter};

/// What clients want to be kept beside what is known by name.
pub type Extra = Json<Map<String, Value>>;

/// Of a password, or of another secret. It is shown to nobody.
#[derive(Clone, PartialEq, Eq, sqlx::Type)]
#[sqlx(transparent)]
pub struct SecretHash(pub String);

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
