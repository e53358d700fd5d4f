//! The model at a tiny size against numbers of the reference implementation.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use burn::tensor::activation::log_softmax;
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use counterpoint_showo::{Allowed, MagvitV2, Showo, ShowoConfig, prompting};
use safetensors::SafeTensors;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/showo_tiny")
}

struct Golden {
    bytes: Vec<u8>,
}

impl Golden {
    fn open() -> Self {
        Self { bytes: std::fs::read(folder().join("expected.safetensors")).unwrap() }
    }

    fn ints(&self, key: &str) -> (Vec<usize>, Vec<i64>) {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = tensors.tensor(key).unwrap();
        let values = match view.dtype() {
            safetensors::Dtype::U8 => view.data().iter().map(|&v| i64::from(v)).collect(),
            safetensors::Dtype::I64 => view.data().as_chunks::<8>().0.iter().map(|&b| i64::from_le_bytes(b)).collect(),
            other => panic!("{key}: {other:?}"),
        };
        (view.shape().to_vec(), values)
    }

    fn rows(&self, key: &str) -> Vec<Vec<u32>> {
        let (shape, values) = self.ints(key);
        let width = *shape.last().unwrap();
        values.chunks(width).map(|row| row.iter().map(|&v| v as u32).collect()).collect()
    }

    fn floats(&self, key: &str) -> (Vec<usize>, Vec<f32>) {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = tensors.tensor(key).unwrap();
        assert_eq!(view.dtype(), safetensors::Dtype::F32);
        let values = view.data().as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        (view.shape().to_vec(), values)
    }

    #[track_caller]
    fn assert_close<const D: usize>(&self, key: &str, got: Tensor<D>) {
        let (shape, expected) = self.floats(key);
        assert_eq!(got.dims().to_vec(), shape, "{key}");
        let got = got.into_data().try_to_vec::<f32>().unwrap();
        let scale = expected.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        let worst = got.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= 1e-4 * scale, "{key}: off by {worst}, largest value {scale}");
    }
}

fn config() -> ShowoConfig {
    ShowoConfig::load(&folder().join("config.json")).unwrap()
}

fn model(config: &ShowoConfig) -> Showo {
    Showo::load(config, &folder().join("showo.safetensors"), &Device::flex()).unwrap()
}

fn ids(rows: &[Vec<u32>]) -> Tensor<2, Int> {
    let flat: Vec<i32> = rows.concat().iter().map(|&id| id as i32).collect();
    Tensor::from_data(TensorData::new(flat, [rows.len(), rows[0].len()]), &Device::flex())
}

fn flags(allowed: &Allowed) -> Vec<i64> {
    allowed.flags().iter().map(|&a| i64::from(a)).collect()
}

#[test]
fn omni_attention_masks_are_exact() {
    let (golden, config) = (Golden::open(), config());
    let both = [golden.rows("t2i.input_ids"), golden.rows("t2i.uncond_ids")].concat();
    let allowed = Allowed::t2i(&config, &both).unwrap();
    assert_eq!(allowed.shape().to_vec(), golden.ints("t2i.allowed").0);
    assert_eq!(flags(&allowed), golden.ints("t2i.allowed").1);
    let allowed = Allowed::mmu(&config, &golden.rows("mmu.input_ids")).unwrap();
    assert_eq!(flags(&allowed), golden.ints("mmu.allowed").1);
}

#[test]
fn prompts_are_laid_out_as_in_the_original() {
    let (golden, config) = (Golden::open(), config());
    let blank = prompting::masked_image(&config);
    let conditional = golden.rows("t2i.input_ids");
    let unconditional = golden.rows("t2i.uncond_ids");
    for (row, text) in [[3, 9, 27, 81].as_slice(), &[5, 7]].into_iter().enumerate() {
        let pair = prompting::t2i_pair(&config, text, &blank);
        assert_eq!(pair, (conditional[row].clone(), unconditional[row].clone()));
    }
    let mmu = &golden.rows("mmu.input_ids")[0];
    let codes: Vec<u32> = mmu[2..18].iter().map(|id| id - config.image_token_offset).collect();
    assert_eq!(&prompting::mmu_prompt(&config, &codes, &mmu[20..]).unwrap(), mmu);
    let (sequence, start) = prompting::mmu_sequence(&config, &codes, &mmu[20..], &[4]).unwrap();
    assert_eq!((start, &sequence[start..]), (mmu.len(), &[4, config.eos_id][..]));
}

#[test]
fn a_long_prompt_is_cut_and_keeps_its_end() {
    let config = config();
    let prompt = prompting::t2i_prompt(&config, &[1; 50]);
    assert_eq!(prompt.len(), config.t2i_prompt_length());
    assert_eq!((prompt[0], prompt[1], prompt[12]), (config.special_token_ids.t2i, config.bos_id, config.eos_id));
    assert!(!prompting::fits_t2i(&config, &[1; 11]) && prompting::fits_t2i(&config, &[1; 10]));
}

