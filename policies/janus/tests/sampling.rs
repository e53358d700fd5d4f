//! Answers and images that are drawn are scored as they were drawn, alone or together, at once or in two phases.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use burn::tensor::Device;
use common::{IDS, fixture, model_folder, policy};
use counterpoint::config::TrainerConfig;
use counterpoint::registry::{self, BuildContext};
use counterpoint::{
    Candidate, ErrorKind, Key, Parameters, Parts, Policy, Replay, Result, Reward, RewardEnsemble, Rollout, Sample,
    Sampler, Score, SegmentKind, Streams, SyncGrpoConfig, Task, TaskSource, Trainer,
};
use counterpoint_janus::picture::seen;
use counterpoint_janus::{Chat, JanusConfig, JanusPolicy, TextTokenizer};
use image::{Rgb, RgbImage};

fn sampler(settings: &str) -> Box<dyn Sampler> {
    let context = BuildContext::new(Device::flex(), ".");
    registry::sampler("janus", &settings.parse().unwrap(), &context).unwrap()
}

fn task() -> Task {
    let mut task = Task::new(0, "what is it ?").with_base_prompt("a red hat");
    task.image = Some(Arc::new(RgbImage::from_fn(48, 30, |x, y| Rgb([x as u8 * 5, y as u8 * 8, 90]))));
    task
}

fn candidates(count: u64) -> Vec<Candidate> {
    (0..count).map(|candidate| Candidate::new(Streams::new(4), Key { step: 0, task: 0, candidate })).collect()
}

fn draw(policy: &JanusPolicy, sampler: &mut dyn Sampler, candidates: &[Candidate], previews: bool) -> Vec<Rollout> {
    let drafts = sampler.draft(policy, &task(), candidates, previews).unwrap();
    assert!(drafts.iter().all(|draft| draft.preview.is_some() == previews));
    sampler.finish(policy, &task(), drafts).unwrap()
}

/// The largest difference between what was recorded and what is scored.
fn difference(policy: &JanusPolicy, rollouts: &[Rollout]) -> f32 {
    let mut largest = 0.0_f32;
    for segment in 0..rollouts[0].trajectory.segments.len() {
        let replays: Vec<Replay<'_>> = rollouts
            .iter()
            .map(|rollout| {
                let trajectory = &rollout.trajectory;
                Replay { trajectory, segment, steps: 0..trajectory.segments[segment].steps() }
            })
            .collect();
        let scores = policy.log_probs(&replays, Parameters::Detached).unwrap().log_probs;
        let width = scores.dims()[1];
        let values: Vec<f32> = scores.into_data().iter::<f32>().collect();
        for (replay, row) in replays.iter().zip(values.chunks(width)) {
            for (got, recorded) in row.iter().zip(&replay.segment().log_probs) {
                largest = largest.max((got - recorded).abs());
            }
        }
    }
    largest
}

#[test]
fn what_is_drawn_is_scored_as_it_was_drawn() {
    let policy = policy();
    for image in [
        "guidance_scale = 4.0",
        "guidance_scale = 0.0",
        "guidance_scale = 4.0, score_guidance = false",
        "guidance_scale = 2.0, temperature = 0.7, top_k = 9",
    ] {
        let settings = format!("text = {{ max_new_tokens = 6 }}\nimage = {{ {image} }}");
        let rollouts = draw(&policy, sampler(&settings).as_mut(), &candidates(4), false);
        let segments = &rollouts[0].trajectory.segments;
        assert_eq!([segments[0].kind, segments[1].kind], [SegmentKind::Understanding, SegmentKind::Generation]);
        assert_eq!((segments[1].steps(), rollouts[0].sample.image.as_ref().unwrap().dimensions()), (16, (8, 8)));
        let off = difference(&policy, &rollouts);
        assert!(off < 1e-4, "{image}: {off}");
        assert_ne!(rollouts[0].trajectory.segments[1].chosen, rollouts[1].trajectory.segments[1].chosen);
        // The picture was looked at once, however often it is asked about.
        assert_eq!(segments[0].context[0], 1);
    }
}

