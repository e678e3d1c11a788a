// SPDX-License-Identifier: GPL-2.0

//! A VM that a user plays with. A thread has the VM: it runs the actions, and reads the module's
//! events. Views draw the state, and never wait for a call.
//!
//! ```text
//! views ── Session::act(Action) ──> thread with the Vm ──> guest
//!       <── Session::state() ────── State ───────────────┘
//! ```

mod history;
mod player;
mod reports;
mod session;
mod state;

pub use session::{Session, Shell, Terminal};
pub use state::{Cpu, Entry, Latency, Mark, Power, Span, State, Status};
