// SPDX-License-Identifier: GPL-2.0

//! Searches all states. `cargo test -- --nocapture` prints their number, and the trace of each bug.

use stateright::{Checker, HasDiscoveries, Model};
use states::{
    bugs::{self, Bug},
    model::*,
};
use std::time::Instant;

const SMALL: Protocol = Protocol {
    hotplug: 1,
    wakes: 1,
    registrations: 1,
    first_cpu: 1,
    waits_until_up: false,
    closes: true,
    bug: None,
};
const WAITS: Protocol = Protocol { waits_until_up: true, wakes: 0, hotplug: 2, ..SMALL };

/// Searches all states within the bounds. Returns their number.
fn search(protocol: Protocol) -> usize {
    let start = Instant::now();
    let checker = protocol.checker().threads(2).spawn_bfs().join();
    let states = checker.unique_state_count();
    println!(
        "{protocol:?}: {states} states, depth {}, {:.1} s",
        checker.max_depth(),
        start.elapsed().as_secs_f64()
    );
    checker.assert_properties();
    states
}

#[test]
fn the_protocol_holds() {
    search(SMALL);
}

#[test]
fn waiting_until_the_threads_are_up_ends() {
    search(WAITS);
}

#[test]
fn each_bug_is_found() {
    let mut missed = vec![];
    for bug in bugs::ALL {
        let protocol = match bug {
            // A CPU goes offline and comes online again.
            Bug::WakeOfOfflineCpuDropped | Bug::SetUpAgainAfterPark | Bug::UnparkNotInstalled => {
                Protocol { hotplug: 2, closes: false, bug: Some(bug), ..SMALL }
            }
            Bug::ParkedNotWaitedFor => Protocol { bug: Some(bug), ..WAITS },
            _ => Protocol { bug: Some(bug), ..SMALL },
        };
        let start = Instant::now();
        let checker = protocol
            .checker()
            .threads(2)
            .finish_when(HasDiscoveries::AnyFailures)
            .spawn_bfs()
            .join();
        let found = [NO_FAULT, NO_WAKE_LOST, NO_DEADLOCK, NOTHING_LEFT]
            .iter()
            .find_map(|name| Some((name, checker.discovery(name)?)));
        let Some((name, path)) = found else {
            missed.push(bug);
            continue;
        };
        let why = path.last_state().bad.unwrap_or(name);
        let actions = path.into_actions();
        println!("{bug:?}: {why}, {} steps, {:.1} s", actions.len(), start.elapsed().as_secs_f64());
        for action in actions {
            println!("    {action:?}");
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
#[ignore = "takes minutes"]
fn the_protocol_holds_within_larger_bounds() {
    let two_operations = Protocol { hotplug: 2, ..SMALL };
    let two_wakes = Protocol { wakes: 2, closes: false, ..SMALL };
    let two_registrations = Protocol { registrations: 2, ..SMALL };
    let two_threads = Protocol { first_cpu: 0, closes: false, ..SMALL };
    let all = [two_operations, two_wakes, two_registrations, two_threads];
    let states: usize = all.into_iter().map(search).sum();
    println!("{states} states");
    assert!(states >= 5_000_000, "only {states} states");
}
