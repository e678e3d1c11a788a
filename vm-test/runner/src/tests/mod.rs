// SPDX-License-Identifier: GPL-2.0

//! The suite: a table of tests in each file.

mod hotplug;
mod input;
mod registration;
mod rollback;
mod runner;
mod unload;
mod wake;

use crate::judge::Test;

pub fn all() -> Vec<&'static Test> {
    [
        registration::TESTS,
        hotplug::TESTS,
        rollback::TESTS,
        wake::TESTS,
        input::TESTS,
        unload::TESTS,
        runner::TESTS,
    ]
    .into_iter()
    .flatten()
    .collect()
}
