//! Each half of the loop with an optimizer of its own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use common::{changed, config, parts, resumes_bit_for_bit, stateful, steps, trainer, weights};
use counterpoint::config::{GenerationRate, TrainerConfig};
use counterpoint::{ErrorKind, Learner, ModuleLearner, OptimizerConfig, Result, SegmentKind, SyncGrpoConfig, burn};

#[derive(Module, Debug)]
struct Point {
    at: Param<Tensor<1>>,
}

impl Point {
    fn learner(per_half: bool) -> ModuleLearner<Self> {
        let mut learner =
            ModuleLearner::new(Self { at: Param::from_data([3.0_f32, -4.0], &Device::flex().autodiff()) });
        let mut optimizer = OptimizerConfig::default();
        optimizer.per_half = per_half;
        learner.configure(&optimizer);
        learner
    }
}

/// A loss with this gradient, wherever the point is.
fn push(learner: &mut ModuleLearner<Point>, gradient: [f32; 2]) {
    let at = learner.module().at.val();
    let gradient = Tensor::<1>::from_data(gradient, &at.device());
    learner.accumulate((at * gradient).sum()).unwrap();
}

fn at(learner: &ModuleLearner<Point>) -> [f32; 2] {
    learner.module().at.val().try_into_vec_as::<f32>().unwrap().try_into().unwrap()
}

#[test]
fn each_half_steps_as_if_it_were_alone() {
    // Text's gradients are a hundredth of the images', as they well may be.
    let text = [[0.01, 0.0], [0.02, -0.01], [-0.01, -0.02]];
    let images = [[1.0, 2.0], [-3.0, 1.0], [2.0, -1.0]];
    let alone = |gradients: [[f32; 2]; 3], lr: f64| {
        let mut learner = Point::learner(false);
        for gradient in gradients {
            push(&mut learner, gradient);
            learner.apply(lr, 1.0).unwrap();
        }
        at(&learner)
    };
    let (text_alone, images_alone) = (alone(text, 0.1), alone(images, 0.05));
    let mut both = Point::learner(true);
    for (text, image) in text.into_iter().zip(images) {
        push(&mut both, text);
        both.apply_half(SegmentKind::Understanding, 0.1, 1.0).unwrap();
        push(&mut both, image);
        both.apply_half(SegmentKind::Generation, 0.05, 1.0).unwrap();
    }
    let start = [3.0, -4.0];
    for i in 0..2 {
        let expected = text_alone[i] + images_alone[i] - start[i];
        assert!((at(&both)[i] - expected).abs() < 1e-5, "{:?} {expected}", at(&both));
    }
}

#[test]
fn the_wrong_step_is_refused_and_says_which_is_right() {
    let mut one = Point::learner(false);
    push(&mut one, [1.0, 1.0]);
    let error = one.apply_half(SegmentKind::Generation, 0.1, 1.0).unwrap_err();
    assert!(error.kind() == ErrorKind::Contract && error.to_string().contains("expected `apply`"), "{error}");
    let mut own = Point::learner(true);
    push(&mut own, [1.0, 1.0]);
    let error = own.apply(0.1, 1.0).unwrap_err();
    assert!(error.kind() == ErrorKind::Contract && error.to_string().contains("expected `apply_half`"), "{error}");
}