#[test]
fn a_candidate_depends_neither_on_its_batch_nor_on_previews() {
    let policy = policy();
    let mut sampler = sampler("text = { max_new_tokens = 6 }\nimage = { guidance_scale = 3.0, checkpoint = 0.3 }");
    let chosen = |rollout: &Rollout| -> Vec<Vec<u32>> {
        rollout.trajectory.segments.iter().map(|segment| segment.chosen.clone()).collect()
    };
    let together = draw(&policy, sampler.as_mut(), &candidates(3), false);
    let alone = draw(&policy, sampler.as_mut(), &candidates(3)[1..2], false);
    assert_eq!(chosen(&alone[0]), chosen(&together[1]));
    let previewed = draw(&policy, sampler.as_mut(), &candidates(3), true);
    for (one, other) in previewed.iter().zip(&together) {
        assert_eq!(chosen(one), chosen(other));
    }
}

#[test]
fn answer_and_image_may_be_two_tasks_of_one_candidate() {
    let policy = policy();
    let settings = "prompt = 'base'\ntext = { max_new_tokens = 3 }";
    let rollouts = draw(&policy, sampler(settings).as_mut(), &candidates(2), false);
    let prompts: Vec<_> = rollouts.iter().map(|r| (&r.sample.prompt, &r.trajectory.segments[1].context)).collect();
    assert_eq!(prompts[0], (&"a red hat".to_owned(), &vec![IDS.bos, 10, 11, 13, IDS.boi]));
    assert_eq!(prompts[0], prompts[1]);
    // Greedy codes are the most probable ones, drawn twice alike.
    let greedy = "prompt = 'base'\ntext = { max_new_tokens = 1 }\nimage = { temperature = 0.0 }";
    let rollouts = draw(&policy, sampler(greedy).as_mut(), &candidates(2), false);
    assert_eq!(rollouts[0].trajectory.segments[1].chosen, rollouts[1].trajectory.segments[1].chosen);
}

#[test]
fn pictures_are_seen_as_by_transformers() {
    // JanusImageProcessorPil of transformers 5.24 with mean and deviation 0.5: 48 x 30 becomes 32 x 20, with 6 grey rows above and below.
    let image = task().image.unwrap();
    let pixels = seen(&image, 32, &Device::flex()).unwrap();
    let values: Vec<f32> = pixels.into_data().iter().collect();
    let at = |channel: usize, y: usize, x: usize| values[(channel * 32 + y) * 32 + x];
    assert!((at(0, 0, 5) - (127.0 / 127.5 - 1.0)).abs() < 1e-6 && at(0, 5, 5) == at(0, 26, 5));
    assert!((at(2, 6, 0) - (90.0 / 127.5 - 1.0)).abs() < 1e-6);
    assert!(at(0, 6, 31) > 0.5 && at(0, 6, 0) < -0.9 && at(1, 25, 3) > at(1, 6, 3));
    assert!(seen(&RgbImage::new(0, 3), 32, &Device::flex()).is_err());
}

#[test]
fn questions_and_prompts_are_put_as_the_chat_says() {
    let folder = model_folder();
    let config = JanusConfig::read(&fixture().join("config.json")).unwrap();
    let text = policy().text_tokenizer().unwrap().clone();
    assert_eq!(text.ids(), IDS);
    let about = text.question("what is it ?", true).unwrap();
    assert_eq!(about[..2], [IDS.bos, IDS.boi]);
    assert_eq!(about[2..18], [5; 16]);
    assert_eq!(about[18..], [IDS.eoi, 14, 15, 16, 17]);
    assert_eq!(text.question("what is it ?", false).unwrap(), [IDS.bos, 14, 15, 16, 17]);
    assert_eq!(text.decode(&[11, 13, IDS.eos]).unwrap(), "red hat");

    let chat = Chat { prompt: "paint".to_owned(), ..Chat::default() };
    let error = TextTokenizer::load(folder.path(), &config, chat).unwrap_err();
    assert!(error.to_string().contains("policy.chat: expected {prompt}"), "{error}");
    let mut small = config.clone();
    small.text_config.vocab_size = 100;
    let error = TextTokenizer::load(folder.path(), &small, Chat::default()).unwrap_err();
    assert!(error.to_string().contains("at most 100 tokens"), "{error}");
    std::fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    let error = TextTokenizer::load(folder.path(), &config, Chat::default()).unwrap_err();
    assert!(error.kind() == ErrorKind::Weights && error.to_string().contains("tokenizer.json"), "{error}");
}

