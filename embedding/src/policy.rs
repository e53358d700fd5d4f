//! The model and the policy around it.

use counterpoint::burn::module::{Module, Param};
use counterpoint::burn::tensor::activation::log_softmax;
use counterpoint::burn::tensor::{Device, Int, Tensor, TensorData};
use counterpoint::{
    Error, Key, Learner, LogProbs, ModuleLearner, Parameters, Policy, Replay, Result, SegmentKind, Streams, burn,
};

/// Notes of the scale, two octaves of it.
pub const NOTES: usize = 15;
/// Notes that are composed after the opening one.
pub const LENGTH: usize = 6;
const WIDTH: usize = 8;

/// The model: which note follows which.
#[derive(Module, Debug)]
pub struct MelodyModel {
    heard: Param<Tensor<2>>,
    played: Param<Tensor<2>>,
}

impl MelodyModel {
    /// A model with random weights. They come from a stream of their own, not from the device's global generator, which
    /// two runs in one process would share.
    pub fn new(device: &Device) -> Self {
        let mut stream = Streams::new(1).stream(Key::task(0, 0), "melody.weights", 0);
        let mut weights = |rows: usize, columns: usize| {
            let values: Vec<f32> = stream.uniforms(rows * columns).iter().map(|u| u - 0.5).collect();
            Param::from_data(TensorData::new(values, [rows, columns]), device)
        };
        Self { heard: weights(NOTES, WIDTH), played: weights(WIDTH, NOTES) }
    }

    /// Log-probabilities of the note after each of `notes`, `[notes.len(), NOTES]`.
    pub fn after(&self, notes: &[u32]) -> Tensor<2> {
        let table = self.heard.val();
        let heard = Tensor::<1, Int>::from_data(TensorData::new(notes.to_vec(), [notes.len()]), &table.device());
        log_softmax(table.select(0, heard).tanh().matmul(self.played.val()), 1)
    }
}

/// The policy: a [`MelodyModel`] under training and a frozen copy of it.
pub struct Composer {
    learner: ModuleLearner<MelodyModel>,
    reference: MelodyModel,
}

impl Composer {
    /// The kind that its checkpoints carry.
    pub const KIND: &'static str = "melody";

    /// A composer that has learned nothing, on `device` (without autodiff, which is added to what is trained).
    pub fn new(device: &Device) -> Self {
        Self {
            learner: ModuleLearner::new(MelodyModel::new(&device.clone().autodiff())),
            reference: MelodyModel::new(device).no_grad(),
        }
    }

    /// The model as it is now, without gradients.
    pub fn model(&self) -> MelodyModel {
        self.learner.module().valid()
    }

    /// Every parameter, bit for bit.
    ///
    /// # Errors
    /// [`Contract`](counterpoint::ErrorKind::Contract) when the device does not give them out.
    pub fn bits(&self) -> Result<Vec<u32>> {
        let MelodyModel { heard, played } = self.model();
        let read = |t: Tensor<2>| t.try_into_vec_as::<f32>();
        let unreadable = |e| Error::contract("cannot read the parameters from the device").with_source(e);
        let (heard, played) = (read(heard.val()).map_err(unreadable)?, read(played.val()).map_err(unreadable)?);
        Ok(heard.into_iter().chain(played).map(f32::to_bits).collect())
    }
}

impl Policy for Composer {
    fn log_probs(&self, chunk: &[Replay<'_>], parameters: Parameters) -> Result<LogProbs> {
        let model = match parameters {
            Parameters::Current => self.learner.module().clone(),
            Parameters::Detached => self.learner.module().valid(),
            Parameters::Reference => self.reference.clone(),
        };
        let (mut before, mut chosen) = (Vec::<u32>::new(), Vec::<u32>::new());
        for replay in chunk {
            let segment = replay.segment();
            if segment.kind != SegmentKind::Understanding || replay.decisions() != (0..LENGTH) {
                return Err(Error::contract(format!(
                    "expected a melody of {LENGTH} notes, got decisions {:?} of a {:?} segment",
                    replay.decisions(),
                    segment.kind
                )));
            }
            before.extend(segment.context.iter().chain(&segment.chosen[..LENGTH - 1]));
            chosen.extend(&segment.chosen);
        }
        let all = model.after(&before);
        let entropy = (all.clone().exp() * all.clone()).sum_dim(1).neg();
        let chosen = Tensor::<2, Int>::from_data(TensorData::new(chosen, [before.len(), 1]), &all.device());
        let shape = [chunk.len(), LENGTH];
        Ok(LogProbs::new(all.gather(1, chosen).reshape(shape)).with_entropy(entropy.reshape(shape)))
    }

    fn kind(&self) -> &str {
        Self::KIND
    }

    fn learner(&mut self) -> &mut dyn Learner {
        &mut self.learner
    }
}
