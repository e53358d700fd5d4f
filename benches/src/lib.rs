//! Benchmarks of Counterpoint: see `benches/` beside this crate's manifest.
