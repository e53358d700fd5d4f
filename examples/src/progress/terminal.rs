//! A terminal on which a typed Ctrl-C does no harm.

use std::io;
use std::sync::{Mutex, PoisonError};

use indicatif::TermLike;

/// Leaves the cursor behind the last character drawn, and never fails.
///
/// Indicatif fills every line with blanks, so that the cursor ends at the right edge. The `^C` that a terminal echoes
/// would begin a new line there, of which the next redraw knows nothing: it would start a line too low and leave the
/// first one behind. And it panics, in places, when a terminal cannot be written to; one that was closed must not stop a
/// training run.
#[derive(Debug)]
pub(super) struct Terminal {
    inner: Box<dyn TermLike>,
    /// Blanks that are due before the next text.
    blanks: Mutex<String>,
}

impl Terminal {
    pub(super) fn new(inner: Box<dyn TermLike>) -> Self {
        Self { inner, blanks: Mutex::default() }
    }

    fn fill(&self) {
        let blanks = std::mem::take(&mut *self.blanks.lock().unwrap_or_else(PoisonError::into_inner));
        let _ = self.inner.write_str(&blanks);
    }
}

/// Whether a terminal could be written to is left out, see [`Terminal`].
fn forget(_: io::Result<()>) -> io::Result<()> {
    Ok(())
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        self.inner.width()
    }

    fn height(&self) -> u16 {
        self.inner.height()
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        forget(self.inner.move_cursor_up(n))
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        forget(self.inner.move_cursor_down(n))
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        forget(self.inner.move_cursor_right(n))
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        forget(self.inner.move_cursor_left(n))
    }

    fn write_line(&self, s: &str) -> io::Result<()> {
        self.fill();
        forget(self.inner.write_line(s))
    }

    fn write_str(&self, s: &str) -> io::Result<()> {
        self.fill();
        if s.bytes().all(|b| b == b' ') {
            s.clone_into(&mut self.blanks.lock().unwrap_or_else(PoisonError::into_inner));
            return Ok(());
        }
        forget(self.inner.write_str(s))
    }

    fn clear_line(&self) -> io::Result<()> {
        forget(self.inner.clear_line())
    }

    fn flush(&self) -> io::Result<()> {
        self.blanks.lock().unwrap_or_else(PoisonError::into_inner).clear();
        forget(self.inner.flush())
    }
}
