//! Which tokens of an image are hidden, as MaskGIT trains (arXiv 2202.04200) and Show-o after it.

use counterpoint::Stream;

/// How many of `tokens` are hidden at the time `t` in [0, 1): the share is `cos(pi t / 2)`, at least `least`, and one token is
/// always hidden. Rounded half to even, as torch does.
pub fn masked_count(tokens: usize, t: f32, least: f32) -> usize {
    let share = (t * std::f32::consts::FRAC_PI_2).cos().max(least);
    ((tokens as f32 * share).round_ties_even() as usize).clamp(1, tokens)
}

/// Hides tokens at random, as many as a time drawn uniformly says: true where one is hidden.
pub fn mask(tokens: usize, least: f32, noise: &mut Stream) -> Vec<bool> {
    let count = masked_count(tokens, noise.uniform(), least);
    let mut hidden = vec![false; tokens];
    for at in noise.subset(count, tokens) {
        hidden[at] = true;
    }
    hidden
}

#[cfg(test)]
mod tests {
    use counterpoint::{Key, Streams};

    use super::*;

    #[test]
    fn the_share_that_is_hidden_follows_the_cosine_schedule() {
        assert_eq!(masked_count(16, 0.0, 0.0), 16);
        assert_eq!(masked_count(16, 0.5, 0.0), 11); // 16 cos(pi / 4) = 11.3
        assert_eq!(masked_count(16, 0.999_999, 0.0), 1);
        assert_eq!(masked_count(16, 0.999_999, 0.25), 4);
        // The mean of cos(pi t / 2) over t is 2 / pi.
        let mut noise = Streams::new(3).stream(Key::task(0, 0), "test", 0);
        let drawn: usize = (0..20_000).map(|_| mask(64, 0.0, &mut noise).iter().filter(|h| **h).count()).sum();
        let mean = drawn as f64 / (20_000.0 * 64.0);
        assert!((mean - std::f64::consts::FRAC_2_PI).abs() < 0.01, "{mean}");
    }

    #[test]
    fn every_token_is_hidden_as_often_as_any_other() {
        let mut noise = Streams::new(4).stream(Key::task(0, 0), "test", 0);
        let mut counts = [0_u32; 8];
        for _ in 0..20_000 {
            for (count, hidden) in counts.iter_mut().zip(mask(8, 0.0, &mut noise)) {
                *count += u32::from(hidden);
            }
        }
        let mean = counts.iter().sum::<u32>() as f64 / 8.0;
        assert!(counts.iter().all(|&c| (f64::from(c) - mean).abs() < 0.03 * mean), "{counts:?}");
    }
}
