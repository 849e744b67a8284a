//! What is left of the bytes that the images of a project may take together (`images.user_storage_quota`).

use std::fmt;

/// Bytes. Below 0: there are more already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageLeft(pub i128);

impl StorageLeft {
    /// Whether so many more may come, or some that nobody counts. Answers how many there is room for.
    ///
    /// # Errors
    /// When it is less than these, or nothing.
    pub fn check(self, bytes: Option<i128>) -> Result<u64, StorageFull> {
        let Self(remaining) = self;
        let is_too_much = bytes.map_or(remaining <= 0, |bytes| bytes > remaining);
        match u64::try_from(remaining) {
            Ok(room) if !is_too_much => Ok(room),
            _ => Err(StorageFull { bytes, remaining }),
        }
    }
}

/// `None`: nobody knows how many bytes there would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct StorageFull {
    pub bytes: Option<i128>,
    pub remaining: i128,
}

impl fmt::Display for StorageFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("The size of the data ")?;
        match self.bytes {
            Some(bytes) => write!(f, "{bytes}")?,
            None => f.write_str("None")?,
        }
        write!(f, " will exceed the limit. {} bytes remaining.", self.remaining)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_can_be_used_up() {
        let full = |bytes, remaining| Err(StorageFull { bytes, remaining });
        for (remaining, bytes, answer) in [
            (10, Some(10), Ok(10)),
            (10, Some(11), full(Some(11), 10)),
            (10, None, Ok(10)),
            (0, Some(0), Ok(0)),
            (0, None, full(None, 0)),
            (-1, Some(0), full(Some(0), -1)),
            (-1, None, full(None, -1)),
        ] {
            assert_eq!(StorageLeft(remaining).check(bytes), answer, "{bytes:?} of {remaining}");
        }
    }

    #[test]
    fn a_full_quota_is_told_as_glance_tells_it() {
        let told = |bytes| StorageFull { bytes, remaining: 3 }.to_string();
        assert_eq!(told(Some(4)), "The size of the data 4 will exceed the limit. 3 bytes remaining.");
        assert_eq!(told(None), "The size of the data None will exceed the limit. 3 bytes remaining.");
    }
}
