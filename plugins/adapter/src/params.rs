//! A task's parameters as JSON text, written once for the candidates of a group.

use std::sync::Arc;

use counterpoint::Sample;

/// The texts of some samples.
pub(crate) struct Params {
    texts: Vec<String>,
    /// Which of the texts a sample has.
    of: Vec<usize>,
}

impl Params {
    pub(crate) fn of(samples: &[&Sample]) -> Self {
        let (mut texts, mut of): (Vec<String>, Vec<usize>) = (Vec::new(), Vec::with_capacity(samples.len()));
        let mut last = None;
        for sample in samples {
            // Samples come group by group, and a group has one task.
            if !last.is_some_and(|last| Arc::ptr_eq(last, &sample.params)) {
                texts.push(if sample.params.is_null() { String::new() } else { sample.params.to_string() });
                last = Some(&sample.params);
            }
            of.push(texts.len() - 1);
        }
        Self { texts, of }
    }

    /// The text of sample number `i`; empty when it has no parameters.
    pub(crate) fn text(&self, i: usize) -> &str {
        &self.texts[self.of[i]]
    }
}
