// SPDX-License-Identifier: GPL-2.0

//! The suite: a table of tests in each file.

mod cpu_stop;
mod cpuhp;
mod hotplug;
mod idle_inject;
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
        idle_inject::TESTS,
        cpu_stop::TESTS,
        cpuhp::TESTS,
        runner::TESTS,
    ]
    .into_iter()
    .flatten()
    .collect()
}
