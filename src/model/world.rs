//! Time and randomness, as parameters: tests bring their own.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Iso8601;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};
use uuid::Uuid;

/// A moment: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct Timestamp(pub i64);

const TO_MICROSECONDS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]");
const TO_SECONDS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

impl Timestamp {
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000_000)))
    }

    pub fn seconds_since(self, earlier: Self) -> f64 {
        (self.0 - earlier.0) as f64 / 1e6
    }

    /// As Block Storage writes it: `2026-11-22T11:47:26.970525`, UTC without saying so.
    pub fn to_microseconds(self) -> String {
        self.written(TO_MICROSECONDS)
    }

    /// As Image writes it: `2026-11-22T11:47:26Z`.
    pub fn to_seconds(self) -> String {
        self.written(TO_SECONDS)
    }

    /// As clients write it: `2030-01-01T00:00:00`, with or without fractions and a `Z`. No other offset.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('Z').unwrap_or(text);
        let (_, time) = text.split_once('T')?;
        if time.contains(['+', '-']) {
            return None;
        }
        let moment = PrimitiveDateTime::parse(text, &Iso8601::DEFAULT).ok()?.assume_utc();
        i64::try_from(moment.unix_timestamp_nanos() / 1000).ok().map(Self)
    }

    fn written(self, format: &[BorrowedFormatItem<'_>]) -> String {
        let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        moment.format(format).unwrap_or_default()
    }
}

pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
}

pub trait Ids: Send + Sync {
    /// A random one (version 4).
    fn random(&self) -> Uuid;
    /// One that sorts by time (version 7).
    fn ordered(&self) -> Uuid;
    /// What nobody may guess. Tests that choose ids do not choose these.
    fn secret(&self) -> [u8; 32] {
        rand::random()
    }
}

pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
        let now = OffsetDateTime::now_utc();
        Timestamp((now.unix_timestamp_nanos() / 1000) as i64)
    }
}

pub struct RandomIds;

impl Ids for RandomIds {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that makes identifiers")]
    fn random(&self) -> Uuid {
        Uuid::new_v4()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that makes identifiers")]
    fn ordered(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// What the program takes from outside itself, passed down to whoever needs it.
#[derive(Clone)]
pub struct World {
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
}

impl World {
    pub fn real() -> Self {
        Self { clock: Arc::new(SystemClock), ids: Arc::new(RandomIds) }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_each_api_writes_them() {
        let moment = Timestamp(1_795_348_046_970_525);
        assert_eq!(moment.to_microseconds(), "2026-11-22T11:47:26.970525");
        assert_eq!(moment.to_seconds(), "2026-11-22T11:47:26Z");
        for written in ["2026-11-22T11:47:26.970525", "2026-11-22T11:47:26.970525Z"] {
            assert_eq!(Timestamp::parse(written), Some(moment));
        }
        assert_eq!(Timestamp::parse("2026-11-22T11:47:26"), Some(Timestamp(1_795_348_046_000_000)));
        let offsets = ["2026-11-22T11:47:26+05:00", "2026-11-22T11:47:26-0500", "20261122T114726+05"];
        for wrong in ["", "tomorrow", "2026-11-22", "2026-13-22T11:47:26"].into_iter().chain(offsets) {
            assert_eq!(Timestamp::parse(wrong), None, "{wrong}");
        }
    }
}
