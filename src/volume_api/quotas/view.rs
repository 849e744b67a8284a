//! Limits as clients see them. The order of the fields is the order of the keys.

use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// A limit each, -1 for none; of types, for those that the caller may see.
#[derive(Serialize, ToSchema)]
#[schema(as = QuotaSet)]
pub struct Set {
    #[serde(flatten)]
    #[schema(value_type = BTreeMap<String, i64>)]
    pub limits: Map<String, Value>,
    /// Whose they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = OneQuotaSet)]
pub struct One {
    pub quota_set: Set,
}

/// Likewise; with `usage`, and what is in use of it.
#[derive(Serialize, ToSchema)]
#[schema(as = QuotaSetWithUse)]
pub struct SetWithUse {
    #[serde(flatten)]
    #[schema(value_type = BTreeMap<String, Limit>)]
    pub limits: Map<String, Value>,
    /// The project.
    pub id: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = OneQuotaSetWithUse)]
pub struct OneWithUse {
    pub quota_set: SetWithUse,
}

#[derive(Serialize, ToSchema)]
#[schema(as = QuotaLimit)]
#[serde(untagged)]
pub enum Limit {
    Alone(i64),
    WithUse { limit: i64, in_use: i64, reserved: i64 },
}

impl From<Limit> for Value {
    fn from(limit: Limit) -> Self {
        json!(limit)
    }
}
