// SPDX-License-Identifier: GPL-2.0

//! Runs tests by libtest-mimic. Not a part of `cli`: the demo would build libtest-mimic.

use cli::output;
use libtest_mimic::{Arguments, ColorSetting, Conclusion, Trial};
use nix::fcntl::OFlag;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::thread;

/// Runs the trials in up to `threads` threads, unless the user has chosen another number.
pub fn run(mut arguments: Arguments, threads: usize, trials: Vec<Trial>) -> io::Result<Conclusion> {
    arguments.test_threads.get_or_insert(threads);
    arguments.color.get_or_insert(match console::colors_enabled() {
        true => ColorSetting::Always,
        false => ColorSetting::Never,
    });
    // libtest-mimic unwraps the errors of standard output, so it writes to a pipe. A program that
    // inherits the writer would keep the end of the pipe waiting.
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    let mut reader = File::from(reader);
    let copier = thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = reader.read(&mut buffer) {
            output::write(&buffer[..n]);
        }
    });
    arguments.logfile = Some(format!("/proc/self/fd/{}", writer.as_raw_fd()));
    let conclusion = libtest_mimic::run(&arguments, trials);
    // Everything is printed at the end of the pipe.
    drop(writer);
    let _ = copier.join();
    Ok(conclusion)
}

/// Whether libtest-mimic will run the test; it has no function that returns this.
pub fn is_wanted(arguments: &Arguments, name: &str, ignored: bool) -> bool {
    let matches = |filter: &str| match arguments.exact {
        true => name == filter,
        false => name.contains(filter),
    };
    (arguments.include_ignored || arguments.ignored == ignored)
        && arguments.filter.as_deref().is_none_or(matches)
        && !arguments.skip.iter().any(|skip| matches(skip))
}
