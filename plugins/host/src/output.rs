//! Where a plugin writes its scores, with guards around that tell when it wrote beside.

use counterpoint_abi::{CPT_ABSTAIN, CPT_FAIL, CPT_UNWRITTEN, CPT_VALUE};

use crate::context::Messages;
use crate::{Scores, State};

/// Entries of a guard, before and after.
const GUARD: usize = 16;
/// What a guard around values holds: a NaN that no computation gives.
const GUARD_VALUE: u64 = 0x7ff8_c0de_c0de_c0de;
/// What a guard around statuses holds.
const GUARD_STATUS: i32 = 0x5afe_c0de;

/// The buffers of a call. Kept between calls.
#[derive(Debug, Default)]
pub(crate) struct Output {
    values: Vec<f64>,
    status: Vec<i32>,
}

impl Output {
    /// Makes them ready for `items` items of `outputs` outputs. Where the plugin writes: values and statuses.
    pub(crate) fn prepare(&mut self, items: usize, outputs: usize) -> (*mut f64, *mut i32) {
        fill(&mut self.values, items * outputs, f64::NAN, f64::from_bits(GUARD_VALUE));
        fill(&mut self.status, items, CPT_UNWRITTEN, GUARD_STATUS);
        (self.values.as_mut_ptr().wrapping_add(GUARD), self.status.as_mut_ptr().wrapping_add(GUARD))
    }

    /// Which buffer the plugin wrote beside, if it did.
    pub(crate) fn breach(&self) -> Option<&'static str> {
        let kept = |guard: &[f64]| guard.iter().all(|value| value.to_bits() == GUARD_VALUE);
        if !guards(&self.values).into_iter().all(kept) {
            return Some("values");
        }
        let kept = |guard: &[i32]| guard.iter().all(|status| *status == GUARD_STATUS);
        (!guards(&self.status).into_iter().all(kept)).then_some("status")
    }

    /// What the plugin wrote, as scores; what it left unwritten is a failure of the item.
    pub(crate) fn scores(&self, outputs: usize, messages: &mut Messages) -> Scores {
        let values = self.values[GUARD..self.values.len() - GUARD].to_vec();
        let status = &self.status[GUARD..self.status.len() - GUARD];
        let mut reason = |i: usize| messages.take(i as u64);
        let state = |(i, status): (usize, &i32)| match *status {
            CPT_VALUE => State::Value,
            CPT_ABSTAIN => {
                State::Abstain(reason(i).unwrap_or_else(|| "it does not apply (no reason given)".to_owned()))
            }
            CPT_FAIL => State::Fail(reason(i).unwrap_or_else(|| "no reason given".to_owned())),
            CPT_UNWRITTEN => State::Fail("the plugin left this item without an answer".to_owned()),
            other => State::Fail(format!("expected a status of 0, 1 or 2, got {other}")),
        };
        Scores { outputs, values, states: status.iter().enumerate().map(state).collect() }
    }
}

/// Makes `buffer` one of `length` entries `empty` between two guards.
fn fill<T: Copy>(buffer: &mut Vec<T>, length: usize, empty: T, guard: T) {
    buffer.clear();
    buffer.resize(GUARD, guard);
    buffer.resize(GUARD + length, empty);
    buffer.resize(GUARD + length + GUARD, guard);
}

/// The guards before and after.
fn guards<T>(buffer: &[T]) -> [&[T]; 2] {
    [&buffer[..GUARD], &buffer[buffer.len() - GUARD..]]
}
