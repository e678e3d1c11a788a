// SPDX-License-Identifier: GPL-2.0

//! The serial console: bytes in, time-stamped lines out.

use std::time::{Duration, Instant};

/// A line with its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Since the start of QEMU, by the host's clock.
    pub at: Duration,
    pub text: String,
}

pub struct Console {
    start: Instant,
    lines: Vec<Line>,
    /// The incomplete last line.
    rest: Vec<u8>,
}

impl Console {
    pub fn new() -> Console {
        Console { start: Instant::now(), lines: Vec::new(), rest: Vec::new() }
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                b'\r' => {}
                _ => self.rest.push(*byte),
            }
        }
    }

    /// Completes the last line: the machine has ended in it.
    pub fn end(&mut self) {
        if !self.rest.is_empty() {
            self.end_line();
        }
    }

    fn end_line(&mut self) {
        let text = String::from_utf8_lossy(&self.rest).into_owned();
        self.rest.clear();
        self.lines.push(Line { at: self.start.elapsed(), text });
    }

    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Adds a line of the host's own.
    pub fn note(&mut self, text: &str) {
        self.end();
        self.lines.push(Line { at: self.start.elapsed(), text: format!("*** {text}") });
    }

    /// The last `n` lines as one string.
    pub fn tail(&self, n: usize) -> String {
        let from = self.lines.len().saturating_sub(n);
        self.lines[from..].iter().flat_map(|line| [line.text.as_str(), "\n"]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(console: &Console) -> Vec<&str> {
        console.lines().iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn lines_are_put_together_from_pieces() {
        let mut console = Console::new();
        console.feed(b"[    0.0] Linux ver");
        assert!(console.lines().is_empty());
        console.feed(b"sion 7\r\n[    0.1] next\r\n[ 0.2] cut");
        assert_eq!(texts(&console), ["[    0.0] Linux version 7", "[    0.1] next"]);
        console.end();
        assert_eq!(texts(&console)[2], "[ 0.2] cut");
    }

    #[test]
    fn the_tail_is_no_longer_than_the_log() {
        let mut console = Console::new();
        console.feed(b"a\nb\nc\n");
        assert_eq!(console.tail(2), "b\nc\n");
        assert_eq!(console.tail(40), "a\nb\nc\n");
    }
}
