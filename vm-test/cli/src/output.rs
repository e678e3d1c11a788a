// SPDX-License-Identifier: GPL-2.0

//! Standard output and standard error. `println!` would panic on a closed pipe or a full disk.

use crate::{exit, terminal};
use demo_format::ascii;
use nix::sys::signal::Signal;
use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::LazyLock;

/// Prints a line on standard output. An error ends the program and its VMs.
#[macro_export]
macro_rules! say {
    ($($arg:tt)*) => { $crate::output::line(format_args!($($arg)*)) };
}

/// Prints a line on standard error. Errors are ignored.
#[macro_export]
macro_rules! note {
    ($($arg:tt)*) => { $crate::output::error_line(format_args!($($arg)*)) };
}

/// Whether the user's terminal shows ASCII only: scripts/lib.sh sets this, and runs all programs in
/// UTF-8.
pub fn is_ascii() -> bool {
    static ASCII: LazyLock<bool> =
        LazyLock::new(|| std::env::var_os("RUST_SMPBOOT_ASCII").is_some());
    *ASCII
}

/// Converts the text for the user's terminal.
pub fn shown(text: String) -> String {
    if is_ascii() { ascii::of(&text) } else { text }
}

/// Prints a line on standard output; see [`say!`].
pub fn line(text: Arguments<'_>) {
    write(shown(format!("{text}\n")).as_bytes());
}

/// Prints a line on standard error; see [`note!`].
pub fn error_line(text: Arguments<'_>) {
    let _ = io::stderr().lock().write_all(shown(format!("{text}\n")).as_bytes());
}

/// Writes to standard output. An error ends the program, as in [`say!`].
pub fn write(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    if let Err(e) = out.write_all(bytes).and_then(|()| out.flush()) {
        failed(&e);
    }
}

/// Ends the program, and QEMU with it, after a failed write to standard output.
pub fn failed(error: &io::Error) -> ! {
    terminal::restore();
    if error.kind() == ErrorKind::BrokenPipe {
        // `make demo | head` closes the pipe.
        std::process::exit(exit::by_signal(Signal::SIGPIPE));
    }
    note!("vm-test: standard output: {error}");
    std::process::exit(exit::OUTPUT_FAILED.into());
}
