// SPDX-License-Identifier: GPL-2.0

//! Files of `rust/kernel/debugfs`: trees and streams, whenever they are made and dropped.

mod stream;
mod tree;
