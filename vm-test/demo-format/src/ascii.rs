// SPDX-License-Identifier: GPL-2.0

//! Texts for terminals that show ASCII only.

use crate::histogram::BARS;

/// ASCII characters for the bars of [`BARS`], from low to high.
const LEVELS: &[u8; BARS.len()] = b".:-=+*#@";

/// Replaces each other character by one ASCII character, so that columns stay aligned.
pub fn of(text: &str) -> String {
    text.chars().map(one).collect()
}

fn one(c: char) -> char {
    if let Some(level) = BARS.iter().position(|bar| *bar == c) {
        return LEVELS[level].into();
    }
    match c {
        'µ' => 'u',
        '…' => '~',
        c if c.is_ascii() => c,
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::{Histogram, time};

    #[test]
    fn bars_and_units_are_ascii() {
        assert_eq!(of("12 µs…"), "12 us~");
        assert_eq!(of(&BARS.iter().collect::<String>()), ".:-=+*#@");
        assert_eq!(of(&time(12_300)), "12.3 us");
        let mut histogram = Histogram::default();
        histogram.record(1500);
        histogram.record(3000);
        assert_eq!(of(&histogram.bars(histogram.range())), "@@");
    }
}
