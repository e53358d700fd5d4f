//! Which call runs, for whoever asks it to end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The call that runs, or ran last, and the requests to end those to come.
#[derive(Debug, Default)]
pub struct Running(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    id: u64,
    cancel: Arc<AtomicBool>,
    /// The newest call that was asked to end.
    asked: u64,
}

impl Running {
    /// Call number `id` begins. The flag becomes true when it should end.
    pub fn begin(&self, id: u64) -> Arc<AtomicBool> {
        let mut state = self.lock();
        state.id = id;
        state.cancel = Arc::new(AtomicBool::new(state.asked == id || state.asked == u64::MAX));
        Arc::clone(&state.cancel)
    }

    /// Call number `id` should end, also when it has yet to begin.
    pub fn cancel(&self, id: u64) {
        let mut state = self.lock();
        state.asked = id;
        if state.id == id {
            state.cancel.store(true, Ordering::Relaxed);
        }
    }

    /// Every call should end.
    pub fn cancel_all(&self) {
        let mut state = self.lock();
        state.asked = u64::MAX;
        state.cancel.store(true, Ordering::Relaxed);
    }

    /// Whether every call should end.
    pub fn are_all_cancelled(&self) -> bool {
        self.lock().asked == u64::MAX
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
