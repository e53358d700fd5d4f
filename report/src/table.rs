//! A table of text.

use maud::{Markup, html};

/// A table of text: the first column names the rows, the others are read as numbers and set to the right.
#[derive(Debug, Clone, Default)]
pub struct Table {
    title: String,
    note: String,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column heads and no rows yet.
    pub fn new<H: Into<String>>(title: impl Into<String>, header: impl IntoIterator<Item = H>) -> Self {
        let header = header.into_iter().map(Into::into).collect();
        Self { title: title.into(), header, ..Self::default() }
    }

    /// The same with a sentence under it.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// The same with one more row.
    pub fn row<C: Into<String>>(mut self, cells: impl IntoIterator<Item = C>) -> Self {
        self.rows.push(cells.into_iter().map(Into::into).collect());
        self
    }

    pub(crate) fn html(&self) -> Markup {
        html! {
            div.scroll tabindex="0" {
                table {
                    caption { (self.title) }
                    thead { tr { @for head in &self.header { th scope="col" { (head) } } } }
                    tbody {
                        @for row in &self.rows {
                            tr {
                                @for (i, cell) in row.iter().enumerate() {
                                    @if i == 0 { th scope="row" { (cell) } } @else { td { (cell) } }
                                }
                            }
                        }
                    }
                }
            }
            @if !self.note.is_empty() { p.note { (self.note) } }
        }
    }
}
