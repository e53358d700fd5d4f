//! What a run came to, in the box on top, in words that claim no more than the numbers do.

use counterpoint::metrics::Metrics;

use crate::plot::number;
use crate::report::Check;
use crate::series::{Place, mean};

/// Share of the steps at either end whose mean is compared.
const ENDS: f64 = 0.1;

/// Reward at the start, at the end, and whether that is a change.
pub fn reward(history: &[(u64, Metrics)]) -> Option<(String, String)> {
    let rewards: Vec<f64> = history.iter().filter_map(|(_, m)| m.get("reward")).filter(|r| r.is_finite()).collect();
    let n = ((rewards.len() as f64 * ENDS).round() as usize).max(1);
    let first = rewards.get(..n)?;
    let last = &rewards[rewards.len() - n..];
    if rewards.len() == 1 {
        return Some((number(first[0]), "One step.".to_owned()));
    }
    let (start, end) = (mean(first.iter().copied()), mean(last.iter().copied()));
    let steps = if n == 1 {
        "the first and of the last step".to_owned()
    } else {
        format!("the first and of the last {n} steps")
    };
    let verdict = match (standard_error(first), standard_error(last)) {
        (Some(a), Some(b)) => {
            let error = a.hypot(b);
            let times = if (end - start).abs() > 2.0 * error { "more" } else { "not more" };
            format!("The change is {times} than twice its standard error ({error:.3}).")
        }
        _ => "Too few steps to tell a change from chance.".to_owned(),
    };
    Some((format!("{start:.3} → {end:.3} ({:+.3})", end - start), format!("Means of {steps}. {verdict}")))
}

/// Standard error of the mean, from three values on.
fn standard_error(values: &[f64]) -> Option<f64> {
    let n = values.len();
    let centre = mean(values.iter().copied());
    let variance = values.iter().map(|v| (v - centre).powi(2)).sum::<f64>() / (n as f64 - 1.0);
    (n >= 3).then(|| (variance / n as f64).sqrt())
}

/// How many steps, and which.
pub fn steps(history: &[(u64, Metrics)]) -> (String, String) {
    let note = match history {
        [] => "The history is empty.".to_owned(),
        [(first, _)] => format!("Step {first}."),
        [(first, _), .., (last, _)] => format!("Steps {first} to {last}."),
    };
    (history.len().to_string(), note)
}

/// How long they took, if that was measured.
pub fn wall_clock(places: &[Place]) -> Option<(String, String)> {
    let seconds = places.last().map(|place| place.seconds).filter(|s| *s > 0.0)?;
    let each = duration(seconds / places.len() as f64);
    Some((duration(seconds), format!("Rollouts, rewards and updates; {each} a step. Evaluations are not in it.")))
}

/// Seconds for people.
fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match seconds {
        s if s < 10.0 => format!("{} s", number((s * 100.0).round() / 100.0)),
        s if s < 60.0 => format!("{s:.0} s"),
        s if s < 3600.0 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// What the history itself says about the run's health.
pub fn checks(history: &[(u64, Metrics)]) -> Vec<Check> {
    let all = || history.iter().flat_map(|(step, m)| m.iter().map(move |(name, value)| (*step, name, value)));
    let sum = |ending: fn(&str) -> bool| {
        all().filter(|(_, name, value)| ending(name) && value.is_finite()).map(|(_, _, v)| v).reduce(|a, b| a + b)
    };
    let mut checks = Vec::new();
    if history.is_empty() {
        return checks;
    }
    let odd: Vec<(u64, &str)> = all().filter(|(_, _, v)| !v.is_finite()).map(|(step, name, _)| (step, name)).collect();
    checks.push(match odd.first() {
        None => Check::new("numbers", true, "every number of every step is finite"),
        Some((step, name)) => {
            let what = format!("not finite: {}, the first of them {name} in step {step}", odd.len());
            Check::new("numbers", false, what)
        }
    });
    if let Some(failed) = sum(|name| name.starts_with("rewards/") && name.ends_with("/failed")) {
        checks.push(Check::new("rewards", failed == 0.0, count(failed, "scores failed")));
    }
    if let Some(dropped) = sum(|name| name == "groups_dropped") {
        checks.push(Check::new("groups", dropped == 0.0, count(dropped, "groups were dropped")));
    }
    let missing: f64 = history.windows(2).map(|w| w[1].0.saturating_sub(w[0].0).saturating_sub(1) as f64).sum();
    let what = count(missing, "steps are missing between the first and the last");
    checks.push(Check::new("history", missing == 0.0, what));
    checks
}

/// How many of something, in words when none.
fn count(n: f64, of: &str) -> String {
    let n = if n == 0.0 { "no".to_owned() } else { number(n) };
    format!("{n} {of}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn history(rewards: impl IntoIterator<Item = f64>) -> Vec<(u64, Metrics)> {
        let step = |reward| {
            let mut metrics = Metrics::new();
            metrics.insert("reward", reward);
            metrics
        };
        (0..).zip(rewards.into_iter().map(step)).collect()
    }

    #[test]
    fn a_change_is_told_from_noise() {
        let noise = |i: i32| if i % 2 == 0 { 0.05 } else { -0.05 };
        let (text, note) = reward(&history((0..100).map(|i| 0.5 + noise(i)))).unwrap();
        assert_eq!(text, "0.500 → 0.500 (+0.000)");
        assert!(note.contains("first and of the last 10 steps") && note.contains("not more than twice"), "{note}");
        let (text, note) = reward(&history((0..100).map(|i| f64::from(i) / 100.0 + noise(i)))).unwrap();
        assert_eq!(text, "0.045 → 0.945 (+0.900)");
        assert!(note.contains("is more than twice"), "{note}");
    }

    #[test]
    fn short_histories_claim_nothing() {
        assert_eq!(reward(&history([])), None);
        assert_eq!(reward(&history([f64::NAN])), None);
        assert_eq!(reward(&history([0.25])).unwrap(), ("0.25".to_owned(), "One step.".to_owned()));
        assert!(reward(&history([0.1, 0.9])).unwrap().1.contains("Too few steps"));
    }

    #[test]
    fn the_checks_name_what_is_wrong() {
        assert!(checks(&[]).is_empty());
        assert!(checks(&history([0.5, 0.6])).iter().all(|c| c.passed));
        let mut bad = history([0.5, f64::NAN, 0.6]);
        bad[2].0 = 5;
        bad[0].1.insert("rewards/ber/failed", 2.0);
        bad[2].1.insert("rewards/ber/failed", 1.0);
        bad[2].1.insert("groups_dropped", 4.0);
        let found: Vec<String> = checks(&bad).iter().filter(|c| !c.passed).map(|c| c.detail.clone()).collect();
        let expected = [
            "not finite: 1, the first of them reward in step 1",
            "3 scores failed",
            "4 groups were dropped",
            "3 steps are missing between the first and the last",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn durations_are_readable() {
        let found = [0.456, 12.4, 75.0, 7260.0].map(duration);
        assert_eq!(found, ["0.46 s", "12 s", "1 min 15 s", "2 h 1 min"]);
    }
}