#[test]
fn text_to_image_logits() {
    let (golden, config) = (Golden::open(), config());
    let model = model(&config);
    for (key, out) in [("t2i.input_ids", "t2i.cond_logits"), ("t2i.uncond_ids", "t2i.uncond_logits")] {
        let rows = golden.rows(key);
        let allowed = Allowed::t2i(&config, &rows).unwrap().tensor(&Device::flex());
        golden.assert_close(out, model.logits(model.forward(ids(&rows), allowed)));
    }
}

/// Image logits of conditional and unconditional rows through a prefilled text part.
fn guided(config: &ShowoConfig, model: &Showo, conditional: &[Vec<u32>], unconditional: &[Vec<u32>]) -> Tensor<3> {
    let device = Device::flex();
    let rows = [conditional, unconditional].concat();
    let allowed = Allowed::t2i(config, &rows).unwrap();
    let (split, length) = (config.t2i_prompt_length(), config.t2i_length());
    let cut =
        |range: std::ops::Range<usize>| ids(&rows.iter().map(|row| row[range.clone()].to_vec()).collect::<Vec<_>>());
    let (_, prefix) = model.prefill(cut(0..split), allowed.queries(0..split).keys_before(split).tensor(&device));
    let suffix = allowed.queries(split..length).tensor(&device);
    let hidden = model.forward_with_prefix(cut(split..length), &prefix, suffix);
    let logits = model.image_logits(hidden.narrow(1, 1, config.num_vq_tokens));
    let [cond, uncond] = logits.chunk(2, 0).try_into().unwrap();
    let g = config.guidance_scale;
    cond.clone() + (cond - uncond) * g
}

#[test]
fn guided_image_logits_through_the_prefix_cache() {
    let (golden, config) = (Golden::open(), config());
    let model = model(&config);
    let logits = guided(&config, &model, &golden.rows("t2i.input_ids"), &golden.rows("t2i.uncond_ids"));
    golden.assert_close("t2i.guided_image_logits", logits);
}

#[test]
fn log_probs_of_every_denoising_step() {
    let (golden, config) = (Golden::open(), config());
    let model = model(&config);
    let (shape, inputs) = golden.ints("rollout.input_ids");
    let [steps, batch, length] = shape[..] else { panic!() };
    let uncond = golden.rows("t2i.uncond_ids");
    let split = config.t2i_prompt_length();
    let mut found = Vec::new();
    let chosen = golden.rows("rollout.chosen_ids");
    for step in 0..steps {
        let cond: Vec<Vec<u32>> = inputs[step * batch * length..(step + 1) * batch * length]
            .chunks(length)
            .map(|row| row.iter().map(|&id| id as u32).collect())
            .collect();
        let uncond: Vec<Vec<u32>> =
            cond.iter().zip(&uncond).map(|(c, u)| [&u[..split], &c[split..]].concat()).collect();
        let logps = log_softmax(guided(&config, &model, &cond, &uncond), 2);
        found.push(logps.gather(2, ids(&chosen[step * batch..(step + 1) * batch]).unsqueeze_dim(2)).squeeze_dim(2));
    }
    golden.assert_close("rollout.old_logps", Tensor::<2>::stack::<3>(found, 0));
}

#[test]
fn understanding_logits_and_greedy_answer_with_a_cache() {
    let (golden, config) = (Golden::open(), config());
    let model = model(&config);
    let rows = golden.rows("mmu.input_ids");
    let allowed = Allowed::mmu(&config, &rows).unwrap().tensor(&Device::flex());
    golden.assert_close("mmu.logits", model.logits(model.forward(ids(&rows), allowed.clone())));

    let (hidden, mut cache) = model.prefill(ids(&rows), allowed);
    let mut last = hidden.narrow(1, rows[0].len() - 1, 1);
    let (mut found, mut logps) = (Vec::new(), Vec::new());
    for _ in 0..golden.ints("mmu.greedy_ids").1.len() {
        let scores = log_softmax(model.logits(last), 2);
        let (logp, id) = scores.max_dim_with_indices(2);
        found.push(id.into_scalar::<i64>());
        logps.push(logp.into_scalar::<f32>());
        let step = vec![vec![*found.last().unwrap() as u32]];
        let open = Tensor::<3, Bool>::from_data(
            TensorData::new(vec![true; cache.len() + 1], [1, 1, cache.len() + 1]),
            &Device::flex(),
        );
        last = model.forward_cached(ids(&step), &mut cache, open);
    }
    assert_eq!(found, golden.ints("mmu.greedy_ids").1);
    golden.assert_close("mmu.greedy_logps", Tensor::<1>::from_floats(&logps[..], &Device::flex()));
}

