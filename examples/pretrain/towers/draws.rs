//! Integers and subsets as the shipped towers drew them: another way of drawing would train others.

use counterpoint::Stream;
use counterpoint::rand::Rng;

/// A uniform integer in `0..n`.
pub(super) fn below(stream: &mut Stream, n: usize) -> usize {
    // 64 random bits scaled to n: the bias is below n / 2^64.
    ((u128::from(stream.next_u64()) * n as u128) >> 64) as usize
}

/// `k` different integers of `0..n`, in increasing order, every subset equally likely.
pub(super) fn subset(stream: &mut Stream, k: usize, n: usize) -> Vec<usize> {
    let mut left = k.min(n);
    let mut chosen = Vec::with_capacity(left);
    for i in 0..n {
        if below(stream, n - i) < left {
            chosen.push(i);
            left -= 1;
        }
    }
    chosen
}
