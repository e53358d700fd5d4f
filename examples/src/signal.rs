//! Signals that end a run: Ctrl-C, and on Unix SIGTERM, which schedulers send, and SIGHUP, which a closed terminal sends.

use counterpoint::{Error, Result, StopToken};

use crate::Progress;

/// Number of the signal that Ctrl-C sends.
const SIGINT: i32 = 2;

/// A token that these signals set; `progress` says that one was heard. A second one ends the process at once: a step that
/// hangs has no boundary. To be called once in a process.
///
/// SIGHUP is left alone where it is ignored, which is what `nohup` asks for; Linux says whether it is.
///
/// # Errors
/// [`Config`](counterpoint::ErrorKind::Config) when the process has a handler already.
pub fn stop_on_signals(progress: &Progress) -> Result<StopToken> {
    let stop = StopToken::new();
    let (on_signal, shown) = (stop.clone(), progress.clone());
    let heard = move |signal: i32| {
        if on_signal.is_set() {
            // As shells have it for a program that a signal ended.
            std::process::exit(128 + signal);
        }
        on_signal.set();
        shown.stopping();
    };
    #[cfg(unix)]
    listen(heard.clone()).map_err(|e| Error::config("cannot listen for SIGTERM and SIGHUP").with_source(e))?;
    ctrlc::set_handler(move || heard(SIGINT)).map_err(|e| Error::config("cannot listen for Ctrl-C").with_source(e))?;
    Ok(stop)
}

#[cfg(unix)]
fn listen(heard: impl Fn(i32) + Send + 'static) -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGTERM};

    let all = [SIGTERM, SIGHUP];
    let wanted = if is_ignored(SIGHUP) { &all[..1] } else { &all };
    let mut signals = signal_hook::iterator::Signals::new(wanted)?;
    let begin = move || signals.forever().for_each(heard);
    std::thread::Builder::new().name("signals".to_owned()).spawn(begin).map(drop)
}

/// Whether the process was begun with `signal` ignored, where the system says so.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    ignored >> (signal - 1) & 1 == 1
}
