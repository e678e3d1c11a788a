// SPDX-License-Identifier: GPL-2.0

//! Files of `rust/kernel/debugfs`: trees and streams that are made and dropped at any time.

mod stream;
mod tree;
