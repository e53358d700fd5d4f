//! A report with everything in it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use counterpoint::metrics::Metrics;
use counterpoint_report::{Answer, Cell, Check, Gallery, Report, Table, Verdict, machine};
use image::{Rgb, RgbImage};

/// Tasks in the gallery; two images each.
pub const CELLS: usize = 24;
/// Charts of the history, each drawn twice.
pub const CHARTS: usize = 8;

/// Metrics as the trainer writes them, with a gap and an expert that is not always there.
pub fn history(steps: u64) -> Vec<(u64, Metrics)> {
    let step = |step: u64| {
        let t = step as f64;
        let mut metrics = Metrics::new();
        let mut set = |name: &str, value: f64| metrics.insert(name, value);
        set("reward", 0.5 + 0.3 * (t / 20.0).tanh() + 0.02 * (t * 1.7).sin());
        set("rewards/tier/mean", 0.7 + 0.02 * (t * 2.3).cos());
        set("rewards/ber/mean", 0.6);
        if step % 3 == 1 {
            set("rewards/fer/mean", 0.4 + 0.001 * t);
        }
        set("kl", if step == 7 { f64::NAN } else { 1e-4 * t });
        set("clip_ratio/low", 0.0);
        set("clip_ratio/high", 0.01);
        set("grad_norm", if step == 9 { f64::INFINITY } else { 0.7 });
        set("dgs/threshold", 0.5);
        set("dgs/pass_rate", 0.25);
        set("dgs/steps_saved", 96.0);
        set("time/rollout", 3.5);
        set("time/reward", 0.1);
        set("time/update", 4.0);
        (step, metrics)
    };
    (0..steps).map(step).collect()
}

/// An image that compresses badly, as photographs do.
fn image(seed: u32) -> RgbImage {
    let noise =
        |x: u32, y: u32, c: u32| (x * 7 + y * 13 + c * 29 + seed * 31).wrapping_mul(2_654_435_761).to_be_bytes()[1];
    RgbImage::from_fn(64, 64, |x, y| Rgb([noise(x, y, 0), noise(x, y, 1), noise(x, y, 2)]))
}

/// The report of a run of 50 steps; `hostile` is put wherever text goes.
pub fn report(hostile: &str) -> Report {
    let answer = |seed: usize, right: bool| Answer {
        reasoning: format!("<ada> wears a red hat at the beach {hostile}"),
        image: Some(image(seed as u32)),
        verdicts: vec![Verdict::new("accessory", right), Verdict::new(format!("colour{hostile}"), !right)],
    };
    let cell = |i: usize| Cell {
        prompt: format!("Draw <ada> as she looks in photo {i}. {hostile}"),
        truth: Some(format!("a red hat {hostile}")),
        answers: [("before", answer(2 * i, false)), ("after", answer(2 * i + 1, true))]
            .map(|(when, answer)| (when.to_owned(), answer))
            .into(),
    };
    let cells = (0..CELLS).map(cell).collect();
    let columns = ["split", "reasoning", "concept", "place", "accessory", "colour", "image", "joint"];
    let mut table = Table::new(format!("Held-out half {hostile}"), columns).note(hostile);
    for split in ["both", "textual", "visual"] {
        let row = (0..7).map(|i| format!("{} → {} %", 18 + i, 34 + i));
        table = table.row(std::iter::once(format!("held-out, {split} {hostile}")).chain(row));
    }
    let long = "a".repeat(300);
    Report::new(format!("sync_r1 {hostile}"))
        .history(&history(50))
        .check(Check::new("gate", true, format!("the largest difference was 3e-6 {hostile}")))
        .gallery(Gallery { title: format!("Held-out {hostile}"), note: hostile.to_owned(), cells })
        .table(table)
        .config(format!("[run]\nname = \"{hostile}\"\nlong = \"{long}\"\n"))
        .facts(machine())
        .facts([("burn", "0.22.1"), ("device", hostile)])
}