/// How red the image is.
struct Red;

impl Reward for Red {
    fn name(&self) -> &str {
        "red"
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        let red = |sample: &Sample| {
            let image = sample.image.as_ref().unwrap();
            image.pixels().map(|p| f64::from(p.0[0]) - f64::from(p.0[2])).sum::<f64>()
                / (255 * image.pixels().len()) as f64
        };
        Ok(samples.iter().map(|sample| Score::Value(red(sample))).collect())
    }
}

struct OneTask;

impl TaskSource for OneTask {
    fn task(&self, _step: u64, _cursor: u64, _streams: &Streams) -> Result<Task> {
        Ok(task())
    }
}

#[test]
fn an_easy_reward_rises() {
    let rises: Vec<f64> = (1..=8).map(rise).collect();
    let mean = rises.iter().sum::<f64>() / rises.len() as f64;
    let variance = rises.iter().map(|rise| (rise - mean).powi(2)).sum::<f64>() / (rises.len() - 1) as f64;
    // Three standard errors above nothing.
    assert!(mean > 0.02 && mean > 3.0 * (variance / rises.len() as f64).sqrt(), "{rises:?}");
}

/// How much redder images are after training than before.
fn rise(seed: u64) -> f64 {
    let sampler = sampler("text = { max_new_tokens = 2 }\nimage = { guidance_scale = 0.0 }");
    let parts = Parts::new(Box::new(policy()), sampler, RewardEnsemble::single(Red), Box::new(OneTask)).unwrap();
    let objective = SyncGrpoConfig { kl: counterpoint::objective::Kl::None, ..SyncGrpoConfig::dr_grpo() };
    let parts = parts.with_objective(objective.init().unwrap());
    let config =
        TrainerConfig { steps: 60, group_size: 48, learning_rate: 1e-2, warmup_steps: 0, ..TrainerConfig::default() };
    let mut trainer = Trainer::new(parts, config, seed).unwrap();
    let rewards: Vec<f64> = (0..60).map(|_| trainer.step().unwrap().metrics.get("reward").unwrap()).collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    mean(&rewards[55..]) - mean(&rewards[..5])
}

#[test]
fn states_of_image_and_prompt_depend_on_nothing_else() {
    let policy = common::policy();
    let sample = |prompt: &str, shade: u8| {
        let image = RgbImage::from_pixel(40, 20, image::Rgb([shade, 20, 90]));
        Sample::new(&task(), 0, prompt.to_owned(), String::new(), Some(Arc::new(image)))
    };
    let samples = [sample("a red hat", 10), sample("the sea", 10), sample("a red hat", 200)];
    let together = policy.token_states(&samples).unwrap();
    for (sample, states) in samples.iter().zip(&together) {
        let alone = policy.token_states(std::slice::from_ref(sample)).unwrap().remove(0);
        assert_eq!(alone.image.len(), policy.config().image_embeddings() * alone.width);
        let apart = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert_eq!((alone.image.len(), alone.text.len()), (states.image.len(), states.text.len()));
        assert!(apart(&alone.image, &states.image) < 1e-4 && apart(&alone.text, &states.text) < 1e-4);
    }
    // The text comes after the image: it does not move the image's states.
    let width = together[0].width;
    assert_eq!((together[0].text.len(), together[1].text.len()), (3 * width, 2 * width));
    assert!((together[0].image[0] - together[1].image[0]).abs() < 1e-4);
    // From the first token of the image to its last one; what begins an image is the same for all.
    let [first, last] = [0..width, together[0].image.len() - width..together[0].image.len()];
    for token in [first, last] {
        assert_ne!(together[0].image[token.clone()], together[2].image[token]);
    }
    assert_ne!(together[0].text, together[2].text);
}
