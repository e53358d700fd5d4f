//! One call at a time, also when a call never comes back.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{Error, ErrorKind, Result};

/// A lock that knows when its holder was given up.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    free: Condvar,
}

#[derive(Debug, Default)]
struct State {
    holder: Option<u64>,
    given_up: bool,
    /// Number of the next holder.
    next: u64,
}

/// Holds the gate, on whatever thread.
#[derive(Debug)]
pub(crate) struct Pass {
    gate: &'static Gate,
    number: u64,
    waited: Duration,
}

impl Gate {
    /// Waits for the gate, at most until `until`, and takes it.
    ///
    /// # Errors
    /// [`ErrorKind::Call`] when whoever holds it was given up; [`ErrorKind::Deadline`] when time is up.
    pub(crate) fn pass(&'static self, until: Option<Instant>) -> Result<Pass> {
        let mut state = self.lock();
        let asked = state.holder.map(|_| Instant::now());
        while state.holder.is_some() {
            if state.given_up {
                return Err(Error::new(
                    ErrorKind::Call,
                    "the plugin permits one call at a time, and one that was given up after its deadline has not come back; \
                     run it in a child process (isolation = \"process\"), where it can be stopped",
                ));
            }
            let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                let message = "the plugin permits one call at a time, and other calls took all of the time";
                return Err(Error::new(ErrorKind::Deadline, message));
            }
            state = self.free.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let number = state.next;
        *state = State { holder: Some(number), given_up: false, next: number + 1 };
        Ok(Pass { gate: self, number, waited: asked.map_or(Duration::ZERO, |asked| asked.elapsed()) })
    }

    /// Says that the holder called `number` was given up, if it still holds the gate; those who wait for it wait no longer.
    pub(crate) fn give_up(&self, number: u64) {
        let mut state = self.lock();
        if state.holder == Some(number) {
            state.given_up = true;
            self.free.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// The number by which it is given up.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Time spent waiting for it.
    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        (state.holder, state.given_up) = (None, false);
        self.gate.free.notify_all();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::LazyLock;

    use super::*;

    #[test]
    fn only_the_holder_is_given_up() {
        static GATE: LazyLock<Gate> = LazyLock::new(Gate::default);
        let gate: &'static Gate = &GATE;
        let first = gate.pass(None).unwrap().number();
        let second = gate.pass(None).unwrap();
        // The first came back in the last moment: nobody else is blamed for it.
        gate.give_up(first);
        let soon = Some(Instant::now() + Duration::from_millis(20));
        assert_eq!(gate.pass(soon).unwrap_err().kind(), ErrorKind::Deadline);
        gate.give_up(second.number());
        assert_eq!(gate.pass(None).unwrap_err().kind(), ErrorKind::Call);
        drop(second);
        gate.pass(soon).unwrap();
    }

    #[test]
    fn whoever_waits_gets_the_gate_when_it_is_free() {
        static GATE: LazyLock<Gate> = LazyLock::new(Gate::default);
        let gate: &'static Gate = &GATE;
        let held = gate.pass(None).unwrap();
        let waiting = std::thread::spawn(move || gate.pass(None).map(|pass| pass.number()));
        std::thread::sleep(Duration::from_millis(20));
        drop(held);
        assert_eq!(waiting.join().unwrap().unwrap(), 1);
    }
}
