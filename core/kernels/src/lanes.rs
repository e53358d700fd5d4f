//! Arithmetic on as many numbers as the machine works on at once.
//!
//! What is written with operators here rounds as it does for one number. [`Lanes::times_plus`] rounds once where the machine can: the compiler
//! never takes the liberty, and a power takes half as long with it.

use std::ops::{Add, Div, Mul, Sub};

use pulp::Simd;

/// As many numbers as the machine works on at once.
#[derive(Clone, Copy)]
pub(crate) struct Lanes<S: Simd> {
    simd: S,
    numbers: S::f32s,
}

impl<S: Simd> Lanes<S> {
    /// The same number in all of them.
    #[inline(always)]
    pub(crate) fn all(simd: S, x: f32) -> Self {
        Self { simd, numbers: simd.splat_f32s(x) }
    }

    /// The same number in as many as these.
    #[inline(always)]
    fn other(self, x: f32) -> Self {
        Self::all(self.simd, x)
    }

    /// `self * by + sum`.
    #[inline(always)]
    pub(crate) fn times_plus(self, by: Self, sum: Self) -> Self {
        Self { numbers: self.simd.mul_add_e_f32s(self.numbers, by.numbers, sum.numbers), ..self }
    }

    /// The smaller ones; where one is not a number, on x86, `most`.
    #[inline(always)]
    pub(crate) fn at_most(self, most: Self) -> Self {
        Self { numbers: self.simd.min_f32s(self.numbers, most.numbers), ..self }
    }

    /// The larger ones; where one is not a number, on x86, `least`.
    #[inline(always)]
    pub(crate) fn at_least(self, least: Self) -> Self {
        Self { numbers: self.simd.max_f32s(self.numbers, least.numbers), ..self }
    }

    #[inline(always)]
    pub(crate) fn sum(self) -> f32 {
        self.simd.reduce_sum_f32s(self.numbers)
    }

    /// `e^x` to 2 units in the last place; 0 below -88, e^88 above 88.
    #[inline(always)]
    pub(crate) fn exp(self) -> Self {
        /// 1.5 * 2^23: adding it rounds to a whole number, which is then in the lowest bits.
        const ROUND: f32 = 12_582_912.0;
        /// ln 2, as a sum of which the first part times a small whole number is exact.
        const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
        /// `(e^r - 1 - r) / r^2`, the highest power first.
        const SERIES: [f32; 6] = [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
        // 2^n e^r with |r| <= ln 2 / 2.
        let (simd, round) = (self.simd, self.other(ROUND));
        // In this order what is not a number stays so.
        let x = self.other(88.0).at_most(self.other(-88.0).at_least(self));
        let shifted = x.times_plus(self.other(std::f32::consts::LOG2_E), round);
        let n = shifted - round;
        let r = n.times_plus(self.other(-LN_2[0]), x);
        let r = n.times_plus(self.other(-LN_2[1]), r);
        let mut p = self.other(SERIES[0]);
        for coefficient in &SERIES[1..] {
            p = p.times_plus(r, self.other(*coefficient));
        }
        let p = (p * r).times_plus(r, r) + 1.0;
        // 2^n, and 0 for the lowest n.
        let n = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted.numbers), simd.splat_u32s(23));
        let factor = simd.add_u32s(n, simd.splat_u32s(127 << 23));
        p * Self { numbers: simd.transmute_f32s_u32s(factor), ..p }
    }

    /// `1 / (1 + e^-x)`.
    #[inline(always)]
    pub(crate) fn sigmoid(self) -> Self {
        self.other(1.0) / ((self * -1.0).exp() + 1.0)
    }

    /// The share of a normal distribution below x, to 1e-7.
    #[inline(always)]
    pub(crate) fn normal_below(self) -> Self {
        /// `-ln erfc(t) / t`, which is smooth, fitted on [0, 4.2], the highest power first. Beyond, erfc is below 3e-9.
        const FIT: [f32; 9] = [
            -3.902_868e-6,
            6.350_556e-5,
            -4.130_474e-4,
            1.204_888_5e-3,
            3.814_703e-4,
            -1.950_827_6e-2,
            1.029_011_5e-1,
            6.365_996e-1,
            1.128_380_2,
        ];
        let simd = self.simd;
        let size = Self { numbers: simd.abs_f32s(self.numbers), ..self };
        // Phi(-t sqrt 2) = erfc(t) / 2.
        let t = self.other(4.2).at_most(size * std::f32::consts::FRAC_1_SQRT_2);
        let mut p = self.other(FIT[0]);
        for coefficient in &FIT[1..] {
            p = p.times_plus(t, self.other(*coefficient));
        }
        let tail = (t * p * -1.0).exp() * 0.5;
        let below_0 = simd.less_than_f32s(self.numbers, simd.splat_f32s(0.0));
        let above = self.other(1.0) - tail;
        Self { numbers: simd.select_f32s(below_0, tail.numbers, above.numbers), ..self }
    }
}

/// Operators, with as many numbers or with the same one for all.
macro_rules! operators {
    ($($trait:ident $name:ident $of_pulp:ident),*) => {$(
        impl<S: Simd> $trait for Lanes<S> {
            type Output = Self;

            #[inline(always)]
            fn $name(self, other: Self) -> Self {
                Self { numbers: self.simd.$of_pulp(self.numbers, other.numbers), ..self }
            }
        }

        impl<S: Simd> $trait<f32> for Lanes<S> {
            type Output = Self;

            #[inline(always)]
            fn $name(self, other: f32) -> Self {
                self.$name(self.other(other))
            }
        }
    )*};
}

operators!(Add add add_f32s, Sub sub sub_f32s, Mul mul mul_f32s, Div div div_f32s);

