//! Disks encrypted with LUKS.

use super::window::View;
use super::{Danger, require};

pub(super) const MAGIC: &[u8] = b"LUKS\xba\xbe";

/// With all eight key slots.
const HEADER: usize = 592;
const SECTOR: u64 = 512;

pub(super) fn read(view: &View<'_>) -> Result<u64, Danger> {
    let header = view.fields();
    if header.be16(6)? != 1 {
        // As in the real service: nothing in a cloud reads version 2.
        return Err(Danger::Unsupported("only version 1 of LUKS is supported"));
    }
    header.bytes(0, HEADER)?;
    let payload = u64::from(header.be32(104)?) * SECTOR;
    require(payload >= HEADER as u64, "the place of the encrypted bytes")?;
    view.length.checked_sub(payload).ok_or(Danger::Malformed("the encrypted bytes are missing"))
}
