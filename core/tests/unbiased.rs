//! Credit by halves and several images per answer leave the expected gradient what it is: against the exact gradient of a
//! policy that is small enough to go through everything it can do. The order in which it paints is random, so that what a
//! step reveals is scored exactly.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use burn::module::{Module, Param};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use common::each;
use counterpoint::config::TrainerConfig;
use counterpoint::objective::{Advantage, Kl};
use counterpoint::updater::accumulate;
use counterpoint::{
    Candidate, Credit, Group, ImagePositions, Judges, Learner, LogProbs, ModuleLearner, Parameters, Policy, Replay,
    Result, Reward, RewardEnsemble, Rollout, Rollouts, Sample, Score, Segment, SegmentKind, Streams, SyncGrpoConfig,
    Task, Trajectory, one_shot,
};

const WORDS: usize = 2;
const CODES: usize = 2;
/// Positions, and steps, each of which reveals one of them.
const POSITIONS: usize = 2;
/// States of an image in the making: each position is a code or masked.
const STATES: usize = (CODES + 1) * (CODES + 1);
const GROUP: usize = 8;
const DRAWS: u64 = 4000;

#[derive(Module, Debug)]
struct Tables {
    words: Param<Tensor<2>>,
    /// A row for each word, state and position.
    codes: Param<Tensor<2>>,
}

/// Says one word, then paints two codes.
struct Small(ModuleLearner<Tables>);

impl Small {
    fn new() -> Self {
        let device = Device::flex().autodiff();
        let mut stream = Streams::new(2).stream(counterpoint::Key::task(0, 0), "small", 0);
        let mut table = |rows: usize, columns: usize| {
            let values: Vec<f32> = stream.uniforms(rows * columns).iter().map(|u| 2.0 * u - 1.0).collect();
            Param::from_data(TensorData::new(values, [rows, columns]), &device)
        };
        Self(ModuleLearner::new(Tables { words: table(1, WORDS), codes: table(WORDS * STATES * POSITIONS, CODES) }))
    }

    /// Log-probabilities of every word, and of every code in every row.
    fn tables(&self) -> [Tensor<2>; 2] {
        let Tables { words, codes } = self.0.module();
        [log_softmax(words.val(), 1), log_softmax(codes.val(), 1)]
    }

    fn now(&self) -> [Vec<f32>; 2] {
        self.tables().map(|table| table.inner().into_data().try_into_vec::<f32>().unwrap())
    }

    /// All gradients, words first.
    fn gradient(&mut self) -> Vec<f64> {
        let mut all = Vec::new();
        for (path, size) in [("words", WORDS), ("codes", WORDS * STATES * POSITIONS * CODES)] {
            let gradient = self.0.gradient(path).map(|g| g.into_data().try_into_vec::<f32>().unwrap());
            all.extend(gradient.unwrap_or_else(|| vec![0.0; size]).into_iter().map(f64::from));
        }
        self.0.discard();
        all
    }
}

/// Place of `code` at `position` in the flat table of codes.
fn place(word: u32, state: [u32; POSITIONS], position: usize, code: u32) -> usize {
    let state = state[0] as usize * (CODES + 1) + state[1] as usize;
    ((word as usize * STATES + state) * POSITIONS + position) * CODES + code as usize
}

