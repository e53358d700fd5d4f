//! Numbers of a chunk as tensors: a row for each replay, filled up to the longest.

use burn::tensor::{DType, Tensor, TensorData};

use super::items::Item;
use crate::{Error, LogProbs, Replay, Result, device};

/// Shape and device of a chunk's tensors.
pub(super) struct Layout {
    width: usize,
    height: usize,
    device: burn::tensor::Device,
}

impl Layout {
    pub(super) fn of(scores: &LogProbs, replays: &[Replay<'_>]) -> Result<Self> {
        let [height, width] = scores.log_probs.dims();
        let longest = replays.iter().map(|r| r.decisions().len()).max().unwrap_or(0);
        if height != replays.len() || width < longest {
            return Err(Error::contract(format!(
                "the policy's log_probs returned shape [{height}, {width}], expected [{}, {longest}]",
                replays.len()
            )));
        }
        Ok(Self { width, height, device: scores.log_probs.device() })
    }

    /// `[n, d]` with `value(item, decision)`, the decision an index into the segment's flat vectors; 0 for padding.
    pub(super) fn fill(&self, chunk: &[&Item<'_>], value: impl Fn(&Item<'_>, usize) -> f64) -> Tensor<2> {
        let mut flat = vec![0.0_f32; self.height * self.width];
        for (item, row) in chunk.iter().zip(flat.chunks_mut(self.width)) {
            for (cell, decision) in row.iter_mut().zip(item.replay.decisions()) {
                *cell = value(item, decision) as f32;
            }
        }
        self.upload(flat, self.width)
    }

    /// `[n, 1]`.
    pub(super) fn column(&self, chunk: &[&Item<'_>], value: impl Fn(&Item<'_>) -> f64) -> Tensor<2> {
        let values: Vec<f32> = chunk.iter().map(|item| value(item) as f32).collect();
        self.upload(values, 1)
    }

    /// In f32, whatever the device's default is.
    fn upload(&self, values: Vec<f32>, width: usize) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values, [self.height, width]), (&self.device, DType::F32))
    }

    /// A constant of this layout, in the same autodiff context as the chunk's scores.
    pub(super) fn attach(&self, constant: Tensor<2>) -> Tensor<2> {
        device::constant(constant.inner(), &self.device)
    }
}

/// Scores fetched to the host, one row of decisions per replay.
pub(super) fn read(scores: &LogProbs, replays: &[Replay<'_>]) -> Result<Vec<Vec<f32>>> {
    let layout = Layout::of(scores, replays)?;
    let values = scores
        .log_probs
        .clone()
        .inner()
        .try_into_vec_as::<f32>()
        .map_err(|e| Error::device("cannot read log-probabilities from the device").with_source(e.to_string()))?;
    Ok(replays.iter().zip(values.chunks(layout.width)).map(|(r, row)| row[..r.decisions().len()].to_vec()).collect())
}
