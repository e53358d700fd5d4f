//! What is refused, and that parts are parts of the whole. The numbers themselves are compared with transformers' by
//! `parity -- janus` (`examples/tests/parity.rs`).
#![allow(clippy::unwrap_used)]

mod common;

use std::path::PathBuf;

use burn::tensor::{Device, Tensor};
use common::{config, plain_policy as policy};
use counterpoint::{ErrorKind, Parameters, Policy, Replay, Segment, SegmentKind, Trajectory};
use counterpoint_janus::{JanusConfig, KvCache};
use counterpoint_weights::Precision;

fn folder() -> PathBuf {
    common::fixture()
}

#[test]
fn a_config_whose_numbers_do_not_agree_is_refused_by_key() {
    let refused = |change: &dyn Fn(&mut JanusConfig)| {
        let mut config = config();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    assert!(refused(&|c| c.text_config.num_key_value_heads = Some(3)).contains("num_key_value_heads"));
    assert!(refused(&|c| c.vision_config.projection_dim = 7).contains("vision_config.projection_dim: expected 48"));
    assert!(refused(&|c| c.vq_config.base_channels = 20).contains("32 groups"));
    assert!(refused(&|c| c.image_token_id = 150).contains("image_token_id"));
    let mut other = config();
    other.vq_config.num_embeddings = 65;
    let error = other.load(&folder().join("model.safetensors"), Precision::F32, &Device::flex()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Weights);
    assert!(error.to_string().contains("generation_embeddings.weight"), "{error}");
    let file = folder().join("model.safetensors");
    assert!(JanusConfig::read(&file).unwrap_err().to_string().contains("model.safetensors"));
}

#[test]
fn what_the_model_cannot_read_is_refused() {
    let policy = policy();
    let model = policy.scored();
    let error = model.read(Tensor::zeros([1, 3, 16, 32], &Device::flex())).unwrap_err().to_string();
    assert!(error.contains("32 x 32 pixels, got 3 channels and 16 x 32"), "{error}");
    let features = model.read(Tensor::zeros([1, 3, 32, 32], &Device::flex())).unwrap();
    let error = model.embed_text(&[vec![1, 5, 5, 20]], Some((features, &[0][..]))).unwrap_err().to_string();
    assert!(error.contains("got 2 and 16"), "{error}");
    let error = policy.image_tokenizer().decode(Tensor::zeros([1, 5], &Device::flex())).unwrap_err().to_string();
    assert!(error.contains("expected 16 image codes, got 5"), "{error}");

    let refused = |segment: Segment| {
        let trajectory = Trajectory::new(0, vec![segment]);
        let replay = Replay { trajectory: &trajectory, segment: 0, steps: 0..1 };
        policy.log_probs(&[replay], Parameters::Detached).map(|_| ()).unwrap_err().to_string()
    };
    let error = refused(Segment::text(vec![99, 1, 20], vec![30], vec![0.0]));
    assert!(error.contains("image 99"), "{error}");
    assert!(refused(Segment::text(vec![0], vec![30], vec![0.0])).contains("a question before an answer"));
    let image = Segment::text(Vec::new(), vec![3], vec![0.0]).with_kind(SegmentKind::Generation);
    assert!(refused(image).contains("begins an image, got none"));
    let masked = Segment::masked(vec![1, 6], 1, vec![3], vec![0.0], vec![true]);
    assert!(refused(masked).contains("does not denoise"));
}

#[test]
fn some_steps_of_some_candidates_are_those_rows_of_the_whole() {
    let policy = policy();
    let image = policy.show(Tensor::ones([1, 3, 32, 32], &Device::flex()) * 0.25);
    let question = [vec![image, 1, 20, 6], vec![5; 16], vec![7, 30, 31]].concat();
    let short = vec![0, 1, 40, 41];
    let candidate = |n: u64, context: &[u32], prompt: &[u32]| {
        let answer = Segment::text(context.to_vec(), (0..5).map(|i| 20 + i + n as u32).collect(), vec![0.0; 5]);
        let codes = (0..16).map(|i| (i * 3 + n as u32) % 64).collect();
        let image =
            Segment::text(prompt.to_vec(), codes, vec![0.0; 16]).with_kind(SegmentKind::Generation).with_guidance(4.0);
        Trajectory::new(n, vec![answer, image])
    };
    let all = [candidate(0, &question, &[1, 12, 13, 14, 6]), candidate(1, &short, &[1, 15, 6])];
    let scores = |replays: &[Replay<'_>]| -> Vec<Vec<f32>> {
        let scores = policy.log_probs(replays, Parameters::Detached).unwrap().log_probs;
        let width = scores.dims()[1];
        let values: Vec<f32> = scores.into_data().iter::<f32>().collect();
        values.chunks(width).zip(replays).map(|(row, replay)| row[..replay.steps.len()].to_vec()).collect()
    };
    for segment in [0, 1] {
        let whole: Vec<Replay<'_>> = all
            .iter()
            .map(|trajectory| Replay { trajectory, segment, steps: 0..trajectory.segments[segment].steps() })
            .collect();
        let together = scores(&whole);
        let parts = [Replay { steps: 2..4, ..whole[0].clone() }, Replay { steps: 1..5, ..whole[1].clone() }];
        let alone: Vec<Vec<f32>> = parts.iter().flat_map(|part| scores(std::slice::from_ref(part))).collect();
        for (parts, of) in [(scores(&parts), "together"), (alone, "alone")] {
            for (part, whole) in [(&parts[0], &together[0][2..4]), (&parts[1], &together[1][1..5])] {
                for (got, expected) in part.iter().zip(whole) {
                    assert!((got - expected).abs() < 1e-4, "{segment}, {of}: {got} {expected}");
                }
            }
        }
    }
    // A cache remembers as many tokens as went through.
    let model = policy.scored();
    let mut past = KvCache::default();
    let embedded = model.embed_text(&[vec![1, 20, 21]], None).unwrap();
    model.forward(embedded, &[vec![true; 3]], &mut past);
    assert_eq!((past.len(), past.select(&[0, 0], &Device::flex()).len()), (3, 3));
}
