//! Ctrl-C.

use counterpoint::{Error, Result, StopToken};

use crate::Progress;

/// A token that Ctrl-C sets; `progress` says that it was heard. To be called once in a process.
///
/// # Errors
/// [`Config`](counterpoint::ErrorKind::Config) when the process has a handler already.
pub fn stop_on_ctrl_c(progress: &Progress) -> Result<StopToken> {
    let stop = StopToken::new();
    let (on_signal, shown) = (stop.clone(), progress.clone());
    ctrlc::set_handler(move || {
        on_signal.set();
        shown.stopping();
    })
    .map_err(|e| Error::config("cannot listen for Ctrl-C").with_source(e))?;
    Ok(stop)
}
