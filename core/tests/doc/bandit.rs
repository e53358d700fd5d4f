// What the examples in the documentation share: a policy that pulls one of three arms, four times, and its sampler.
// A documentation test includes this file where its subject is something else.

mod bandit {
    use burn::module::{Module, Param};
    use burn::tensor::activation::log_softmax;
    use burn::tensor::{Device, Int, Tensor, TensorData};
    use counterpoint::{
        Candidate, Error, Learner, LogProbs, ModuleLearner, Policy, Replay, Result, Rollout, Sample, Sampler, Segment, Task,
        Trajectory, Parameters, burn, one_shot,
    };

    pub const ARMS: usize = 3;
    pub const PULLS: usize = 4;

    #[derive(Module, Debug)]
    pub struct Arms {
        logits: Param<Tensor<1>>,
    }

    impl Arms {
        pub fn new(device: &Device) -> Self {
            Self { logits: Param::from_data(TensorData::from([0.0_f32; ARMS]), device) }
        }

        pub fn log_probs(&self) -> Tensor<1> {
            log_softmax(self.logits.val(), 0)
        }
    }

    pub struct Bandit {
        learner: ModuleLearner<Arms>,
        reference: Arms,
    }

    impl Bandit {
        pub fn new() -> Self {
            let learner = ModuleLearner::new(Arms::new(&Device::flex().autodiff()));
            Self { learner, reference: Arms::new(&Device::flex()).no_grad() }
        }

        pub fn log_probs_now(&self) -> Result<Vec<f32>> {
            let read = self.learner.module().valid().log_probs().try_into_vec_as::<f32>();
            read.map_err(|e| Error::contract("cannot read the log-probabilities").with_source(e))
        }
    }

    impl Policy for Bandit {
        fn log_probs(&self, chunk: &[Replay<'_>], parameters: Parameters) -> Result<LogProbs> {
            let all = match parameters {
                Parameters::Current => self.learner.module().log_probs(),
                Parameters::Detached => self.learner.module().valid().log_probs(),
                Parameters::Reference => self.reference.log_probs(),
            };
            let chosen: Vec<u32> = chunk.iter().flat_map(|r| r.segment().chosen[r.decisions()].to_vec()).collect();
            let shape = [chunk.len(), chosen.len() / chunk.len()];
            let chosen = Tensor::<1, Int>::from_data(TensorData::new(chosen, [shape[0] * shape[1]]), &all.device());
            Ok(LogProbs::new(all.select(0, chosen).reshape(shape)))
        }

        fn learner(&mut self) -> &mut dyn Learner {
            &mut self.learner
        }
    }

    /// Four pulls, all at once.
    pub fn pulls() -> Box<dyn Sampler> {
        one_shot(|bandit: &Bandit, task: &Task, candidates: &[Candidate]| {
            let arms = bandit.log_probs_now()?;
            let rollout = |candidate: &Candidate| {
                let number = candidate.key.candidate;
                let chosen: Vec<u32> =
                    candidate.stream("pull", 0).uniforms(PULLS).into_iter().map(|u| draw(&arms, u)).collect();
                let log_probs = chosen.iter().map(|&arm| arms[arm as usize]).collect();
                let text = chosen.iter().map(u32::to_string).collect();
                let trajectory = Trajectory::new(number, vec![Segment::text(Vec::new(), chosen, log_probs)]);
                Rollout::new(trajectory, Sample::new(task, number, String::new(), text, None))
            };
            Ok(candidates.iter().map(rollout).collect())
        })
    }

    fn draw(log_probs: &[f32], uniform: f32) -> u32 {
        let mut cumulative = 0.0;
        let below = log_probs.iter().take_while(|l| {
            cumulative += l.exp();
            cumulative < uniform
        });
        below.count().min(log_probs.len() - 1) as u32
    }
}
