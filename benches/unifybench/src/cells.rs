//! Tables as text.

use std::fmt;

/// A table's texts: the first column names the rows. Prints as Markdown.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Cells {
    /// The column heads.
    pub header: Vec<String>,
    /// The rows, each as long as the header.
    pub rows: Vec<Vec<String>>,
}

impl Cells {
    pub(crate) fn new<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> Self {
        let header = header.map(str::to_owned).to_vec();
        Self { header, rows: rows.into_iter().map(Vec::from).collect() }
    }
}

impl fmt::Display for Cells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {} |", self.header.join(" | "))?;
        writeln!(f, "|{}", "---|".repeat(self.header.len()))?;
        self.rows.iter().try_for_each(|row| writeln!(f, "| {} |", row.join(" | ")))
    }
}

/// `share` in per cent.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}

/// A number that is no share.
pub(crate) fn number(value: f64) -> String {
    format!("{value:.3}")
}

/// `share` in per cent with its sign.
pub(crate) fn signed(share: f64) -> String {
    format!("{:+.1}", 100.0 * share)
}

/// A p-value; `-` where there is none.
pub(crate) fn p_value(p: Option<f64>) -> String {
    p.map_or("-".to_owned(), |p| if p < 0.001 { "< 0.001".to_owned() } else { format!("{p:.3}") })
}

/// Seconds, as they are shown; `-` for none.
pub(crate) fn seconds(seconds: f64) -> String {
    if seconds > 0.0 { format!("{seconds:.0}") } else { "-".to_owned() }
}