/// Numbers as vectors, the last of which is filled up.
pub(crate) struct Vectors<'a, S: Simd> {
    simd: S,
    whole: &'a [S::f32s],
    rest: &'a [f32],
}

impl<'a, S: Simd> Vectors<'a, S> {
    #[inline(always)]
    pub(crate) fn of(simd: S, numbers: &'a [f32]) -> Self {
        let (whole, rest) = S::as_simd_f32s(numbers);
        Self { simd, whole, rest }
    }

    /// How many there are without the last one.
    #[inline(always)]
    pub(crate) fn whole(&self) -> usize {
        self.whole.len()
    }

    #[inline(always)]
    pub(crate) fn at(&self, i: usize) -> Lanes<S> {
        Lanes { simd: self.simd, numbers: self.whole[i] }
    }

    /// The last one, with `filling` where there are no more numbers.
    #[inline(always)]
    pub(crate) fn last(&self, filling: f32) -> Lanes<S> {
        let Self { simd, rest, .. } = *self;
        let within = simd.mask_between_m32s(0, rest.len() as u32).mask();
        let numbers = simd.select_f32s(within, simd.partial_load_f32s(rest), simd.splat_f32s(filling));
        Lanes { simd, numbers }
    }

    /// The largest number, minus infinity of none.
    #[inline(always)]
    pub(crate) fn largest(&self) -> f32 {
        let mut max = self.last(f32::NEG_INFINITY);
        for i in 0..self.whole() {
            max = max.at_least(self.at(i));
        }
        self.simd.reduce_max_f32s(max.numbers)
    }

    #[inline(always)]
    pub(crate) fn sum(&self) -> f32 {
        let mut sums = self.last(0.0);
        for i in 0..self.whole() {
            sums = sums + self.at(i);
        }
        sums.sum()
    }
}

/// Writes `of` each of `numbers` and those in its place in each of `others`, which may go on, over it; the last vector may be filled up with zeros.
#[inline(always)]
pub(crate) fn map<S: Simd, const N: usize>(
    simd: S,
    numbers: &mut [f32],
    others: [&[f32]; N],
    of: impl Fn(Lanes<S>, [Lanes<S>; N]) -> Lanes<S>,
) {
    let others = others.map(|other| S::as_simd_f32s(&other[..numbers.len()]));
    let (whole, rest) = S::as_mut_simd_f32s(numbers);
    for (i, x) in whole.iter_mut().enumerate() {
        let mut seen = [Lanes { simd, numbers: *x }; N];
        for k in 0..N {
            seen[k].numbers = others[k].0[i];
        }
        *x = of(Lanes { simd, numbers: *x }, seen).numbers;
    }
    if !rest.is_empty() {
        let last = Lanes { simd, numbers: simd.partial_load_f32s(rest) };
        let mut seen = [last; N];
        for k in 0..N {
            seen[k].numbers = simd.partial_load_f32s(others[k].1);
        }
        simd.partial_store_f32s(rest, of(last, seen).numbers);
    }
}

#[cfg(test)]
mod tests {
    use pulp::{Arch, Simd, WithSimd};

    use super::{Lanes, map};

    /// A function of every number.
    trait Function {
        fn of<S: Simd>(x: Lanes<S>) -> Lanes<S>;
    }

    struct Each<'a, F>(&'a mut [f32], F);

    impl<F: Function> WithSimd for Each<'_, F> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            map(
                simd,
                self.0,
                [],
                #[inline(always)]
                |x, []| F::of(x),
            );
        }
    }

    struct Exp;

    impl Function for Exp {
        #[inline(always)]
        fn of<S: Simd>(x: Lanes<S>) -> Lanes<S> {
            x.exp()
        }
    }

    struct NormalBelow;

    impl Function for NormalBelow {
        #[inline(always)]
        fn of<S: Simd>(x: Lanes<S>) -> Lanes<S> {
            x.normal_below()
        }
    }

    /// Numbers of the whole range that `keep` keeps, and `function` of each.
    fn results(function: impl Function, keep: impl Fn(f32) -> bool) -> impl Iterator<Item = (f32, f32)> {
        let numbers = (0..u32::MAX).step_by(9973).map(f32::from_bits);
        let numbers: Vec<f32> = numbers.filter(|x| x.is_finite() && keep(*x)).collect();
        let mut results = numbers.clone();
        Arch::new().dispatch(Each(&mut results, function));
        numbers.into_iter().zip(results)
    }

    #[test]
    fn exp_is_exp() {
        for (x, power) in results(Exp, |x| (-87.0..88.0).contains(&x)) {
            let expected = f64::from(x).exp();
            let error = (f64::from(power) - expected).abs() / expected;
            assert!(error < 2.5e-7, "exp({x}): {power} {expected}");
        }
        // The smallest normal number is e^-87.3.
        assert!(results(Exp, |x| x < -87.0).all(|(_, power)| (0.0..2e-38).contains(&power)));
        let mut ends = [0.0, f32::NEG_INFINITY, -88.0, 88.0, f32::INFINITY, f32::NAN];
        Arch::new().dispatch(Each(&mut ends, Exp));
        assert_eq!(ends[..3], [1.0, 0.0, 0.0]);
        assert!(ends[3] == ends[4] && ends[3].is_finite() && ends[5].is_nan(), "{ends:?}");
    }

    #[test]
    fn the_normal_distribution_is_that_of_the_error_function() {
        for (x, below) in results(NormalBelow, |x| x.abs() < 20.0) {
            let expected = 0.5 * libm::erfc(-f64::from(x) * std::f64::consts::FRAC_1_SQRT_2);
            assert!((f64::from(below) - expected).abs() < 1e-7, "{x}: {below} {expected}");
        }
    }
}
