// SPDX-License-Identifier: GPL-2.0

//! The demo module: its files, its events, and the picture of a run.

mod events;
mod input;
mod kunit;
mod model;
mod picture;
