//! What happens when a call of an expert fails as a whole. An item that fails by itself is always dropped, whatever is chosen.

use serde::{Deserialize, Serialize};

/// The failure policy of a plugin. Whatever is chosen, the run stops when a child process ended too often in a row to be started
/// again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The ensemble calls again, twice; then the run stops with the reward's name.
    #[default]
    Retry,
    /// The run stops with the reward's name, without another call.
    Stop,
    /// The items of the call are dropped from their groups, with the reason. When the expert's scores do not depend on the
    /// batch, and an error or a panic is what it failed with, its items are first asked about in ever smaller parts, so that only
    /// those are dropped with which it fails.
    Drop,
}
