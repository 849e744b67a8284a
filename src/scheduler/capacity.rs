//! Whether there is room.

/// All in GiB. What a place does not tell is `None`: then it is taken to have room.
#[derive(Clone, Copy, Debug, Default)]
pub struct Capacity {
    pub total: Option<f64>,
    pub free: Option<f64>,
    /// The sizes of all volumes there, written to or not.
    pub provisioned: f64,
    /// Of the total, to be left alone.
    pub reserved_percentage: u32,
    /// How many times its room may be promised, as volumes take up only what is written. At least 1.
    pub over_subscription: f64,
}

impl Capacity {
    /// Whether a volume of this many GiB can be promised.
    pub fn holds(&self, size: i64, thin: bool) -> bool {
        match (self.total, self.free) {
            (_, None) => true,
            (None, Some(_)) => self.reserved_percentage == 0,
            (Some(total), Some(_)) => total > 0.0 && self.room(thin) >= size as f64,
        }
    }

    /// How many GiB can still be promised. The least of all for a place that does not tell.
    pub fn room(&self, thin: bool) -> f64 {
        let (Some(total), Some(free)) = (self.total, self.free) else { return f64::NEG_INFINITY };
        let usable = total - (total * f64::from(self.reserved_percentage) / 100.0).floor();
        if thin {
            usable * self.over_subscription - self.provisioned
        } else {
            (usable - self.provisioned).min(free)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPACITY: Capacity = Capacity {
        total: Some(100.0),
        free: Some(40.0),
        provisioned: 50.0,
        reserved_percentage: 10,
        over_subscription: 2.0,
    };

    #[test]
    fn thin_volumes_are_promised_more_than_there_is() {
        assert_eq!(CAPACITY.room(true), 130.0);
        assert!(CAPACITY.holds(130, true));
        assert!(!CAPACITY.holds(131, true));
    }

    #[test]
    fn thick_ones_only_what_is_free() {
        assert_eq!(CAPACITY.room(false), 40.0);
        assert_eq!(Capacity { free: Some(30.0), ..CAPACITY }.room(false), 30.0);
        assert!(!CAPACITY.holds(41, false));
    }

    #[test]
    fn who_does_not_tell_is_believed_to_have_room_and_comes_last() {
        let silent = Capacity { total: None, free: None, ..CAPACITY };
        assert!(silent.holds(i64::MAX, true));
        assert!(silent.room(true) < CAPACITY.room(true));
        // What cannot be counted cannot be reserved.
        assert!(!Capacity { total: None, ..CAPACITY }.holds(1, true));
        assert!(!Capacity { total: Some(0.0), ..CAPACITY }.holds(0, true));
    }
}
