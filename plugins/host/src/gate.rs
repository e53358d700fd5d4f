//! One call at a time, also when a call never comes back.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::{Error, ErrorKind, Result};

/// A lock that knows when its holder was given up.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    free: Condvar,
}

#[derive(Debug, Default)]
struct State {
    taken: bool,
    given_up: bool,
}

/// Holds the gate.
pub(crate) struct Pass<'a>(&'a Gate);

impl Gate {
    /// Waits for the gate and takes it.
    ///
    /// # Errors
    /// [`ErrorKind::Call`] when whoever holds it was given up.
    pub(crate) fn pass(&self) -> Result<Pass<'_>> {
        let mut state = self.lock();
        while state.taken {
            if state.given_up {
                return Err(Error::new(
                    ErrorKind::Call,
                    "the plugin permits one call at a time, and one that was given up after its deadline has not come back; \
                     run it in a child process (isolation = \"process\"), where it can be stopped",
                ));
            }
            state = self.free.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        *state = State { taken: true, given_up: false };
        Ok(Pass(self))
    }

    /// Says that whoever holds the gate was given up; those who wait for it wait no longer.
    pub(crate) fn give_up(&self) {
        let mut state = self.lock();
        state.given_up = state.taken;
        self.free.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        *self.0.lock() = State::default();
        self.0.free.notify_all();
    }
}
