//! A device whose default type is half precision: scores are f32 all the same, and so is what is computed with them. A
//! program of its own, for the setting is the process's.
#![allow(clippy::unwrap_used)]

use burn::module::{Module, Param};
use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Device, FloatDType, Int, IntDType, Tensor, TensorData};
use counterpoint::config::TrainerConfig;
use counterpoint::{
    Candidate, Learner, LogProbs, ModuleLearner, Parameters, Parts, Policy, Replay, Result, Reward, RewardEnsemble,
    Rollout, Sample, Score, Segment, Streams, Task, Trainer, Trajectory, one_shot,
};

#[derive(Module, Debug)]
struct Arms {
    logits: Param<Tensor<1>>,
}

impl Arms {
    fn new(device: &Device) -> Self {
        Self { logits: Param::from_tensor(Tensor::from_data([0.0_f32, 0.5, -0.5], (device, DType::F32))) }
    }
}

struct Bandit {
    learner: ModuleLearner<Arms>,
    reference: Arms,
}

impl Policy for Bandit {
    fn log_probs(&self, chunk: &[Replay<'_>], parameters: Parameters) -> Result<LogProbs> {
        let arms = match parameters {
            Parameters::Current => self.learner.module().clone(),
            Parameters::Detached => self.learner.module().valid(),
            Parameters::Reference => self.reference.clone(),
        };
        let chosen: Vec<i32> = chunk.iter().map(|r| r.segment().chosen[0] as i32).collect();
        let all = log_softmax(arms.logits.val(), 0);
        let chosen = Tensor::<1, Int>::from_data(TensorData::new(chosen, [chunk.len()]), &all.device());
        let scores = all.clone().select(0, chosen).reshape([chunk.len(), 1]);
        let entropy = (all.clone().exp() * all).sum().neg().reshape([1, 1]).expand([chunk.len(), 1]);
        Ok(LogProbs::new(scores).with_entropy(entropy))
    }

    fn learner(&mut self) -> &mut dyn Learner {
        &mut self.learner
    }
}

struct Second;

impl Reward for Second {
    fn name(&self) -> &str {
        "second"
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        Ok(samples.iter().map(|s| Score::Value(f64::from(u8::from(s.response == "2")))).collect())
    }
}

#[test]
fn a_default_type_of_bf16_changes_nothing() {
    let mut device = Device::flex();
    device.configure((FloatDType::BF16, IntDType::I32)).unwrap();
    assert_eq!(Tensor::<1>::zeros([1], &device).dtype(), DType::BF16);
    let sampler = one_shot(|bandit: &Bandit, task: &Task, candidates: &[Candidate]| {
        let scores = log_softmax(bandit.learner.module().valid().logits.val(), 0).try_into_vec_as::<f32>().unwrap();
        let rollout = |candidate: &Candidate| {
            let (number, arm) = (candidate.key.candidate, candidate.stream("pull", 0).below(3));
            let segments = vec![Segment::text(Vec::new(), vec![arm as u32], vec![scores[arm]])];
            let sample = Sample::new(task, number, String::new(), arm.to_string(), None);
            Rollout::new(Trajectory::new(number, segments), sample)
        };
        Ok(candidates.iter().map(rollout).collect())
    });
    let policy =
        Bandit { learner: ModuleLearner::new(Arms::new(&device.clone().autodiff())), reference: Arms::new(&device) };
    let tasks = |_: u64, cursor: u64, _: &Streams| Ok(Task::new(cursor, "Pull."));
    let parts = Parts::new(Box::new(policy), sampler, RewardEnsemble::single(Second), Box::new(tasks)).unwrap();
    let config = TrainerConfig {
        group_size: 8,
        learning_rate: 0.1,
        updates_per_batch: 2,
        warmup_steps: 0,
        max_attempts: 20,
        ..TrainerConfig::default()
    };
    let mut trainer = Trainer::new(parts, config, 3).unwrap();
    let updated = (0..10).filter(|_| trainer.step().unwrap().updated).count();
    assert!(updated > 5, "{updated} of 10");
    let policy: Box<dyn std::any::Any> = trainer.into_parts().policy;
    let logits = policy.downcast::<Bandit>().unwrap().learner.module().logits.val();
    assert_eq!(logits.dtype(), DType::F32);
    let logits = logits.into_data().try_into_vec::<f32>().unwrap();
    assert!(logits[2] > logits[0] && logits[2] > -0.5, "it learned: {logits:?}");
}
