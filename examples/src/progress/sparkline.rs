//! A curve in one line of text.

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const ASCII: [char; 8] = ['_', '.', ':', '-', '=', '+', '*', '#'];

/// `values` as one character each, from their smallest to their largest; the middle level when they are all equal, a
/// blank for what is not finite. Block characters, or ASCII without `unicode`.
pub fn sparkline(values: impl IntoIterator<Item = f64, IntoIter: Clone>, unicode: bool) -> String {
    let levels = if unicode { BLOCKS } else { ASCII };
    let values = values.into_iter();
    let (low, high) = bounds(values.clone());
    let level = |value: f64| match value {
        v if !v.is_finite() => ' ',
        _ if high <= low => levels[3],
        // Halved, so that the range of any two finite numbers is finite.
        v => levels[((v / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0) * 7.0).round() as usize],
    };
    values.map(level).collect()
}

/// The smallest and the largest finite one; infinities the wrong way round when there is none.
pub(super) fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = values.filter(|v| v.is_finite());
    finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_is_the_lowest_block_and_the_largest_the_highest() {
        assert_eq!(sparkline([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], true), "▁▂▃▄▅▆▇█");
        assert_eq!(sparkline([7.0, 0.0, 3.4], false), "#_-");
        assert_eq!(sparkline([-2e-9, -1e-9], true), "▁█");
        assert_eq!(sparkline([-f64::MAX, f64::MAX], false), "_#");
    }

    #[test]
    fn equal_values_are_a_flat_line_and_what_is_not_finite_a_gap() {
        assert_eq!(sparkline([0.5; 3], true), "▄▄▄");
        assert_eq!(sparkline([f64::NAN, 1.0, f64::INFINITY, 2.0], true), " ▁ █");
        assert_eq!(sparkline([f64::NAN], true), " ");
        assert_eq!(sparkline([], true), "");
    }
}
