// SPDX-License-Identifier: GPL-2.0

//! The live view in a browser.

mod guard;
mod protocol;
mod server;
mod session;

fn main() {}