impl Policy for Small {
    fn log_probs(&self, chunk: &[Replay<'_>], _: Parameters) -> Result<LogProbs> {
        let [words, codes] = self.tables();
        let mut places = Vec::new();
        for replay in chunk {
            let segment = replay.segment();
            let decisions = replay.decisions();
            if segment.kind == SegmentKind::Understanding {
                places.extend(segment.chosen[decisions].iter().map(|&word| word as i32));
                continue;
            }
            let state: Vec<u32> = decisions
                .clone()
                .map(|i| if segment.undecided[i] { CODES as u32 } else { segment.chosen[i] })
                .collect();
            let at = |(position, i): (usize, usize)| {
                place(segment.context[0], [state[0], state[1]], position, segment.chosen[i]) as i32
            };
            places.extend(decisions.enumerate().map(at));
        }
        let table = if chunk[0].segment().kind == SegmentKind::Understanding { words } else { codes };
        let width = places.len() / chunk.len();
        let count = places.len();
        let places = Tensor::<1, Int>::from_data(TensorData::new(places, [count]), &table.device());
        Ok(LogProbs::new(table.reshape([-1]).select(0, places).reshape([chunk.len(), width])))
    }

    fn learner(&mut self) -> &mut dyn Learner {
        &mut self.0
    }
}

fn draw(log_probs: &[f32], uniform: f32) -> u32 {
    u32::from(uniform > log_probs[0].exp())
}

fn paint(small: &Small, task: &Task, candidates: &[Candidate]) -> Result<Vec<Rollout>> {
    let [words, codes] = small.now();
    let one = |candidate: &Candidate| {
        let word = draw(&words, candidate.answering().stream("word", 0).uniform());
        let first = candidate.stream("order", 0).below(POSITIONS);
        let mut state = [CODES as u32; POSITIONS];
        let (mut chosen, mut log_probs, mut undecided) = (Vec::new(), Vec::new(), Vec::new());
        for (step, revealed) in [first, 1 - first].into_iter().enumerate() {
            let before = state;
            for position in 0..POSITIONS {
                let row = |code| codes[place(word, before, position, code)];
                let open = before[position] == CODES as u32;
                let uniform = candidate.stream("code", (step * POSITIONS + position) as u64).uniform();
                let code = if open { draw(&[row(0)], uniform) } else { before[position] };
                chosen.push(code);
                log_probs.push(row(code));
                undecided.push(open);
                if position == revealed {
                    state[position] = code;
                }
            }
        }
        let segments = vec![
            Segment::text(Vec::new(), vec![word], vec![words[word as usize]]),
            Segment::masked(vec![word], POSITIONS, chosen, log_probs, undecided),
        ];
        let number = candidate.key.candidate;
        let sample = Sample::new(task, number, String::new(), format!("{word} {} {}", state[0], state[1]), None);
        Rollout::new(Trajectory::new(number, segments), sample)
    };
    Ok(candidates.iter().map(one).collect())
}

/// What the two rewards say of a word and an image.
fn of_word(word: u32) -> f64 {
    3.0 * f64::from(word)
}

fn of_both(word: u32, image: [u32; POSITIONS]) -> f64 {
    let same = f64::from(u32::from(image[0] == word)) + 0.5 * f64::from(u32::from(image[1] != image[0]));
    same + 0.25 * f64::from(word)
}

/// `inner`, which says that it judges the answer alone.
struct OfAnswer(Box<dyn Reward>);

impl Reward for OfAnswer {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        self.0.score(samples)
    }

    fn judges(&self) -> Judges {
        Judges::Understanding
    }
}

fn rewards() -> RewardEnsemble {
    let read = |sample: &Sample| -> Vec<u32> { sample.response.split(' ').map(|n| n.parse().unwrap()).collect() };
    let word = each("word", move |sample| Score::Value(of_word(read(sample)[0])));
    let both = each("both", move |sample| {
        let [word, a, b] = read(sample)[..] else { panic!("three numbers") };
        Score::Value(of_both(word, [a, b]))
    });
    let weights = [("word".to_owned(), 1.0), ("both".to_owned(), 1.0)].into();
    RewardEnsemble::new(vec![Box::new(OfAnswer(word)), both], [("default".to_owned(), weights)].into()).unwrap()
}

/// The gradient of the expected reward, by going through every word, order and code.
fn exact(small: &mut Small) -> Vec<f64> {
    let [words, codes] = small.tables();
    let (words, codes) = (words.reshape([-1]), codes.reshape([-1]));
    let mut expected = Tensor::<1>::zeros([1], &words.device());
    for word in 0..WORDS as u32 {
        for first in 0..POSITIONS {
            for image in [[0, 0], [0, 1], [1, 0], [1, 1]] {
                let open = [CODES as u32; POSITIONS];
                let mut half = open;
                half[first] = image[first];
                let second = 1 - first;
                let log_prob = words.clone().narrow(0, word as usize, 1)
                    + codes.clone().narrow(0, place(word, open, first, image[first]), 1)
                    + codes.clone().narrow(0, place(word, half, second, image[second]), 1);
                expected = expected + log_prob.exp() * (0.5 * (of_word(word) + of_both(word, image)));
            }
        }
    }
    small.0.accumulate(expected).unwrap();
    small.gradient()
}

/// Mean and standard error of the engine's gradient over many groups, and its variance in words and in codes.
struct Average {
    mean: Vec<f64>,
    error: Vec<f64>,
    variance: [f64; 2],
}

