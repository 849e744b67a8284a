//! Medians and the like, and how they are written.

use std::time::Duration;

/// Times of the same thing, many times over.
#[derive(Clone, Debug)]
pub struct Times(Vec<Duration>);

impl Times {
    pub fn new(mut times: Vec<Duration>) -> Self {
        assert!(!times.is_empty(), "nothing was measured");
        times.sort();
        Self(times)
    }

    pub fn median(&self) -> Duration {
        self.0[self.0.len() / 2]
    }

    /// With fewer than 100 it is the longest.
    pub fn p99(&self) -> Duration {
        self.0[(self.0.len() * 99 / 100).min(self.0.len() - 1)]
    }
}

pub fn median(mut numbers: Vec<f64>) -> f64 {
    assert!(!numbers.is_empty(), "nothing was measured");
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// `12.3 ms`
pub fn ms(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    match ms {
        ..10.0 => format!("{ms:.2} ms"),
        ..100.0 => format!("{ms:.1} ms"),
        _ => format!("{ms:.0} ms"),
    }
}

pub fn ms_pair(times: &Times) -> String {
    format!("{}, p99 {}", ms(times.median()), ms(times.p99()))
}

/// `530 MiB/s`
pub fn rate(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / (1 << 20) as f64 / time.as_secs_f64()
}

pub fn mib_s(rate: f64) -> String {
    format!("{rate:.0} MiB/s")
}

pub fn mib(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / (1 << 20) as f64)
}
