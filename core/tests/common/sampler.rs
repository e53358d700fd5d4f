//! Draws from the toy policy on the host, one candidate after the other.

use std::sync::Arc;

use counterpoint::{Candidate, Draft, Result, Rollout, Sample, Segment, Stream, Task, Trajectory, TypedSampler};

use super::policy::Toy;
use super::{CODES, LONGEST, POSITIONS, STEPS, ToyPolicy};

/// Drafts the text and the first `checkpoint` denoising steps.
pub struct ToySampler {
    pub checkpoint: usize,
}

impl Default for ToySampler {
    fn default() -> Self {
        Self { checkpoint: 1 }
    }
}

#[derive(Clone)]
pub struct State {
    text: Segment,
    image: Segment,
    /// Decided codes, `CODES` where none is yet.
    standing: Vec<u32>,
}

fn draw(log_probs: &[f32], stream: &mut Stream) -> u32 {
    let u = stream.uniform();
    let mut cumulative = 0.0;
    let found = log_probs.iter().position(|l| {
        cumulative += l.exp();
        cumulative > u
    });
    found.unwrap_or(log_probs.len() - 1) as u32
}

impl State {
    fn start(toy: &Toy, task: &Task, candidate: &Candidate) -> Self {
        let mut stream = candidate.answering().stream("text.token", 0);
        let mut last: u32 = task.question.parse().unwrap();
        let mut text = Segment::text(vec![last], Vec::new(), Vec::new());
        while text.len() < LONGEST && (text.is_empty() || last != 0) {
            let row = toy.next_token(&[vec![last]]).try_into_vec_as::<f32>().unwrap();
            last = draw(&row, &mut stream);
            text.chosen.push(last);
            text.log_probs.push(row[last as usize]);
            text.undecided.push(true);
        }
        let image = Segment::masked(text.chosen.clone(), POSITIONS, Vec::new(), Vec::new(), Vec::new());
        Self { text, image, standing: vec![CODES as u32; POSITIONS] }
    }

    /// One denoising step: position `n` is decided at step `n % STEPS`.
    fn denoise(&mut self, toy: &Toy, candidate: &Candidate) {
        let step = self.image.steps();
        let mut stream = candidate.stream("image.token", step as u64);
        let last = *self.image.context.last().unwrap();
        let scores = toy.codes(&[last], std::slice::from_ref(&self.standing)).try_into_vec_as::<f32>().unwrap();
        for (n, row) in scores.chunks(CODES).enumerate() {
            let undecided = self.standing[n] == CODES as u32;
            let drawn = draw(row, &mut stream);
            let code = if undecided { drawn } else { self.standing[n] };
            self.image.chosen.push(code);
            self.image.log_probs.push(row[code as usize]);
            self.image.undecided.push(undecided);
            if n % STEPS == step {
                self.standing[n] = code;
            }
        }
    }

    fn sample(&self, task: &Task, candidate: &Candidate) -> Sample {
        let response = self.text.chosen.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
        let newest = self.image.chosen.last_chunk::<POSITIONS>().copied().unwrap_or_default();
        // Code 1 is red, the others are dark.
        let red = |code: u32| if code == 1 { 255 } else { 0 };
        let pixels = image::RgbImage::from_fn(POSITIONS as u32, 1, |x, _| image::Rgb([red(newest[x as usize]), 0, 0]));
        Sample::new(task, candidate.key.candidate, task.question.clone(), response, Some(Arc::new(pixels)))
    }
}

impl TypedSampler<ToyPolicy> for ToySampler {
    type Draft = State;

    fn draft(
        &mut self,
        policy: &ToyPolicy,
        task: &Task,
        candidates: &[Candidate],
        previews: bool,
    ) -> Result<Vec<Draft<State>>> {
        let toy = policy.current();
        let draft = |candidate: &Candidate| {
            let mut state = State::start(&toy, task, candidate);
            if !task.generates {
                return Draft::new(*candidate, state, 0, 0);
            }
            (0..self.checkpoint).for_each(|_| state.denoise(&toy, candidate));
            let preview = previews.then(|| state.sample(task, candidate));
            Draft::new(*candidate, state, self.checkpoint, STEPS - self.checkpoint).with_preview(preview)
        };
        Ok(candidates.iter().map(draft).collect())
    }

    fn finish(&mut self, policy: &ToyPolicy, task: &Task, drafts: Vec<Draft<State>>) -> Result<Vec<Rollout>> {
        let toy = policy.current();
        let finish = |draft: Draft<State>| {
            let mut state = draft.state;
            (0..draft.steps_left).for_each(|_| state.denoise(&toy, &draft.candidate));
            let mut sample = state.sample(task, &draft.candidate);
            let mut segments = vec![state.text, state.image];
            if !task.generates {
                sample.image = None;
                segments.truncate(1);
            }
            Rollout::new(Trajectory::new(draft.candidate.key.candidate, segments), sample)
        };
        Ok(drafts.into_iter().map(finish).collect())
    }
}
