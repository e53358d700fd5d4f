//! Plugins in the recipe: the same run with rewards that are linked in, loaded and bridged; and runs with plugins that break.
//!
//! A main of its own: the test program is also the child in which plugins are looked at and run.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod broken;
mod same;
mod support;

use libtest_mimic::{Arguments, Trial};

fn main() {
    counterpoint_examples::run_if_child();
    let tests = [same::tests(), broken::tests()].concat();
    let trial = |(name, test): (&'static str, fn())| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    };
    libtest_mimic::run(&Arguments::from_args(), tests.into_iter().map(trial).collect()).exit();
}
