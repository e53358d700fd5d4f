//! How long to wait before a call is made again.

use std::time::Duration;

/// The longest pause, whatever an endpoint asks for.
const LONGEST: Duration = Duration::from_secs(60);

/// The pause after attempt number `attempt`, counted from 0: what the endpoint asked for in `Retry-After`, or else half a second, doubled
/// with each attempt, and up to half as much again by `key`, so that calls that failed together do not come back together.
pub(crate) fn pause(attempt: u32, retry_after: Option<&str>, key: &str) -> Duration {
    if let Some(seconds) = retry_after.and_then(|after| after.trim().parse::<f64>().ok()).filter(|s| *s >= 0.0) {
        return Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(LONGEST);
    }
    let base = 0.5 * 2.0_f64.powi(attempt.min(16) as i32);
    let spread = key.bytes().take(8).fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let spread = f64::from(spread.wrapping_add(attempt) % 1000) / 2000.0;
    Duration::from_secs_f64(base * (1.0 + spread)).min(LONGEST)
}

/// Whether a call with this status may succeed later.
pub(crate) fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 409 | 425 | 429) || status >= 500
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_are_spread_and_obey_the_endpoint() {
        let seconds = |attempt, after, key| pause(attempt, after, key).as_secs_f64();
        for attempt in 0..5 {
            let base = 0.5 * 2.0_f64.powi(attempt as i32);
            assert!((base..base * 1.5).contains(&seconds(attempt, None, "abcdefgh")));
        }
        assert!(seconds(0, None, "abcdefgh") != seconds(0, None, "hgfedcba"));
        assert_eq!((seconds(0, Some("3"), "a"), seconds(9, Some(" 0 "), "a")), (3.0, 0.0));
        assert_eq!((seconds(0, Some("1e300"), "a"), seconds(40, None, "a")), (60.0, 60.0));
        // A date or nonsense is no number of seconds.
        assert!(seconds(0, Some("Wed, 21 Oct 2015 07:28:00 GMT"), "a") < 1.0 && seconds(0, Some("-4"), "a") >= 0.5);
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        assert!([429, 500, 503, 529, 408].map(is_passing).iter().all(|again| *again));
        assert!([400, 401, 403, 404, 422].map(is_passing).iter().all(|again| !*again));
    }
}
