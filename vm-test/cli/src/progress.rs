// SPDX-License-Identifier: GPL-2.0

//! Shows progress while a VM boots.

use crate::output::is_ascii;
use crate::{note, terminal};
use anyhow::Result;
use host::{Config, Event, Machine, Observer, Vm};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// An observer that prints warnings, and nothing about boots.
pub fn observer() -> Observer {
    Arc::new(print)
}

fn print(event: &Event<'_>) {
    match event {
        Event::Booting { .. } | Event::Booted { .. } | Event::BootFailed => {}
        Event::FileSystemMissing { missing, effect } => note!("vm-test: {missing}: {effect}"),
        Event::KvmTrial { limit } => {
            note!("vm-test: trying KVM with one trial boot (up to {} s)", limit.as_secs());
        }
        Event::KvmVerdictNotSaved { path, error } => {
            note!("vm-test: cannot write {}: {error}", path.display())
        }
    }
}

/// Boots with a spinner.
pub fn boot(machine: &Machine, config: &Config) -> Result<Vm> {
    let spinner = Mutex::new(None);
    let observer: Observer = Arc::new(move |event| {
        let mut spinner = spinner.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Booting { config } => *spinner = Some(spin(format!("booting, {config}"))),
            Event::Booted { .. } | Event::BootFailed => {
                if let Some(spinner) = spinner.take() {
                    spinner.finish_and_clear();
                }
            }
            event => print(event),
        }
    });
    Vm::boot(&Machine { observer, ..machine.clone() }, config)
}

/// Shows on a terminal the action and its duration, until the bar is dropped. Prints a line
/// if there is no terminal.
pub fn spin(what: String) -> ProgressBar {
    let spinner = ProgressBar::new_spinner();
    if terminal::is_dumb() {
        spinner.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{spinner} {msg} ... {elapsed}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
    spinner.set_style(if is_ascii() { style.tick_chars("-\\|/ ") } else { style });
    if spinner.is_hidden() {
        note!("{what} ...");
    }
    spinner.set_message(what);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}
