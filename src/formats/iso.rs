//! ISO 9660. Nothing in it names another file, and nothing here interprets it.

use super::window::View;

pub(super) const DESCRIPTOR: usize = 32 << 10;
pub(super) const DESCRIPTOR_LENGTH: usize = 2 << 10;
const PRIMARY: u8 = 1;

pub(super) fn claims(view: &View<'_>) -> bool {
    let whole = view.fields().bytes(DESCRIPTOR, DESCRIPTOR_LENGTH);
    let name = whole.map(|descriptor| &descriptor[1..6]);
    matches!(name, Ok(b"CD001" | b"NSR02" | b"NSR03"))
}

pub(super) fn read(view: &View<'_>) -> Option<u64> {
    let descriptor = view.fields();
    if descriptor.u8(DESCRIPTOR).ok()? != PRIMARY {
        return None;
    }
    let blocks = u64::from(descriptor.le32(DESCRIPTOR + 80).ok()?);
    let block = u64::from(descriptor.le16(DESCRIPTOR + 128).ok()?);
    Some(blocks * block)
}
