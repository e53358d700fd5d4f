// What the examples in the documentation share: a policy that pulls one of three arms, four times, and its sampler.
// A documentation test includes this file where its subject is something else.

mod bandit {
    use std::any::Any;

    use burn::module::{Module, Param};
    use burn::tensor::activation::log_softmax;
    use burn::tensor::{Device, Int, Tensor, TensorData};
    use counterpoint::{
        Candidate, Draft, Error, Learner, LogProbs, ModuleLearner, Policy, Replay, Result, Rollout, Sample, Sampler,
        Segment, Task, Trajectory, Weights, burn,
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
        fn log_probs(&self, chunk: &[Replay<'_>], weights: Weights) -> Result<LogProbs> {
            let all = match weights {
                Weights::Current => self.learner.module().log_probs(),
                Weights::Detached => self.learner.module().valid().log_probs(),
                Weights::Reference => self.reference.log_probs(),
            };
            let chosen: Vec<u32> = chunk.iter().flat_map(|r| r.segment().chosen[r.decisions()].to_vec()).collect();
            let shape = [chunk.len(), chosen.len() / chunk.len()];
            let chosen = Tensor::<1, Int>::from_data(TensorData::new(chosen, [shape[0] * shape[1]]), &all.device());
            Ok(LogProbs { log_probs: all.select(0, chosen).reshape(shape), entropy: None })
        }

        fn learner(&mut self) -> &mut dyn Learner {
            &mut self.learner
        }
    }

    pub struct Pulls;

    impl Sampler for Pulls {
        fn draft(&mut self, policy: &dyn Policy, task: &Task, all: &[Candidate], _: bool) -> Result<Vec<Draft>> {
            let bandit = (policy as &dyn Any).downcast_ref::<Bandit>();
            let arms = bandit.ok_or_else(|| Error::contract("expected a Bandit"))?.log_probs_now()?;
            let draft = |&candidate: &Candidate| {
                let number = candidate.key.candidate;
                let chosen: Vec<u32> =
                    candidate.stream("pull", 0).uniforms(PULLS).into_iter().map(|u| draw(&arms, u)).collect();
                let log_probs = chosen.iter().map(|&arm| arms[arm as usize]).collect();
                let text = chosen.iter().map(u32::to_string).collect();
                let trajectory =
                    Trajectory { candidate: number, segments: vec![Segment::text(Vec::new(), chosen, log_probs)] };
                let sample = Sample::new(task, number, String::new(), text, None);
                let state = Box::new(Rollout { trajectory, sample });
                Draft { candidate, preview: None, steps_spent: 1, steps_left: 0, state }
            };
            Ok(all.iter().map(draft).collect())
        }

        fn finish(&mut self, _: &dyn Policy, _: &Task, drafts: Vec<Draft>) -> Result<Vec<Rollout>> {
            let foreign = |_| Error::contract("expected a draft of this sampler");
            drafts.into_iter().map(|d| Ok(*d.state.downcast::<Rollout>().map_err(foreign)?)).collect()
        }
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
