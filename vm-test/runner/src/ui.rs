// SPDX-License-Identifier: GPL-2.0

//! For the eyes.

use crate::output::{is_ascii, note};
use crate::qemu::Config;
use crate::setup::Setup;
use crate::terminal;
use crate::vm::Vm;
use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// Boots, with something that moves meanwhile.
pub fn boot(setup: &Setup, config: &Config) -> Result<Vm> {
    let spinner = ProgressBar::new_spinner();
    if terminal::is_dumb() {
        spinner.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{spinner} booting, {msg} ... {elapsed}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
    spinner.set_style(if is_ascii() { style.tick_chars("-\\|/ ") } else { style });
    spinner.set_message(config.to_string());
    spinner.enable_steady_tick(Duration::from_millis(100));
    if spinner.is_hidden() {
        note!("booting, {config} ...");
    }
    let vm = Vm::boot(setup, config);
    spinner.finish_and_clear();
    vm
}
