//! How property tests are run.

use proptest::test_runner::{Config, RngSeed};

/// `count` random cases, the same in every run, so that a change is judged by the same cases as the one before it.
/// `PROPTEST_CASES` and `PROPTEST_RNG_SEED` in the environment ask for more and for others.
pub fn cases(count: u32) -> Config {
    let set = |name: &str| std::env::var_os(name).is_some();
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if !set("PROPTEST_CASES") {
        config.cases = count;
    }
    if !set("PROPTEST_RNG_SEED") {
        config.rng_seed = RngSeed::Fixed(1);
    }
    config
}
