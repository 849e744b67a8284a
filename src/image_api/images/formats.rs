//! An image gets no bytes before it says what they are: from then on nobody can say so any more.

use crate::db::Image;
use crate::image_api::fault::{Fault, Result};

/// Asked in the transaction that brings the image out of `queued`: until then its owner may take a format away.
pub fn check_formats(image: &Image) -> Result<()> {
    match image.missing_formats() {
        missing if missing.is_empty() => Ok(()),
        missing => Err(unformatted(&missing)),
    }
}

pub fn unformatted(missing: &[&str]) -> Fault {
    let noun = if missing.len() == 1 { "Property" } else { "Properties" };
    Fault::BadRequest(format!("{noun} {} must be set prior to saving data.", missing.join(", ")))
}
