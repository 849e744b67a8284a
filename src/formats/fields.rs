//! Numbers out of headers. What lies beyond their end is an error, never a panic.

use super::Danger;

/// The bytes of a header.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub fn bytes(self, at: usize, length: usize) -> Result<&'a [u8], Danger> {
        at.checked_add(length)
            .and_then(|end| self.0.get(at..end))
            .ok_or(Danger::Malformed("a header is cut short"))
    }

    fn array<const N: usize>(self, at: usize) -> Result<[u8; N], Danger> {
        let bytes = self.bytes(at, N)?;
        bytes.try_into().map_err(|_| Danger::Malformed("a header is cut short"))
    }

    pub fn u8(self, at: usize) -> Result<u8, Danger> {
        self.array(at).map(u8::from_be_bytes)
    }

    pub fn be16(self, at: usize) -> Result<u16, Danger> {
        self.array(at).map(u16::from_be_bytes)
    }

    pub fn be32(self, at: usize) -> Result<u32, Danger> {
        self.array(at).map(u32::from_be_bytes)
    }

    pub fn be64(self, at: usize) -> Result<u64, Danger> {
        self.array(at).map(u64::from_be_bytes)
    }

    pub fn le16(self, at: usize) -> Result<u16, Danger> {
        self.array(at).map(u16::from_le_bytes)
    }

    pub fn le32(self, at: usize) -> Result<u32, Danger> {
        self.array(at).map(u32::from_le_bytes)
    }

    pub fn le64(self, at: usize) -> Result<u64, Danger> {
        self.array(at).map(u64::from_le_bytes)
    }

    /// Whether so many bytes from there on are all zero.
    pub fn is_zero(self, at: usize, length: usize) -> Result<bool, Danger> {
        Ok(self.bytes(at, length)?.iter().all(|byte| *byte == 0))
    }
}