#[test]
fn a_checkpoint_keeps_both_optimizers() {
    let push_both = |learner: &mut ModuleLearner<Point>, n: usize| {
        for _ in 0..n {
            push(learner, [0.3, -0.1]);
            learner.apply_half(SegmentKind::Understanding, 0.1, 1.0).unwrap();
            push(learner, [-5.0, 7.0]);
            learner.apply_half(SegmentKind::Generation, 0.1, 0.5).unwrap();
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let mut whole = Point::learner(true);
    push_both(&mut whole, 2);
    whole.save(folder.path()).unwrap();
    push_both(&mut whole, 2);
    let mut resumed = Point::learner(true);
    resumed.load(folder.path()).unwrap();
    push_both(&mut resumed, 2);
    assert_eq!(at(&resumed), at(&whole));

    // One that has a single optimizer finds none of its own there, and stays as it is.
    let mut other = Point::learner(false);
    let error = other.load(folder.path()).unwrap_err();
    assert!(error.kind() == ErrorKind::Checkpoint && error.to_string().contains("optimizer.bpk"), "{error}");
    assert_eq!(at(&other), [3.0, -4.0]);
}

fn own_rates(config: TrainerConfig) -> TrainerConfig {
    TrainerConfig { generation_learning_rate: GenerationRate::Own(config.learning_rate / 4.0), ..config }
}

#[test]
fn a_weight_changes_the_gradient_of_a_half_and_not_its_step() {
    // Adam's step does not know the size of its gradient; without a KL term nor does its direction.
    let run = |own: bool, a_gen: f64| {
        let objective = SyncGrpoConfig { a_gen, kl: counterpoint::objective::Kl::None, ..SyncGrpoConfig::default() };
        let parts = changed(parts(), |p| p.objective = Box::new(objective.init().unwrap()));
        let settings = TrainerConfig { max_grad_norm: 1e6, ..config(9) };
        let mut trainer = trainer(parts, if own { own_rates(settings) } else { settings });
        let metrics = steps(&mut trainer, 1).remove(0);
        (metrics, weights(&mut trainer).into_iter().map(f32::from_bits).collect::<Vec<_>>())
    };
    let furthest = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let ((small, one), (large, other)) = (run(true, 0.1), run(true, 1.0));
    assert!(furthest(&one, &other) < 1e-3, "{}", furthest(&one, &other));
    let ratio = |name: &str| large.get(name).unwrap() / small.get(name).unwrap();
    assert!((ratio("grad_norm/generation") - 10.0).abs() < 1e-3);
    assert!((ratio("grad_norm/understanding") - 1.0).abs() < 1e-6);
    let both = ["understanding", "generation"].map(|half| large.get(&format!("grad_norm/{half}")).unwrap());
    assert!((large.get("grad_norm").unwrap() - both[0].hypot(both[1])).abs() < 1e-9);
    assert_eq!(large.get("lr/generation").unwrap(), large.get("lr").unwrap() / 4.0);
    // In one optimizer the weight decides who is heard.
    assert!(furthest(&run(false, 0.1).1, &run(false, 1.0).1) > 3e-3);
}

#[test]
fn a_run_resumes_bit_for_bit_and_does_not_depend_on_the_chunks() {
    let settings = |chunk: usize| {
        let (parts, config) = stateful();
        (parts, own_rates(TrainerConfig { images_per_answer: 2, chunk: chunk.into(), ..config }))
    };
    resumes_bit_for_bit("an optimizer for each half", || settings(3));

    let make = |chunk| {
        let (parts, config) = settings(chunk);
        trainer(parts, config)
    };
    let mut whole = make(3);
    steps(&mut whole, 4);
    let mut other = make(100);
    steps(&mut other, 4);
    let pairs = weights(&mut other).into_iter().zip(weights(&mut whole));
    assert!(pairs.map(|(a, b)| (f32::from_bits(a) - f32::from_bits(b)).abs()).fold(0.0, f32::max) < 1e-3);
}

/// A learner of somebody else's, written before halves could have optimizers of their own.
struct Plain(ModuleLearner<Point>);

impl Learner for Plain {
    fn configure(&mut self, optimizer: &OptimizerConfig) {
        self.0.configure(optimizer);
    }
    fn accumulate(&mut self, loss: Tensor<1>) -> Result<()> {
        self.0.accumulate(loss)
    }
    fn gradient_norms(&mut self) -> Result<Vec<(String, f64)>> {
        self.0.gradient_norms()
    }
    fn apply(&mut self, lr: f64, scale: f64) -> Result<()> {
        self.0.apply(lr, scale)
    }
    fn discard(&mut self) {
        self.0.discard();
    }
    fn snapshot(&self) -> Box<dyn std::any::Any + Send> {
        self.0.snapshot()
    }
    fn restore(&mut self, snapshot: Box<dyn std::any::Any + Send>) -> Result<()> {
        self.0.restore(snapshot)
    }
    fn save(&self, dir: &std::path::Path) -> Result<()> {
        self.0.save(dir)
    }
    fn load(&mut self, dir: &std::path::Path) -> Result<()> {
        self.0.load(dir)
    }
}

#[test]
fn a_learner_without_them_says_what_to_do() {
    let error = Plain(Point::learner(false)).apply_half(SegmentKind::Generation, 0.1, 1.0).unwrap_err();
    assert!(error.to_string().contains("trainer.generation_learning_rate"), "{error}");
}