fn average(small: &mut Small, config: SyncGrpoConfig, images_per_answer: usize) -> Average {
    let objective = config.init().unwrap();
    let trainer = TrainerConfig { group_size: GROUP, images_per_answer, ..TrainerConfig::default() };
    let tasks = Box::new(|_: u64, cursor: u64, _: &Streams| Ok(Task::new(cursor, "")));
    let mut rollouts = Rollouts::new(one_shot(paint), rewards(), tasks, &trainer, Streams::new(9)).unwrap();
    let (mut sums, mut squares) = (Vec::new(), Vec::new());
    for draw in 0..DRAWS {
        let drawn = rollouts.draw(small, 0, draw..draw + 1, &mut |_| Ok(())).unwrap().remove(0);
        let group = Group::of(&objective, drawn).unwrap();
        accumulate(small, &objective, &[group], usize::MAX, None).unwrap();
        let gradient = small.gradient();
        sums.resize(gradient.len(), 0.0);
        squares.resize(gradient.len(), 0.0);
        for ((sum, square), g) in sums.iter_mut().zip(&mut squares).zip(gradient) {
            *sum -= g;
            *square += g * g;
        }
    }
    let n = DRAWS as f64;
    let mean: Vec<f64> = sums.iter().map(|sum| sum / n).collect();
    let variances: Vec<f64> = squares.iter().zip(&mean).map(|(square, mean)| square / n - mean * mean).collect();
    let error = variances.iter().map(|v| (v.max(0.0) / n).sqrt()).collect();
    Average { mean, error, variance: [variances[..WORDS].iter().sum(), variances[WORDS..].iter().sum()] }
}

fn unregularised(credit: Credit) -> SyncGrpoConfig {
    SyncGrpoConfig {
        advantage: Advantage::LeaveOneOut,
        kl: Kl::None,
        a_und: 1.0,
        a_gen: 1.0,
        credit,
        image_positions: ImagePositions::Revealed,
        ..SyncGrpoConfig::default()
    }
}

#[track_caller]
fn assert_unbiased(average: &Average, expected: &[f64], what: &str) {
    let mut chi = 0.0;
    for (i, ((mean, error), expected)) in average.mean.iter().zip(&average.error).zip(expected).enumerate() {
        let z = (mean - expected) / (error + 1e-9);
        assert!(z.abs() < 4.5, "{what}: [{i}] expected {expected}, got {mean} +- {error}");
        chi += z * z;
    }
    // Half of the parameters are free, for probabilities add up to one: their chi^2 is a few hundredths of a percent likely
    // above this.
    let free = expected.len() as f64;
    assert!(chi < free + 5.0 * (2.0 * free).sqrt(), "{what}: chi^2 {chi} of {free}");
}

#[test]
fn joint_causal_and_nested_credit_have_the_exact_gradient_on_average_and_less_noise_each() {
    let mut small = Small::new();
    let expected = exact(&mut small);
    let joint = average(&mut small, unregularised(Credit::Joint), 1);
    assert_unbiased(&joint, &expected, "joint");
    let causal = average(&mut small, unregularised(Credit::Causal), 1);
    assert_unbiased(&causal, &expected, "causal");
    let nested = average(&mut small, unregularised(Credit::Joint), 4);
    assert_unbiased(&nested, &expected, "nested");
    let both = average(&mut small, unregularised(Credit::Causal), 4);
    assert_unbiased(&both, &expected, "causal and nested");

    let of_images = [&joint, &causal, &nested, &both].map(|average| average.variance[1]);
    assert!(of_images[1] < 0.6 * of_images[0], "the luck of the word is gone: {of_images:?}");
    assert!(of_images[2] < 0.6 * of_images[0], "siblings share the word: {of_images:?}");
    assert_eq!(joint.variance[0], causal.variance[0], "the word is credited with everything either way");
    // Among siblings what a reward says of the word alone is the same.
    assert!((of_images[2] - of_images[3]).abs() < 1e-6 * of_images[2], "{of_images:?}");
}

#[test]
fn a_common_baseline_shrinks_the_gradient_by_a_known_factor() {
    let mut small = Small::new();
    let shrunk: Vec<f64> = exact(&mut small).iter().map(|g| g * (1.0 - 1.0 / GROUP as f64)).collect();
    let config = SyncGrpoConfig { advantage: Advantage::Centered, ..unregularised(Credit::Joint) };
    assert_unbiased(&average(&mut small, config, 1), &shrunk, "centered");
}

#[test]
fn scoring_what_was_thrown_away_again_is_noise() {
    let mut small = Small::new();
    let revealed = average(&mut small, unregularised(Credit::Causal), 4);
    let config = SyncGrpoConfig { image_positions: ImagePositions::Masked, ..unregularised(Credit::Causal) };
    let masked = average(&mut small, config, 4);
    assert_unbiased(&masked, &exact(&mut small), "masked");
    assert!(masked.variance[1] > 1.2 * revealed.variance[1], "{} {}", masked.variance[1], revealed.variance[1]);
}
