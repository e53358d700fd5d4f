//! A policy whose parameters are its log-probabilities, so that its gradient is that of the objective itself.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use counterpoint::{Learner, LogProbs, ModuleLearner, Parameters, Policy, Replay, Result, Segment, Trajectory};

#[derive(Module, Debug)]
struct Table {
    log_probs: Param<Tensor<1>>,
}

/// Holds a log-probability for every decision of candidates `0, 1, ..`, in order: text first, then image.
pub struct TablePolicy {
    learner: ModuleLearner<Table>,
    reference: Tensor<1>,
    /// Where each candidate's text and image begin.
    starts: Vec<[usize; 2]>,
}

impl TablePolicy {
    /// `current[i]` and `reference[i]` are those of candidate `i`'s text and image.
    pub fn new(current: &[[Vec<f64>; 2]], reference: &[[Vec<f64>; 2]]) -> Self {
        let flat = |rows: &[[Vec<f64>; 2]], device: &Device| {
            let values: Vec<f32> = rows.iter().flatten().flatten().map(|&v| v as f32).collect();
            let count = values.len();
            Tensor::<1>::from_data(TensorData::new(values, [count]), device)
        };
        let mut next = 0;
        let mut take = |row: &Vec<f64>| {
            next += row.len();
            next - row.len()
        };
        let starts = current.iter().map(|[text, image]| [take(text), take(image)]).collect();
        let table = Table { log_probs: Param::from_tensor(flat(current, &Device::flex().autodiff())) };
        Self { learner: ModuleLearner::new(table), reference: flat(reference, &Device::flex()), starts }
    }

    /// The accumulated gradient, in the order of the table; it is kept. Zeros where nothing was accumulated.
    pub fn gradient(&mut self) -> Vec<f64> {
        let gradient = self.learner.gradient("log_probs").unwrap_or_else(|| self.reference.zeros_like());
        gradient.try_into_vec_as::<f32>().unwrap().into_iter().map(f64::from).collect()
    }
}

impl Policy for TablePolicy {
    fn log_probs(&self, chunk: &[Replay<'_>], parameters: Parameters) -> Result<LogProbs> {
        let table = match parameters {
            Parameters::Current => self.learner.module().log_probs.val(),
            Parameters::Detached => self.learner.module().log_probs.val().inner(),
            Parameters::Reference => self.reference.clone(),
        };
        let longest = chunk.iter().map(|r| r.decisions().len()).max().unwrap();
        let places: Vec<i32> = chunk
            .iter()
            .flat_map(|r| {
                let range = r.decisions();
                let start = self.starts[r.trajectory.candidate as usize][r.segment];
                // Padding repeats the last decision: finite, and to be ignored.
                (0..longest).map(move |j| (start + (range.start + j).min(range.end - 1)) as i32)
            })
            .collect();
        let count = places.len();
        let places = Tensor::<1, Int>::from_data(TensorData::new(places, [count]), &table.device());
        Ok(LogProbs::new(table.select(0, places).reshape([chunk.len(), longest])))
    }

    fn learner(&mut self) -> &mut dyn Learner {
        &mut self.learner
    }
}

/// Candidate `candidate` with these log-probabilities at sampling time and `per_step` image positions.
pub fn trajectory(candidate: u64, old: &[Vec<f64>; 2], undecided: Vec<bool>, per_step: usize) -> Trajectory {
    let floats = |values: &[f64]| values.iter().map(|&v| v as f32).collect();
    let [text, image] = old;
    let text = Segment::text(Vec::new(), vec![0; text.len()], floats(text));
    let image = Segment::masked(Vec::new(), per_step, vec![0; image.len()], floats(image), undecided);
    Trajectory::new(candidate, vec![text, image])
}
