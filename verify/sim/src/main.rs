// SPDX-License-Identifier: GPL-2.0

//! Runs the project's own files on a kernel made of shuttle: see `README.md` in the parent
//! directory.

#![allow(
    macro_expanded_macro_exports_accessed_by_absolute_paths,
    reason = "the library's root is written by build.rs"
)]

extern crate pinned_init as pin_init;

include!(concat!(env!("OUT_DIR"), "/modules/modules.rs"));

mod cpuhp;
mod module;
mod queue;
mod quotes;
mod run;
mod scope;
mod threads;

use library::{smpboot, wait};

/// The prefix of the library's messages.
static __LOG_PREFIX: &[u8] = b"sim\0";

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let command = if arguments.is_empty() { String::new() } else { arguments.remove(0) };
    let ok = match command.as_str() {
        "test" => std::process::exit(run::test(&arguments)),
        "part" => run::part(&arguments),
        "replay" => run::replay(&arguments),
        "list" => run::list(),
        "quotes" => quotes::check(&arguments),
        _ => {
            eprintln!(
                "sim test [schedules=N] [seed=N] [depth=N] [to=DIRECTORY] [NAME...], sim replay NAME/VARIANT FILE, sim list, \
                 or sim quotes KERNEL-SOURCE"
            );
            false
        }
    };
    std::process::exit(if ok { 0 } else { run::NOT_RUN });
}

/// One scenario, which runs with many schedules.
pub struct Simulation {
    pub name: &'static str,
    pub variants: Vec<(String, Box<dyn Fn()>)>,
}

impl Simulation {
    fn new(name: &'static str) -> Self {
        Self { name, variants: vec![] }
    }

    fn variant(&mut self, name: String, run: impl Fn() + 'static) {
        self.variants.push((name, Box::new(run)));
    }
}

fn all() -> Vec<Simulation> {
    let mut all = threads::all();
    all.extend(scope::all());
    all.extend(cpuhp::all());
    all.extend(queue::all());
    all
}
