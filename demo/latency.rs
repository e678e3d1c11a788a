// SPDX-License-Identifier: GPL-2.0

//! A histogram of wake latencies.

use super::format::{
    bucket,
    bucket_begin,
    bucket_end,
    BUCKETS, //
};
use crate::debugfs::Decimal;
use kernel::{
    fmt,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// A histogram with buckets that are powers of two, in nanoseconds.
pub(crate) struct Histogram {
    buckets: [Atomic<u64>; BUCKETS],
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self {
            buckets: [const { Atomic::new(0) }; BUCKETS],
        }
    }

    pub(crate) fn record(&self, nanoseconds: u64) {
        if let Some(count) = self.buckets.get(bucket(nanoseconds)) {
            count.add(1, Relaxed);
        }
    }

    /// Empties the buckets, one after the other. A latency recorded during that may stay.
    pub(crate) fn reset(&self) {
        for count in &self.buckets {
            count.store(0, Relaxed);
        }
    }

    /// Writes one line, `[from, to) count`, for each bucket that is not empty.
    pub(crate) fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bucket, count) in self.buckets.iter().enumerate() {
            let count = count.load(Relaxed);
            let from = Decimal(bucket_begin(bucket));
            if count == 0 {
                continue;
            }
            let count = Decimal(count);
            match bucket_end(bucket).map(Decimal) {
                Some(to) => writeln!(f, "[{from}, {to}) {count}")?,
                None => writeln!(f, "[{from}, ...) {count}")?,
            }
        }
        Ok(())
    }
}

#[kernel::macros::kunit_tests(rust_smpboot_latency)]
mod tests {
    use super::*;
    use kernel::{
        prelude::*,
        str::CString, //
    };

    fn lines(histogram: &Histogram) -> Result<CString> {
        CString::try_from_fmt(fmt!("{}", Show(histogram)))
    }

    struct Show<'a>(&'a Histogram);

    impl fmt::Display for Show<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.show(f)
        }
    }

    #[test]
    fn a_bucket_has_its_lower_bound_and_not_its_upper() -> Result {
        let histogram = Histogram::new();
        for nanoseconds in [0, 1, 2, 3, 4, 1023, 1024] {
            histogram.record(nanoseconds);
        }
        let wanted = c"[0, 1) 1\n[1, 2) 1\n[2, 4) 2\n[4, 8) 1\n[512, 1024) 1\n[1024, 2048) 1\n";
        assert_eq!(&*lines(&histogram)?, wanted);
        Ok(())
    }

    #[test]
    fn the_last_bucket_has_no_end() -> Result {
        let histogram = Histogram::new();
        histogram.record(1 << (BUCKETS - 2));
        histogram.record(u64::MAX);
        assert_eq!(&*lines(&histogram)?, c"[17179869184, ...) 2\n");
        Ok(())
    }

    #[test]
    fn reset_empties_all_buckets() -> Result {
        let histogram = Histogram::new();
        histogram.record(7);
        histogram.reset();
        assert_eq!(&*lines(&histogram)?, c"");
        Ok(())
    }
}
