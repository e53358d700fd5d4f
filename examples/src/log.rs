//! What libraries log, on the recipe's display.

use std::io::{self, Write};

use tracing_subscriber::filter::LevelFilter;

use crate::Progress;

/// Environment variable with the level from which on lines are shown: `off`, `error`, `warn` (the default), `info`, `debug`.
const LEVEL: &str = "COUNTERPOINT_LOG";

/// Shows warnings of the engine and of plugins on `progress`, for the rest of this process. A second call changes nothing.
pub fn show_warnings(progress: &Progress) {
    let level = std::env::var(LEVEL).ok().and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::WARN);
    let progress = progress.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .with_writer(move || Lines(progress.clone()));
    let _ = subscriber.try_init();
}

/// Takes a line at a time, as the formatter writes them.
struct Lines(Progress);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.note(String::from_utf8_lossy(line).trim_end());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
