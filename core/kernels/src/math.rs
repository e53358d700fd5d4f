//! Functions of one number, of which the compiler makes vectors.

/// `e^x` to 2 units in the last place; 0 far below, no infinity above.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // 2^n e^r with |r| <= ln 2 / 2; adding 1.5 * 2^23 rounds to a whole number, which is then in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-103.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    // Two factors, so that a power below the smallest normal number does not wrap.
    let half = |n: u32| f32::from_bits((n << 23).wrapping_add(127 << 23));
    let bits = shifted.to_bits();
    let n = bits.wrapping_sub(ROUND.to_bits()) as i32;
    p * half((n >> 1) as u32) * half((n - (n >> 1)) as u32)
}

/// The share of a normal distribution below `x`, to 6e-8.
#[inline(always)]
pub(crate) fn normal_below(x: f32) -> f32 {
    // Phi(-t sqrt 2) = erfc(t) / 2; -ln erfc(t) / t is smooth, and fitted here on [0, 4.2], beyond which erfc is below 3e-9.
    let t = (x.abs() * std::f32::consts::FRAC_1_SQRT_2).min(4.2);
    let p = -3.902_868e-6;
    let p = p * t + 6.350_556e-5;
    let p = p * t - 4.130_474e-4;
    let p = p * t + 1.204_888_5e-3;
    let p = p * t + 3.814_703e-4;
    let p = p * t - 1.950_827_6e-2;
    let p = p * t + 1.029_011_5e-1;
    let p = p * t + 6.365_996e-1;
    let p = p * t + 1.128_380_2;
    let tail = 0.5 * exp(-t * p);
    if x < 0.0 { tail } else { 1.0 - tail }
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// What `of` makes of all lanes, two halves at a time: one lane after the other would take longer than what filled them.
#[inline(always)]
pub(crate) fn folded<const N: usize>(mut lanes: [f32; N], of: impl Fn(f32, f32) -> f32) -> f32 {
    const { assert!(N.is_power_of_two()) };
    let mut half = N / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = of(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// The sum of all lanes.
#[inline(always)]
pub(crate) fn sum<const N: usize>(lanes: [f32; N]) -> f32 {
    folded(lanes, |a, b| a + b)
}

#[cfg(test)]
mod tests {
    use super::{exp, normal_below};

    /// Every 97th number of the range, against the functions in double precision.
    fn numbers() -> impl Iterator<Item = f32> {
        (0..u32::MAX).step_by(9973).map(f32::from_bits).filter(|x| x.is_finite())
    }

    #[test]
    fn exp_is_exp() {
        for x in numbers().filter(|x| (-87.0..88.0).contains(x)) {
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(error < 2.5e-7, "exp({x}): {} {expected}", exp(x));
        }
        assert_eq!(exp(-1e30), exp(-103.0));
        assert!(exp(-103.0) < 1e-44);
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn the_normal_distribution_is_that_of_the_error_function() {
        for x in numbers().filter(|x| x.abs() < 20.0) {
            let expected = 0.5 * libm::erfc(-f64::from(x) * std::f64::consts::FRAC_1_SQRT_2);
            let error = (f64::from(normal_below(x)) - expected).abs();
            assert!(error < 1e-7, "{x}: {} {expected}", normal_below(x));
        }
    }
}
