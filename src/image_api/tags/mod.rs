//! Tags of an image, one by one.

pub(super) mod add;
pub(super) mod remove;

use super::fault::Fault;

/// Glance says it in other words here.
fn not_found(id: &str, fault: Fault) -> Fault {
    match fault {
        Fault::NotFound(_) => Fault::NotFound(format!("Image {id} not found.")),
        other => other,
    }
}
