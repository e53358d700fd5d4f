//! What is known of a run, and its figures as text.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use counterpoint::Event;
use counterpoint::metrics::Metrics;
use indicatif::FormattedDuration;

use super::sparkline::{bounds, sparkline};

/// Steps that the sparkline shows and that seconds per step are averaged over.
const RECENT: usize = 32;

/// A run as its events tell it.
#[derive(Debug)]
pub(super) struct Run {
    /// Steps in all.
    steps: u64,
    /// Steps done.
    done: u64,
    tasks_per_step: usize,
    /// Mean rewards of the latest steps.
    rewards: VecDeque<f64>,
    /// Seconds of the latest steps.
    seconds: VecDeque<f64>,
    started: Instant,
    /// When the step under way began.
    began: Instant,
    /// Of the latest step.
    metrics: Metrics,
    /// Seconds spent on rollouts, rewards and updates so far.
    phases: [f64; 3],
    /// The task under way, from 1; 0 before the first draft of a step.
    task: usize,
    doing: String,
    /// Whether the run was asked to stop.
    stopping: bool,
}

impl Run {
    pub(super) fn new(steps: u64, done: u64, tasks_per_step: usize) -> Self {
        Self {
            steps,
            done,
            tasks_per_step,
            rewards: VecDeque::with_capacity(RECENT),
            seconds: VecDeque::with_capacity(RECENT),
            started: Instant::now(),
            began: Instant::now(),
            metrics: Metrics::new(),
            phases: [0.0; 3],
            task: 0,
            doing: "drafting".to_owned(),
            stopping: false,
        }
    }

    /// Takes an event in that came at `now`.
    pub(super) fn observe(&mut self, event: &Event<'_>, now: Instant) {
        match event {
            Event::Drafted { attempt, drafted, admitted, .. } => {
                // Attempts count through all waves of a task.
                self.task += usize::from(*attempt == 1);
                self.doing = format!("{}, wave {attempt}, {admitted} of {drafted} admitted", self.task());
            }
            Event::AttemptsExhausted { attempts, filled, .. } => {
                self.doing = format!("{}, {attempts} waves, {filled} refused drafts taken", self.task());
            }
            Event::Group { kept, .. } if kept.len() >= 2 && self.task >= self.tasks_per_step => self.updates(),
            Event::Group { .. } => self.doing = format!("{} scored", self.task()),
            Event::GroupDropped { .. } if self.task >= self.tasks_per_step => self.updates(),
            Event::GroupDropped { .. } => self.doing = format!("{} left out", self.task()),
            Event::Step(report) => {
                self.done = report.step + 1;
                push(&mut self.seconds, now.saturating_duration_since(self.began).as_secs_f64());
                self.began = now;
                self.task = 0;
                self.doing = "drafting".to_owned();
                if let Some(reward) = report.metrics.get("reward") {
                    push(&mut self.rewards, reward);
                }
                for (sum, name) in self.phases.iter_mut().zip(["time/rollout", "time/reward", "time/update"]) {
                    *sum += report.metrics.get(name).unwrap_or(0.0);
                }
                self.metrics = report.metrics.clone();
            }
            _ => {}
        }
    }

    fn task(&self) -> String {
        format!("task {} of {}", self.task, self.tasks_per_step)
    }

    fn updates(&mut self) {
        self.doing = "updating".to_owned();
    }

    /// Steps in all, and how many are done.
    pub(super) fn position(&self) -> (u64, u64) {
        (self.steps, self.done)
    }

    /// What stays of a run in which steps were seen: `50/50 steps, 00:08:20, reward 0.412`.
    pub(super) fn closing(&self) -> Option<String> {
        self.seconds.back()?;
        let took = FormattedDuration(self.began.saturating_duration_since(self.started));
        Some(format!("{}/{} steps, {took}, reward {}", self.done, self.steps, self.reward().0))
    }

    /// `12/50 steps  9.8 s/step  ETA 00:06:12`
    pub(super) fn pace(&self) -> String {
        let position = format!("{}/{} steps", self.done, self.steps);
        if self.seconds.is_empty() {
            return position;
        }
        let mean = self.seconds.iter().sum::<f64>() / self.seconds.len() as f64;
        let left = mean * self.steps.saturating_sub(self.done) as f64;
        let left = Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX);
        format!("{position}  {} s/step  ETA {}", short(mean), FormattedDuration(left))
    }

    /// The latest reward and the range of the recent ones: `0.412` and `0.388 to 0.431`.
    pub(super) fn reward(&self) -> (String, String) {
        let Some(&latest) = self.rewards.back() else { return ("-".to_owned(), String::new()) };
        let (low, high) = bounds(self.rewards.iter().copied());
        (short(latest), format!("{} to {}", short(low), short(high)))
    }

    /// The latest rewards as a sparkline.
    pub(super) fn curve(&self, unicode: bool) -> String {
        sparkline(self.rewards.iter().copied(), unicode)
    }

    /// `pass rate 0.520  threshold 0.480  attempts 1.667  KL 0.001  grad norm 0.340`, as far as they are known.
    pub(super) fn control(&self) -> String {
        let named = [
            ("pass rate", "dgs/pass_rate"),
            ("threshold", "dgs/threshold"),
            ("attempts", "dgs/attempts"),
            ("KL", "kl"),
            ("grad norm", "grad_norm"),
        ];
        let known =
            named.iter().filter_map(|(label, name)| Some(format!("{label} {}", short(self.metrics.get(name)?))));
        let known: Vec<String> = known.collect();
        if known.is_empty() { "pass rate -".to_owned() } else { known.join("  ") }
    }

    /// `rollout 61 %  reward 12 %  update 27 %` of the work of all steps seen, in which overlapping phases count each.
    pub(super) fn shares(&self) -> String {
        let total: f64 = self.phases.iter().sum();
        if total <= 0.0 {
            return String::new();
        }
        let [rollout, reward, update] = self.phases.map(|seconds| 100.0 * seconds / total);
        format!("rollout {rollout:.0} %  reward {reward:.0} %  update {update:.0} %")
    }

    /// `step 13: task 2 of 3, wave 1, 5 of 8 admitted`
    pub(super) fn hint(&self) -> String {
        let stopping = if self.stopping { "; stopping after this step" } else { "" };
        format!("step {}: {}{stopping}", self.done + 1, self.doing)
    }

    /// The run was asked to stop.
    pub(super) fn stop(&mut self) {
        self.stopping = true;
    }
}

/// Adds the latest value and forgets what is no longer recent.
fn push(recent: &mut VecDeque<f64>, value: f64) {
    if recent.len() == RECENT {
        recent.pop_front();
    }
    recent.push_back(value);
}

/// Three decimals, or two digits and an exponent where those would say nothing.
fn short(value: f64) -> String {
    match value.abs() {
        size if size != 0.0 && !(1e-3..1e6).contains(&size) => format!("{value:.1e}"),
        _ => format!("{value:.3}"),
    }
}
