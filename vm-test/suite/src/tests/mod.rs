// SPDX-License-Identifier: GPL-2.0

//! The suite: a table of tests in each file.

mod checkers;
mod cpu_stop;
mod cpuhp;
mod events;
mod holes;
mod hotplug;
mod idle_inject;
mod input;
mod ksoftirqd;
mod kunit;
mod memory;
mod misuse;
mod model;
mod percpu_workqueue;
mod picture;
pub mod program;
mod rcuc;
mod registration;
mod rollback;
mod runner;
mod samples;
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
        idle_inject::TESTS,
        cpu_stop::TESTS,
        cpuhp::TESTS,
        rcuc::TESTS,
        ksoftirqd::TESTS,
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
    .flatten()
    .collect()
}
