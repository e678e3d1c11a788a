// SPDX-License-Identifier: GPL-2.0

//! What the server needs of a session. Tests of the server have one without a VM.

use anyhow::Result;
use live::State;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tour::Action;

/// A session that the server shows.
pub trait Session: Send + Sync + 'static {
    /// Returns the newest state.
    fn state(&self) -> Arc<State>;

    /// Waits for a newer state, up to the limit.
    fn changed(&self, limit: Duration);

    /// Requests an action, and returns at once.
    fn act(&self, action: Action);

    /// Saves the report so far. Returns the path of its page.
    fn save(&self) -> Result<PathBuf>;

    /// Ends the session: the state has the verdict.
    fn end(&self);
}
