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

    /// How many seconds there are to wait.
    fn wait(self, now: Timestamp) -> u64 {
        let left = self.next_try().seconds_since(now);
        if left > 0.0 { left.ceil() as u64 } else { 0 }
    }
}

impl Default for Brake {
    fn default() -> Self {
        Self { failures: moka::sync::Cache::new(NAMES) }
    }
}

impl Brake {
    /// A try, which counts as a failure unless [`Brake::succeeded`] is told otherwise: of many at once one alone goes on
    /// after a pause. Refused with the seconds there are to wait.
    pub(super) fn begin(&self, name: &str, now: Timestamp) -> Result<(), u64> {
        let mut wait = 0;
        self.failures.entry(sha256(name.as_bytes())).and_upsert_with(|known| {
            let known = known.map(moka::Entry::into_value);
            let recent = known.filter(|known| now.seconds_since(known.last) < FORGOTTEN);
            wait = recent.map_or(0, |known| known.wait(now));
            match recent {
                Some(known) if wait > 0 => known,
                _ => Failures { count: recent.map_or(0, |known| known.count).saturating_add(1), last: now },
            }
        });
        if wait > 0 { Err(wait) } else { Ok(()) }
    }

    pub(super) fn succeeded(&self, name: &str) {
        self.failures.invalidate(&sha256(name.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long the next try would have to wait.
    fn wait(brake: &Brake, name: &str, now: Timestamp) -> u64 {
        brake.failures.get(&sha256(name.as_bytes())).map_or(0, |failures| failures.wait(now))
    }

    #[test]
    fn each_failure_beyond_the_first_costs_more() {
        let brake = Brake::default();
        let mut now = Timestamp(1_795_348_046_970_525);
        let mut waits = Vec::new();
        for _ in 0..14 {
            brake.begin("somebody", now).unwrap();
            waits.push(wait(&brake, "somebody", now));
            now = now.plus_seconds(waits[waits.len() - 1] as i64);
            assert_eq!(wait(&brake, "somebody", now), 0);
        }
        assert_eq!(waits, [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(brake.begin("somebody else", now), Ok(()));
    }

    #[test]
    fn of_many_at_once_one_goes_on_after_a_pause() {
        let brake = Brake::default();
        let mut now = Timestamp(1_795_348_046_970_525);
        (0..6).for_each(|_| brake.begin("somebody", now).unwrap());
        assert_eq!(brake.begin("somebody", now), Err(1));
        now = now.plus_seconds(1);
        let tries: Vec<_> = (0..8).map(|_| brake.begin("somebody", now)).collect();
        assert_eq!(tries, [vec![Ok(())], vec![Err(2); 7]].concat());
    }

    #[test]
    fn success_and_time_make_it_forget() {
        let brake = Brake::default();
        let now = Timestamp(1_795_348_046_970_525);
        (0..6).for_each(|_| brake.begin("somebody", now).unwrap());
        assert!(wait(&brake, "somebody", now) > 0);
        brake.succeeded("somebody");
        assert_eq!(wait(&brake, "somebody", now), 0);

        (0..6).for_each(|_| brake.begin("somebody", now).unwrap());
        let later = now.plus_seconds(1000);
        brake.begin("somebody", later).unwrap();
        assert_eq!(wait(&brake, "somebody", later), 0);
    }
}
