use super::faults::Faults;
use super::section::section;

section! {
    /// How much there may be of what no quota limits. What goes beyond is refused with 413, as an exceeded quota is.
    pub struct Limits = "limits" {
        /// Size of one volume.
        pub max_volume_size: u64 = 65_536, "GiB";
        /// Metadata items of one volume or snapshot.
        pub max_metadata_items: u32 = 128, "items";
    }
}

impl Limits {
    pub(super) fn check(&self, faults: &mut Faults) {
        // Sizes are kept in bytes too, in a signed 64-bit column.
        let size = self.max_volume_size;
        let fits = (1..=1 << 30).contains(&size);
        faults.require(fits, "limits.max_volume_size", "must be from 1 to 1073741824", size);
    }
}