#[test]
fn training_device_gives_the_same_logits() {
    let (golden, config) = (Golden::open(), config());
    let device = Device::flex().autodiff();
    let model = Showo::load(&config, &folder().join("showo.safetensors"), &device).unwrap();
    let rows = golden.rows("t2i.input_ids");
    let ids = Tensor::from_data(ids(&rows).into_data(), &device);
    let hidden = model.forward(ids, Allowed::t2i(&config, &rows).unwrap().tensor(&device));
    golden.assert_close("t2i.cond_logits", model.logits(hidden).inner());
}

#[test]
fn cached_batches_of_unequal_prompts_match_single_ones() {
    let config = config();
    let (model, device) = (model(&config), Device::flex());
    let codes: Vec<u32> = (0..config.num_vq_tokens as u32).collect();
    let prompts: Vec<Vec<u32>> = [&[1, 2, 3, 4, 5][..], &[6, 7]]
        .into_iter()
        .map(|question| prompting::mmu_prompt(&config, &codes, question).unwrap())
        .collect();
    let lengths: Vec<usize> = prompts.iter().map(Vec::len).collect();
    let mut padded = prompts.clone();
    prompting::pad_right(&config, &mut padded);
    let allowed = Allowed::mmu(&config, &padded).unwrap().tensor(&device);
    let (_, cache) = model.prefill(ids(&padded), allowed);
    let mut cache = cache.with_next(lengths.clone());
    let open: Vec<bool> = lengths.iter().flat_map(|&n| (0..=padded[0].len()).map(move |k| k < n || k == 25)).collect();
    assert_eq!(padded[0].len(), 25);
    let open = Tensor::<3, Bool>::from_data(TensorData::new(open, [2, 1, 26]), &device);
    let batched = model.forward_cached(ids(&[vec![8], vec![9]]), &mut cache, open);
    for (row, next) in [8, 9].into_iter().enumerate() {
        let whole = vec![[&prompts[row][..], &[next]].concat()];
        let hidden = model.forward(ids(&whole), Allowed::mmu(&config, &whole).unwrap().tensor(&device));
        let alone = hidden.narrow(1, lengths[row], 1);
        let off = (batched.clone().narrow(0, row, 1) - alone).abs().max().into_scalar::<f32>();
        assert!(off < 1e-4, "row {row} off by {off}");
    }
}

#[test]
fn image_tokenizer() {
    let (golden, config) = (Golden::open(), config());
    let model = MagvitV2::load(&config.magvitv2, &folder().join("magvitv2.safetensors"), &Device::flex()).unwrap();
    let (shape, pixels) = golden.floats("vq.pixels");
    let pixels = Tensor::<4>::from_data(TensorData::new(pixels, shape), &Device::flex());
    golden.assert_close("vq.encoder_out", model.latents(pixels.clone()).unwrap());
    let codes = model.encode(pixels).unwrap();
    let (_, expected) = golden.ints("vq.codes");
    assert_eq!(codes.clone().into_data().convert::<i64>().try_to_vec::<i64>().unwrap(), expected);
    golden.assert_close("vq.decoded", model.decode(codes).unwrap());
}

#[test]
fn weights_survive_saving_and_loading() {
    let config = config();
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("model.safetensors");
    model(&config).save(&path).unwrap();
    let names = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let mut all: Vec<(String, Vec<usize>, Vec<u8>)> =
            tensors.tensors().into_iter().map(|(n, v)| (n, v.shape().to_vec(), v.data().to_vec())).collect();
        all.sort();
        all
    };
    assert!(names(&path) == names(&folder().join("showo.safetensors")));
}

#[test]
fn config_and_weights_that_disagree_are_named() {
    let mut config = config();
    config.phi.intermediate_size = 96;
    let error = Showo::load(&config, &folder().join("showo.safetensors"), &Device::flex()).unwrap_err().to_string();
    assert!(error.contains("showo.model.layers.0.mlp.fc1") && error.contains("96"), "{error}");
    config.codebook_size = 63;
    let error = config.validate().unwrap_err().to_string();
    assert!(error.contains("codebook_size: expected 64 (2^z_channels), got 63"), "{error}");
}

#[test]
fn wrong_input_is_an_error() {
    let config = config();
    let tokenizer = config.magvitv2.init(&Device::flex());
    let odd = Tensor::<4>::zeros([1, 3, 18, 16], &Device::flex());
    let error = tokenizer.encode(odd).unwrap_err().to_string();
    assert!(error.contains("multiples of 4") && error.contains("18 x 16"), "{error}");
    assert!(prompting::image_ids(&config, &[0; 15]).is_err());
    let error = prompting::image_ids(&config, &[64; 16]).unwrap_err().to_string();
    assert!(error.contains("below 64, got 64"), "{error}");
    assert!(Allowed::t2i(&config, &[vec![1, 2]]).is_err());
}
