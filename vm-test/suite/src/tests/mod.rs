// SPDX-License-Identifier: GPL-2.0

//! The suite: a table of tests in each file.

mod checkers;
mod events;
mod holes;
mod hotplug;
mod input;
mod kunit;
mod memory;
mod misuse;
mod model;
mod percpu_workqueue;
mod picture;
pub mod program;
mod registration;
mod rollback;
mod runner;
pub mod samples;
mod security;
pub mod suspend;
mod third_party;
mod unload;
mod wake;

use crate::test::Test;

pub fn all() -> Vec<&'static Test> {
    [
        // What takes longest is not to be alone at the end.
        memory::TESTS,
        runner::TESTS,
        registration::TESTS,
        hotplug::TESTS,
        rollback::TESTS,
        wake::TESTS,
        input::TESTS,
        events::TESTS,
        picture::TESTS,
        unload::TESTS,
        percpu_workqueue::TESTS,
        misuse::TESTS,
        holes::TESTS,
        model::TESTS,
        checkers::TESTS,
        kunit::TESTS,
        suspend::TESTS,
        security::TESTS,
        third_party::TESTS,
    ]
    .into_iter()
    .chain(samples::SAMPLES.iter().map(|(_, tests)| *tests))
    .flatten()
    .collect()
}
