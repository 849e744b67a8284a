//! Guessing is slow: after a few failures in a row the next try has to wait, each time longer. It is counted for
//! each name that is tried, whether somebody has it or not.

use openssl::sha::sha256;

use crate::model::Timestamp;

/// Failures that cost nothing: people mistype.
const FREE: u32 = 5;
/// The longest pause after a failure, in seconds. Whoever has the password waits as long as somebody goes on who has not.
const LONGEST: i64 = 60;
/// Failures are forgotten after this time without one, in seconds.
const FORGOTTEN: f64 = 900.0;
/// Names that are remembered; those tried most often stay.
const NAMES: u64 = 10_000;

pub(super) struct Brake {
    failures: moka::sync::Cache<[u8; 32], Failures>,
}

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last: Timestamp,
}

impl Failures {
    fn next_try(self) -> Timestamp {
        let beyond = self.count.saturating_sub(FREE);
        let pause = if beyond == 0 { 0 } else { (1 << (beyond - 1).min(6)).min(LONGEST) };
        self.last.plus_seconds(pause)
    }
}

impl Default for Brake {
    fn default() -> Self {
        Self { failures: moka::sync::Cache::new(NAMES) }
    }
}

impl Brake {
    /// How many seconds this name has to wait; 0: go on.
    pub(super) fn wait(&self, name: &str, now: Timestamp) -> u64 {
        let failures = self.failures.get(&sha256(name.as_bytes()));
        let left = failures.map_or(0.0, |failures| failures.next_try().seconds_since(now));
        if left > 0.0 { left.ceil() as u64 } else { 0 }
    }

    pub(super) fn failed(&self, name: &str, now: Timestamp) {
        self.failures.entry(sha256(name.as_bytes())).and_upsert_with(|known| {
            let known = known.map(moka::Entry::into_value);
            let recent = known.filter(|known| now.seconds_since(known.last) < FORGOTTEN);
            Failures { count: recent.map_or(0, |known| known.count).saturating_add(1), last: now }
        });
    }

    pub(super) fn succeeded(&self, name: &str) {
        self.failures.invalidate(&sha256(name.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_beyond_the_first_costs_more() {
        let brake = Brake::default();
        let mut now = Timestamp(1_795_348_046_970_525);
        let mut waits = Vec::new();
        for _ in 0..14 {
            brake.failed("somebody", now);
            waits.push(brake.wait("somebody", now));
            now = now.plus_seconds(waits[waits.len() - 1] as i64);
            assert_eq!(brake.wait("somebody", now), 0);
        }
        assert_eq!(waits, [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(brake.wait("somebody else", now), 0);
    }

    #[test]
    fn success_and_time_make_it_forget() {
        let brake = Brake::default();
        let now = Timestamp(1_795_348_046_970_525);
        (0..10).for_each(|_| brake.failed("somebody", now));
        assert!(brake.wait("somebody", now) > 0);
        brake.succeeded("somebody");
        assert_eq!(brake.wait("somebody", now), 0);

        (0..10).for_each(|_| brake.failed("somebody", now));
        let later = now.plus_seconds(1000);
        brake.failed("somebody", later);
        assert_eq!(brake.wait("somebody", later), 0);
    }
}
