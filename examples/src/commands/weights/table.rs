//! A table for the console.

use console::{Alignment, measure_text_width, pad_str};

/// The lines of a table with a header. The first column is aligned to the left, the others to the right.
pub fn lines<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> Vec<String> {
    let header = header.map(str::to_owned);
    let all = || std::iter::once(&header).chain(rows);
    let widths: [usize; N] =
        std::array::from_fn(|at| all().map(|row| measure_text_width(&row[at])).max().unwrap_or_default());
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).enumerate().map(|(at, (cell, width))| {
            let side = if at == 0 { Alignment::Left } else { Alignment::Right };
            pad_str(cell, width, side, None).into_owned()
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all().map(line).collect()
}

/// A number in few characters.
pub fn short(number: f64) -> String {
    match number.abs() {
        0.0 => "0".into(),
        size if (1e-3..1e5).contains(&size) => format!("{number:.5}"),
        _ => format!("{number:.3e}"),
    }
}

/// `[2, 3]`.
pub fn shape(shape: &[usize]) -> String {
    format!("{shape:?}")
}
