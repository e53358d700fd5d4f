//! Ctrl-C.

use counterpoint::{Error, Result, StopToken};

use crate::Progress;

/// Exit status of a program that a signal ended, as shells have it: 128 and the signal's number.
const INTERRUPTED: i32 = 130;

/// A token that Ctrl-C sets; `progress` says that it was heard. A second Ctrl-C ends the process at once: a step that hangs has
/// no boundary. To be called once in a process.
///
/// # Errors
/// [`Config`](counterpoint::ErrorKind::Config) when the process has a handler already.
pub fn stop_on_ctrl_c(progress: &Progress) -> Result<StopToken> {
    let stop = StopToken::new();
    let (on_signal, shown) = (stop.clone(), progress.clone());
    ctrlc::set_handler(move || {
        if on_signal.is_set() {
            std::process::exit(INTERRUPTED);
        }
        on_signal.set();
        shown.stopping();
    })
    .map_err(|e| Error::config("cannot listen for Ctrl-C").with_source(e))?;
    Ok(stop)
}
