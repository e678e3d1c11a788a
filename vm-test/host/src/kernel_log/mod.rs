// SPDX-License-Identifier: GPL-2.0

//! The kernel log as text: lines, and splats in them.

pub mod splat;

/// A log line without the time stamp (and the caller, with `CONFIG_PRINTK_CALLER`) before it.
pub fn without_stamp(line: &str) -> &str {
    let mut text = line;
    while let Some(inner) = text.strip_prefix('[') {
        let Some((stamp, rest)) = inner.split_once(']') else { break };
        let stamp = stamp.trim_start().trim_start_matches(['T', 'C']);
        if stamp.is_empty() || !stamp.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            break;
        }
        text = rest.strip_prefix(' ').unwrap_or(rest);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_cut_off() {
        assert_eq!(without_stamp("[    5.140900] cpu1: park"), "cpu1: park");
        assert_eq!(without_stamp("[    5.140900][   T12] cpu1: park"), "cpu1: park");
        assert_eq!(without_stamp("[ BUG: Invalid wait context ]"), "[ BUG: Invalid wait context ]");
        assert_eq!(without_stamp("no stamp"), "no stamp");
        assert_eq!(without_stamp("[    1.0]  indented"), " indented");
    }
}
