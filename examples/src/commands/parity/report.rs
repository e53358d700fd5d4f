//! One line per quantity, and the summary.

use serde::Serialize;

/// What a quantity has to meet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    /// Every number equal.
    Exact,
    /// Largest relative error; each error is divided by the expected value or, where that is smaller, by the mean
    /// magnitude of the expected values.
    Relative(f64),
    /// Largest relative error, each error divided by its own expected value.
    Each(f64),
    /// Largest L2 norm of the error relative to that of the expected values.
    Norm(f64),
    /// Largest share of numbers that are not equal: what half precision is held to where [`Exact`](Self::Exact) would
    /// hang on the order of nearly equal scores.
    Unequal(f64),
}

/// One compared quantity.
#[derive(Debug, Serialize)]
pub struct Line {
    pub quantity: String,
    pub numbers: usize,
    pub max_abs_error: f64,
    pub max_rel_error: f64,
    pub tolerance: f64,
    pub ok: bool,
}

/// All compared quantities.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub lines: Vec<Line>,
}

impl Report {
    /// Compares and prints one line.
    pub fn compare(&mut self, quantity: &str, expected: &[f64], got: &[f64], tolerance: Tolerance) {
        let scale = expected.iter().map(|e| e.abs()).sum::<f64>() / expected.len().max(1) as f64;
        let (mut absolute, mut relative, mut unequal, mut squares) = (0.0_f64, 0.0_f64, 0, 0.0);
        for (e, g) in expected.iter().zip(got) {
            let error = (e - g).abs();
            // NaN must not pass as small.
            let error = if error.is_nan() { f64::INFINITY } else { error };
            absolute = absolute.max(error);
            if error > 0.0 {
                unequal += 1;
                squares += error * error;
                let floor = if matches!(tolerance, Tolerance::Each(_)) { 0.0 } else { scale };
                relative = relative.max(error / e.abs().max(floor).max(f64::MIN_POSITIVE));
            }
        }
        let (limit, within) = match tolerance {
            Tolerance::Exact => (0.0, absolute == 0.0),
            Tolerance::Relative(limit) | Tolerance::Each(limit) => (limit, relative <= limit),
            Tolerance::Norm(limit) => {
                let norm = expected.iter().map(|e| e * e).sum::<f64>().sqrt();
                relative = squares.sqrt() / norm.max(f64::MIN_POSITIVE);
                (limit, relative <= limit)
            }
            Tolerance::Unequal(limit) => (limit, unequal as f64 <= limit * expected.len() as f64),
        };
        let ok = within && expected.len() == got.len() && !expected.is_empty();
        let verdict = if ok { "ok" } else { "FAIL" };
        let counts = if expected.len() == got.len() {
            String::new()
        } else {
            format!("  expected {} numbers, got {}", expected.len(), got.len())
        };
        println!("{quantity:<34} abs {absolute:>9.2e}  rel {relative:>9.2e}  tol {limit:>7.0e}  {verdict}{counts}");
        self.lines.push(Line {
            quantity: quantity.to_owned(),
            numbers: expected.len(),
            max_abs_error: absolute,
            max_rel_error: relative,
            tolerance: limit,
            ok,
        });
    }

    /// Prints the JSON summary; true when everything was ok.
    pub fn summary(&self) -> bool {
        let failed: Vec<&str> = self.lines.iter().filter(|l| !l.ok).map(|l| l.quantity.as_str()).collect();
        let ok = failed.is_empty() && !self.lines.is_empty();
        let summary = serde_json::json!({ "ok": ok, "failed": failed, "quantities": self.lines });
        println!("{summary}");
        ok
    }
}
