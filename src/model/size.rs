//! Sizes. A volume's is whole GiB, everything else's is bytes.

use serde::{Deserialize, Serialize};

pub const GIB: u64 = 1 << 30;

/// A size in GiB, as the Block Storage API counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct Gib(i64);

impl Gib {
    /// The largest volume: what a 32-bit column of the API's clients holds.
    pub const MAX: Gib = Gib(i32::MAX as i64);

    /// `None` below 1 and above [`Gib::MAX`].
    pub fn new(gib: i64) -> Option<Self> {
        (1..=Self::MAX.0).contains(&gib).then_some(Self(gib))
    }

    /// The smallest size that holds so many bytes (at least 1 GiB); `None` above [`Gib::MAX`].
    pub fn holding(bytes: u64) -> Option<Self> {
        i64::try_from(bytes.div_ceil(GIB).max(1)).ok().and_then(Self::new)
    }

    pub fn get(self) -> i64 {
        self.0
    }

    pub fn bytes(self) -> u64 {
        self.0.unsigned_abs() * GIB
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_bounds() {
        assert_eq!(Gib::new(0), None);
        assert_eq!(Gib::new(-1), None);
        assert_eq!(Gib::new(1 << 40), None);
        assert_eq!(Gib::holding(0).unwrap().get(), 1);
        assert_eq!(Gib::holding(GIB).unwrap().get(), 1);
        assert_eq!(Gib::holding(GIB + 1).unwrap().get(), 2);
        assert_eq!(Gib::holding(u64::MAX), None);
    }
}
