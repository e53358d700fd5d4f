//! In which order tasks come, and which are passed over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Key, Result, Streams};

/// The order in which a source of finitely many tasks goes through them. It follows from the cursor, so that a resumed run goes on where
/// the other was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskOrder {
    /// Each is drawn anew, whatever was drawn before.
    #[default]
    Random,
    /// All in a random order, then all in another.
    Shuffled,
    /// All as they are, again and again.
    Sequential,
}

impl TaskOrder {
    /// Which of `count` tasks comes at place `n`, counted from 0; `None` where the source draws one, and where there are none.
    ///
    /// ```
    /// use counterpoint::{Streams, TaskOrder};
    ///
    /// let order = |order: TaskOrder| -> Vec<usize> { (0..6).filter_map(|n| order.nth(3, n, &Streams::new(7))).collect() };
    /// assert_eq!(order(TaskOrder::Sequential), [0, 1, 2, 0, 1, 2]);
    /// let mut shuffled = order(TaskOrder::Shuffled);
    /// shuffled[..3].sort();
    /// assert_eq!(shuffled[..3], [0, 1, 2]);
    /// assert!(order(TaskOrder::Random).is_empty());
    /// ```
    pub fn nth(self, count: usize, n: u64, streams: &Streams) -> Option<usize> {
        let round = n.checked_div(count as u64)?;
        let place = (n % count as u64) as usize;
        match self {
            Self::Random => None,
            Self::Sequential => Some(place),
            Self::Shuffled => {
                let mut stream = streams.stream(Key::task(0, round), "data.order", 0);
                let mut order: Vec<usize> = (0..count).collect();
                (1..count).rev().for_each(|last| order.swap(last, stream.below(last + 1)));
                Some(order[place])
            }
        }
    }
}

/// Tasks that taught nothing of late: their groups had equal rewards throughout, because every candidate was right, or none. What a source
/// of finitely many tasks needs to pass them over; it keeps them in its [state](crate::TaskSource::state).
///
/// ```
/// use counterpoint::FlatTasks;
///
/// let mut flat = FlatTasks::after(2);
/// for (task, equal) in [(0, true), (1, true), (1, true), (0, false), (0, true)] {
///     flat.saw(task, Some(equal));
/// }
/// assert_eq!(flat.pass_over(1, 3), 2, "the one after it");
/// assert_eq!(flat.pass_over(0, 3), 0, "it taught something in between");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlatTasks {
    after: u64,
    /// Groups in a row, up to now, with equal rewards; none where it is 0.
    streaks: BTreeMap<u64, u64>,
}

impl FlatTasks {
    /// Passes a task over after so many groups in a row with equal rewards; never if 0.
    pub fn after(groups: u64) -> Self {
        Self { after: groups, streaks: BTreeMap::new() }
    }

    /// `wanted`, or where that is to be passed over the next of `count` tasks that is not; `wanted` where all are.
    pub fn pass_over(&self, wanted: usize, count: usize) -> usize {
        self.among(0, count, wanted)
    }

    /// The same of the `count` tasks from number `first` on, counted from there.
    pub fn among(&self, first: usize, count: usize, wanted: usize) -> usize {
        let teaches =
            |&task: &usize| self.streaks.get(&((first + task) as u64)).is_none_or(|&streak| streak < self.after);
        let mut turn = (wanted..count).chain(0..wanted.min(count));
        if self.after == 0 { wanted } else { turn.find(teaches).unwrap_or(wanted) }
    }

    /// Takes note of a group of a task: whether its rewards are [equal](crate::Drawn::flat).
    pub fn saw(&mut self, task: u64, flat: Option<bool>) {
        match flat {
            Some(true) if self.after > 0 => *self.streaks.entry(task).or_default() += 1,
            Some(false) => drop(self.streaks.remove(&task)),
            _ => {}
        }
    }

    /// What is remembered, for [`TaskSource::state`](crate::TaskSource::state).
    pub fn state(&self) -> Value {
        match self.after {
            0 => Value::Null,
            _ => self.streaks.iter().map(|(task, streak)| Value::from([*task, *streak])).collect(),
        }
    }

    /// Restores what [`state`](FlatTasks::state) returned.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`](crate::ErrorKind::Checkpoint) when the value is not such a state.
    pub fn restore(&mut self, state: &Value) -> Result<()> {
        let streaks: Option<Vec<(u64, u64)>> = match state {
            Value::Null => Some(Vec::new()),
            state => serde_json::from_value(state.clone()).ok(),
        };
        let expected =
            || Error::checkpoint(format!("tasks: expected pairs of a task and a number of groups, got {state}"));
        self.streaks = streaks.ok_or_else(expected)?.into_iter().collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_round_has_all_in_an_order_of_its_own() {
        let round = |seed, round: u64| -> Vec<usize> {
            let nth = |n| TaskOrder::Shuffled.nth(20, n, &Streams::new(seed));
            (20 * round..20 * (round + 1)).filter_map(nth).collect()
        };
        let rounds: HashSet<Vec<usize>> = (0..4).flat_map(|seed| (0..4).map(move |n| round(seed, n))).collect();
        assert_eq!(rounds.len(), 16, "all differ");
        for mut order in rounds {
            order.sort_unstable();
            assert_eq!(order, (0..20).collect::<Vec<_>>());
        }
        assert_eq!(TaskOrder::Sequential.nth(0, 3, &Streams::new(0)), None);
    }

    #[test]
    fn flat_tasks_are_passed_over_and_remembered() {
        let mut flat = FlatTasks::after(1);
        for task in [1, 2, 4] {
            flat.saw(task, Some(true));
        }
        flat.saw(3, None);
        assert_eq!([0, 1, 2, 3, 4].map(|wanted| flat.pass_over(wanted, 5)), [0, 3, 3, 3, 0]);
        let mut resumed = FlatTasks::after(1);
        assert!(resumed.restore(&flat.state()).is_ok_and(|()| resumed == flat));
        assert!(resumed.restore(&Value::from("x")).is_err());
        (0..5).for_each(|task| flat.saw(task, Some(true)));
        assert_eq!(flat.pass_over(2, 5), 2, "all of them");

        let mut never = FlatTasks::after(0);
        (0..9).for_each(|_| never.saw(0, Some(true)));
        assert_eq!((never.pass_over(0, 5), never.state()), (0, Value::Null));
    }

    #[test]
    fn each_comes_first_equally_often() {
        let mut firsts = [0; 5];
        for round in 0..5000 {
            firsts[TaskOrder::Shuffled.nth(5, 5 * round, &Streams::new(1)).unwrap_or_default()] += 1;
        }
        // Chi-square with 4 degrees of freedom: above 18.5 once in a thousand.
        let chi: f64 = firsts.iter().map(|&n| (f64::from(n) - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi < 18.5, "{firsts:?}");
    }
}
