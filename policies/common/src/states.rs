//! Hidden states of what was read, for rewards.

use std::ops::Range;

use burn::tensor::{DType, Tensor};
use counterpoint::{Error, Result, TokenStates};

/// Most sequences of one pass.
const ROWS: usize = 16;

/// The states of `rows` token sequences, each with an image at `image(row)` and a text at `text(row)`. Sequences of one length are read
/// together, so that there is no padding; `read` gives the states `[n, L, H]` of those of these numbers.
///
/// # Errors
/// What `read` returns.
pub fn states(
    rows: &[Vec<u32>],
    image: impl Fn(&[u32]) -> Range<usize>,
    text: impl Fn(&[u32]) -> Range<usize>,
    read: impl Fn(&[usize]) -> Result<Tensor<3>>,
) -> Result<Vec<TokenStates>> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&i| rows[i].len());
    let mut found = Vec::with_capacity(rows.len());
    for same in order.chunk_by(|&a, &b| rows[a].len() == rows[b].len()) {
        for numbers in same.chunks(ROWS) {
            let hidden = read(numbers)?.cast(DType::F32);
            let [_, length, width] = hidden.dims();
            let values = hidden
                .into_data()
                .try_into_vec::<f32>()
                .map_err(|e| Error::contract("cannot read hidden states").with_source(format!("{e:?}")))?;
            for (&number, row) in numbers.iter().zip(values.chunks(length * width)) {
                let of = |range: Range<usize>| row[range.start * width..range.end * width].to_vec();
                let ids = &rows[number];
                found.push((number, TokenStates { width, image: of(image(ids)), text: of(text(ids)) }));
            }
        }
    }
    found.sort_by_key(|(number, _)| *number);
    Ok(found.into_iter().map(|(_, states)| states).collect())
}
