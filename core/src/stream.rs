//! Counter-based random streams: every decision has its own key, so results do not depend on the order, the batch or the
//! device in which decisions are made.

use std::convert::Infallible;

use rand::seq::index::sample;
use rand::{Rng, RngExt, SeedableRng, TryRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// The random streams of one run. Copy it freely: it holds the run seed and no state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streams {
    seed: u64,
}

/// Which decision a stream belongs to: run seed (in [`Streams`]), step, task, candidate, purpose and index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// Optimizer step of the run, from 0.
    pub step: u64,
    /// Task within the run (its cursor), from 0.
    pub task: u64,
    /// Candidate within the task's group, from 0; dropped drafts count too.
    pub candidate: u64,
}

/// The stream of one key and purpose: an endless sequence of uniforms.
///
/// It is a generator of the `rand` crate, so the distributions of `rand` and `rand_distr`, shuffles and subsets draw from it:
///
/// ```
/// use counterpoint::rand::RngExt;
/// use counterpoint::rand::seq::SliceRandom;
/// use counterpoint::{Key, Streams};
///
/// let mut stream = Streams::new(7).stream(Key::task(0, 0), "order", 0);
/// let mut order = [0, 1, 2, 3];
/// order.shuffle(&mut stream);
/// let share: f64 = stream.random_range(0.0..1.0);
/// # assert!(share < 1.0);
/// ```
#[derive(Debug, Clone)]
pub struct Stream(ChaCha8Rng);

impl Streams {
    /// The streams of the run with this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The run seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The stream for decision number `index` of `purpose` (such as `"text.token"`) of `key`.
    pub fn stream(&self, key: Key, purpose: &str, index: u64) -> Stream {
        let mut hash = Sha256::new();
        for number in [self.seed, key.step, key.task, key.candidate, index] {
            hash.update(number.to_le_bytes());
        }
        hash.update(purpose.as_bytes());
        Stream(ChaCha8Rng::from_seed(hash.finalize().into()))
    }
}

impl Key {
    /// The key of a decision that concerns a whole task, such as which pathway it takes.
    pub fn task(step: u64, task: u64) -> Self {
        Self { step, task, candidate: 0 }
    }
}

impl Stream {
    /// The next uniform in the open interval (0, 1), on a grid of 2^-24: exact in f32.
    pub fn uniform(&mut self) -> f32 {
        ((self.0.next_u32() >> 8) as f32 + 0.5) * (1.0 / (1 << 24) as f32)
    }

    /// The next `n` uniforms in (0, 1).
    pub fn uniforms(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.uniform()).collect()
    }

    /// A uniform integer in `0..n`. `n` must be positive; 0 gives 0.
    pub fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { self.random_range(0..n) }
    }

    /// `k` different integers of `0..n`, in increasing order, every subset equally likely. All of them when `k >= n`.
    pub fn subset(&mut self, k: usize, n: usize) -> Vec<usize> {
        let mut chosen = sample(self, n, k.min(n)).into_vec();
        chosen.sort_unstable();
        chosen
    }
}

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    const KEY: Key = Key { step: 3, task: 5, candidate: 7 };

    #[test]
    fn a_stream_depends_on_every_part_of_its_key_and_on_nothing_else() {
        let streams = Streams::new(1);
        let first = |s: Streams, k, p, i| s.stream(k, p, i).uniforms(4);
        let base = first(streams, KEY, "a", 0);
        assert_eq!(base, first(Streams::new(1), KEY, "a", 0));
        let others = [
            first(Streams::new(2), KEY, "a", 0),
            first(streams, Key { step: 4, ..KEY }, "a", 0),
            first(streams, Key { task: 6, ..KEY }, "a", 0),
            first(streams, Key { candidate: 8, ..KEY }, "a", 0),
            first(streams, KEY, "b", 0),
            first(streams, KEY, "a", 1),
        ];
        assert!(others.iter().all(|o| *o != base));
    }

    #[test]
    fn uniforms_are_inside_the_open_interval_and_uniform() {
        let u = Streams::new(9).stream(KEY, "u", 0).uniforms(100_000);
        assert!(u.iter().all(|&x| x > 0.0 && x < 1.0));
        let mean = u.iter().map(|&x| f64::from(x)).sum::<f64>() / u.len() as f64;
        assert!((mean - 0.5).abs() < 4.0 * (1.0 / 12.0_f64 / u.len() as f64).sqrt(), "mean {mean}");
    }

    #[test]
    fn the_numbers_of_a_stream_never_change() {
        let stream = || Streams::new(1).stream(KEY, "a", 0);
        let mut both = stream();
        assert_eq!(both.uniform(), ((stream().next_u32() >> 8) as f32 + 0.5) / (1 << 24) as f32);
        let uniforms = stream().uniforms(4);
        assert_eq!(uniforms, [0.086_740_05, 0.913_231_73, 0.657_410_5, 0.983_878_25]);
    }

    #[test]
    fn distributions_of_rand_distr_draw_from_a_stream() {
        let normals = StandardNormal.sample_iter(Streams::new(2).stream(KEY, "normal", 0)).take(100_000);
        let normals: Vec<f64> = normals.collect();
        let moment = |k: i32| normals.iter().map(|x| x.powi(k)).sum::<f64>() / normals.len() as f64;
        let error = |variance: f64| 4.0 * (variance / normals.len() as f64).sqrt();
        assert!(moment(1).abs() < error(1.0), "mean {}", moment(1));
        assert!((moment(2) - 1.0).abs() < error(2.0), "variance {}", moment(2));
    }

    #[test]
    fn subsets_are_sorted_and_equally_likely() {
        let mut counts = std::collections::HashMap::new();
        for i in 0..20_000 {
            let s = Streams::new(4).stream(KEY, "subset", i).subset(2, 4);
            assert!(s.len() == 2 && s[0] < s[1]);
            *counts.entry(s).or_insert(0) += 1;
        }
        let mut stream = Streams::new(4).stream(KEY, "subset", 0);
        assert_eq!((stream.subset(5, 3), stream.subset(0, 3), stream.below(0)), (vec![0, 1, 2], vec![], 0));
        assert_eq!(counts.len(), 6);
        let expected = 20_000.0 / 6.0;
        assert!(counts.values().all(|&c| (f64::from(c) - expected).abs() < 5.0 * expected.sqrt()), "{counts:?}");
    }
}
