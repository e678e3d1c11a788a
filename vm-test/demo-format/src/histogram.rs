// SPDX-License-Identifier: GPL-2.0

//! Latencies as a histogram with the module's buckets: its quantiles, and its bars in a terminal.

use crate::format::{BUCKETS, bucket, bucket_begin, bucket_end};
use std::ops::Range;

/// Characters for bars, from low to high.
pub const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Number of latencies in each bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    pub counts: Vec<u64>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS] }
    }
}

impl Histogram {
    /// Counts one latency, as the module does.
    pub fn record(&mut self, nanoseconds: u64) {
        self.counts[bucket(nanoseconds)] += 1;
    }

    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// Returns the range from the first to the last bucket that is not empty.
    pub fn range(&self) -> Range<usize> {
        let first = self.counts.iter().position(|count| *count > 0);
        let last = self.counts.iter().rposition(|count| *count > 0);
        match (first, last) {
            (Some(first), Some(last)) => first..last + 1,
            _ => 0..0,
        }
    }

    /// Returns the latency, in nanoseconds, that `share` (0 to 1) of all latencies do not exceed.
    /// Assumes that the latencies of a bucket are spread evenly. Exact to a factor of two. `None`
    /// if there are no latencies.
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let total = self.total();
        let rank = ((share.clamp(0.0, 1.0) * total as f64).ceil() as u64).max(1);
        let mut below = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            if below + count >= rank {
                let from = bucket_begin(bucket);
                let width = bucket_end(bucket).unwrap_or(from * 2) - from;
                return Some(from + (width as f64 * (rank - below) as f64 / *count as f64) as u64);
            }
            below += count;
        }
        None
    }

    /// Returns the figures. `max` is the exact maximum in nanoseconds, if it is known (the module's
    /// `latency_max_ns`). Otherwise the maximum is the end of the last bucket that is not empty.
    pub fn figures(&self, max: Option<u64>) -> Option<Figures> {
        let max = match max {
            Some(max) => max,
            None => self.quantile(1.0)?,
        };
        Some(Figures { p50: self.quantile(0.5)?.min(max), p99: self.quantile(0.99)?.min(max), max })
    }

    /// Returns a character for each bucket of `range`: the higher, the more latencies; a space for
    /// an empty bucket.
    pub fn bars(&self, range: Range<usize>) -> String {
        let most = self.counts.iter().copied().max().unwrap_or(0);
        range
            .map(|bucket| match self.counts.get(bucket).copied().unwrap_or(0) {
                0 => ' ',
                count => BARS[(count as u128 * 8).div_ceil(most as u128) as usize - 1],
            })
            .collect()
    }
}

/// Figures of latencies, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    pub p50: u64,
    pub p99: u64,
    pub max: u64,
}

impl Figures {
    /// Computes the figures of single latencies, in ascending order. `None` if there are none.
    pub fn of(sorted: &[u64]) -> Option<Self> {
        let max = *sorted.last()?;
        let at = |share: f64| sorted[((share * sorted.len() as f64).ceil() as usize).max(1) - 1];
        Some(Self { p50: at(0.5), p99: at(0.99), max })
    }
}

/// Formats a time with three digits and a unit: `12.3 µs`.
pub fn time(nanoseconds: u64) -> String {
    let mut value = nanoseconds as f64;
    let mut unit = "ns";
    for larger in ["µs", "ms", "s"] {
        // A value that rounds to 1000 is 1 of the larger unit.
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = larger;
    }
    let digits = match value {
        _ if unit == "ns" => 0,
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(latencies: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        latencies.iter().for_each(|ns| histogram.record(*ns));
        histogram
    }

    #[test]
    fn buckets_are_the_modules() {
        assert_eq!(bucket_begin(0)..bucket_end(0).unwrap(), 0..1);
        assert_eq!(bucket_begin(1)..bucket_end(1).unwrap(), 1..2);
        assert_eq!(bucket_begin(11)..bucket_end(11).unwrap(), 1024..2048);
        assert_eq!(bucket_end(BUCKETS - 1), None);
        let counts = histogram(&[0, 1, 1023, 1024, u64::MAX]).counts;
        for bucket in [0, 1, 10, 11, BUCKETS - 1] {
            assert_eq!(counts[bucket], 1, "{bucket}");
        }
    }

    #[test]
    fn quantiles() {
        let mut latencies = vec![1500; 99];
        latencies.push(1 << 20);
        let histogram = histogram(&latencies);
        assert_eq!(histogram.quantile(0.0), Some(1024 + 10));
        let p50 = histogram.quantile(0.5).unwrap();
        assert!((1024..2048).contains(&p50), "{p50}");
        assert_eq!(histogram.quantile(0.99), Some(2048));
        assert_eq!(histogram.quantile(1.0), Some(1 << 21));
        let figures = histogram.figures(Some(1_050_000)).unwrap();
        assert_eq!(figures.max, 1_050_000);
        assert!(figures.p50 <= figures.p99 && figures.p99 <= figures.max);

        assert_eq!(Histogram::default().quantile(0.5), None);
        assert_eq!(Histogram::default().figures(None), None);
        // The last bucket has no end: twice its start stands for that.
        assert_eq!(self::histogram(&[u64::MAX]).quantile(1.0), Some(1 << 35));
    }

    #[test]
    fn a_figure_does_not_exceed_the_maximum() {
        let figures = histogram(&[1025]).figures(Some(1025)).unwrap();
        assert_eq!(figures, Figures { p50: 1025, p99: 1025, max: 1025 });
    }

    #[test]
    fn figures_of_single_latencies_are_some_of_them() {
        assert_eq!(Figures::of(&[]), None);
        assert_eq!(Figures::of(&[7]), Some(Figures { p50: 7, p99: 7, max: 7 }));
        assert_eq!(Figures::of(&[1, 2, 3, 9]), Some(Figures { p50: 2, p99: 9, max: 9 }));
    }

    #[test]
    fn bars_of_a_terminal() {
        let histogram = histogram(&[1, 1, 1, 1, 1, 1, 1, 1, 2, 8, 8, 8, 8]);
        assert_eq!(histogram.range(), 1..5);
        assert_eq!(histogram.bars(1..5), "█▁ ▄");
        assert_eq!(histogram.bars(0..6), " █▁ ▄ ");
        assert_eq!(histogram.bars(30..40), " ".repeat(10));
        assert_eq!(Histogram::default().bars(0..3), "   ");
        assert_eq!(Histogram::default().range(), 0..0);
    }

    #[test]
    fn times() {
        for (nanoseconds, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1000, "1.00 µs"),
            (9_994, "9.99 µs"),
            (12_345, "12.3 µs"),
            (123_456, "123 µs"),
            (999_600, "1.00 ms"),
            (1_500_000, "1.50 ms"),
            (61_000_000_000, "61.0 s"),
            (5_000_000_000_000, "5000 s"),
        ] {
            assert_eq!(time(nanoseconds), text);
        }
    }
}
