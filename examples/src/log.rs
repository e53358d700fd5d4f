//! What libraries log, on the recipe's display.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::filter::LevelFilter;

use crate::Progress;

/// Environment variable with the level from which on lines are shown: `off`, `error`, `warn` (the default), `info`, `debug`.
const LEVEL: &str = "COUNTERPOINT_LOG";

/// Shows warnings of the engine and of plugins on `progress`, for the rest of this process. A second call changes nothing.
pub fn show_warnings(progress: &Progress) {
    let level = std::env::var(LEVEL).ok().and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::WARN);
    let (progress, last) = (progress.clone(), Arc::default());
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .with_writer(move || Lines { progress: progress.clone(), last: Arc::clone(&last) });
    let _ = subscriber.try_init();
}

/// Takes a line at a time, as the formatter writes them; the same line again and again is shown once.
struct Lines {
    progress: Progress,
    last: Arc<Mutex<Vec<u8>>>,
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != line {
            self.progress.note(String::from_utf8_lossy(line).trim_end());
            *last = line.to_vec();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
