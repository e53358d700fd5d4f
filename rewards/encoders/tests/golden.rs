//! The ports against numbers computed by the originals, at tiny sizes with random weights.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::path::Path;

use burn::tensor::{Device, Distribution, Int, Tensor};
use counterpoint_encoders::bert::{Pooling, TokenTypes};
use counterpoint_encoders::{BertConfig, Blip2, Blip2Config, CaptionerConfig, ClipConfig, Dinov2, Dinov2Config};
use counterpoint_weights::Precision;
use safetensors::SafeTensors;

use common::{Golden, folder};

fn text_tower(name: &str) {
    let golden = Golden::open(name);
    let tower = BertConfig::load(&folder(name), Precision::F32, &Device::flex()).unwrap();
    let keep = golden.mask("inputs.attention_mask");
    let types = TokenTypes {
        segment: Some(golden.ints("inputs.token_type_ids")),
        task: (name == "ernie").then(|| golden.ints("inputs.task_type_ids")),
    };
    let hidden = tower.forward(golden.ints("inputs.input_ids"), &keep, types);
    golden.check("outputs.last_hidden_state", hidden.clone());
    golden.check("outputs.mean_pooled", Pooling::Mean.pool(hidden, &keep));
}

#[test]
fn bert() {
    text_tower("bert");
}

#[test]
fn ernie() {
    text_tower("ernie");
}

#[test]
fn layers_follow_each_other_from_the_embeddings_to_the_last() {
    let golden = Golden::open("bert");
    let tower = BertConfig::load(&folder("bert"), Precision::F32, &Device::flex()).unwrap();
    let keep = golden.mask("inputs.attention_mask");
    let types = || TokenTypes { segment: Some(golden.ints("inputs.token_type_ids")), task: None };
    let to = |depth| tower.forward_to(depth, golden.ints("inputs.input_ids"), &keep, types());
    for last in [2, 3] {
        golden.check("outputs.last_hidden_state", to(last));
    }
    for (depth, next) in [(0, 1), (1, 2)] {
        let apart = (to(depth) - to(next)).abs().max().into_scalar::<f32>();
        assert!(apart > 0.01, "{depth}: {apart}");
    }
}

#[test]
fn bert_of_a_published_pytorch_model_bin() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(folder("bert/config.json"), dir.path().join("config.json")).unwrap();
    std::fs::copy(folder("bert_bin/pytorch_model.bin"), dir.path().join("pytorch_model.bin")).unwrap();
    let tower = BertConfig::load(dir.path(), Precision::F32, &Device::flex()).unwrap();
    let golden = Golden::open("bert");
    let (ids, keep) = (golden.ints("inputs.input_ids"), golden.mask("inputs.attention_mask"));
    let types = TokenTypes { segment: Some(golden.ints("inputs.token_type_ids")), task: None };
    let hidden = tower.forward(ids.clone(), &keep, types);
    golden.check("outputs.last_hidden_state", hidden.clone());
    golden.check("outputs.mean_pooled", Pooling::Mean.pool(hidden.clone(), &keep));
    Golden::open("bert_bin").check("cls_pooled", Pooling::Cls.pool(hidden.clone(), &keep));
    let plain = Pooling::Cls.pool(tower.forward(ids.clone(), &keep, TokenTypes::default()), &keep);
    assert_eq!(tower.embed(ids, &keep, Pooling::Cls).into_data(), plain.into_data());
}

#[test]
fn the_pooling_is_the_one_in_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Pooling::read(dir.path()).unwrap(), Pooling::Mean);
    std::fs::create_dir(dir.path().join("1_Pooling")).unwrap();
    let read = |json: &str| {
        std::fs::write(dir.path().join("1_Pooling/config.json"), json).unwrap();
        Pooling::read(dir.path())
    };
    let switches = |cls: bool, mean: bool| {
        format!(
            r#"{{"word_embedding_dimension": 4, "pooling_mode_cls_token": {cls}, "pooling_mode_mean_tokens": {mean}}}"#
        )
    };
    assert_eq!(read(&switches(true, false)).unwrap(), Pooling::Cls);
    assert_eq!(read(&switches(false, true)).unwrap(), Pooling::Mean);
    assert_eq!(read(r#"{"embedding_dimension": 4, "pooling_mode": "cls"}"#).unwrap(), Pooling::Cls);
    for both in [switches(true, true), switches(false, false), r#"{"pooling_mode": "max"}"#.to_owned()] {
        assert!(read(&both).unwrap_err().to_string().contains("expected the pooling mode mean or cls"), "{both}");
    }
}

#[test]
fn blip2() {
    let golden = Golden::open("blip2");
    let tower = Blip2Config::load(&folder("blip2"), Precision::F32, &Device::flex()).unwrap();
    let (ids, keep) = (golden.ints("inputs.input_ids"), golden.mask("inputs.attention_mask"));
    let pixels = golden.floats::<4>("inputs.pixel_values");
    let images = tower.embed_images(pixels.clone()).unwrap();
    let texts = tower.embed_texts(ids.clone(), &keep);
    golden.check("outputs.image_embeds", images.clone());
    golden.check("outputs.text_embeds", texts.clone());
    let all = Blip2::itc(images.clone(), texts.clone());
    golden.check("outputs.itc_logits_per_image", all.clone());
    golden.check("outputs.itm_logits", tower.itm(pixels, ids, &keep).unwrap());
    let pairs = Blip2::itc_pairs(images, texts).into_data().try_to_vec::<f32>().unwrap();
    let all = all.into_data().try_to_vec::<f32>().unwrap();
    assert!((pairs[0] - all[0]).abs() < 1e-6 && (pairs[1] - all[3]).abs() < 1e-6, "pairs are the diagonal");
}

#[test]
fn clip() {
    let golden = Golden::open("clip");
    let towers = ClipConfig::load(&folder("clip"), Precision::F32, &Device::flex()).unwrap();
    let images = towers.embed_images(golden.floats("inputs.pixel_values")).unwrap();
    let texts = towers.embed_texts(golden.ints("inputs.input_ids"));
    golden.check("outputs.image_embeds", images.clone());
    golden.check("outputs.text_embeds", texts.clone());
    golden.check("outputs.logits_per_image", towers.logits(images, texts));
}

fn image_tower(name: &str) {
    let golden = Golden::open(name);
    let tower = Dinov2Config::load(&folder(name), Precision::F32, &Device::flex()).unwrap();
    let tokens = tower.forward(golden.floats("inputs.pixel_values")).unwrap();
    golden.check("outputs.last_hidden_state", tokens.clone());
    golden.check("outputs.pooled", Dinov2::pooled(tokens));
}

#[test]
fn dinov2_and_swiglu_at_two_sizes() {
    for name in ["dinov2", "dinov2_swiglu"] {
        image_tower(name);
        let golden = Golden::open(name);
        let tower = Dinov2Config::load(&folder(name), Precision::F32, &Device::flex()).unwrap();
        let tokens = tower.forward(golden.floats("inputs.pixel_values_other_size")).unwrap();
        golden.check("outputs.last_hidden_state_other_size", tokens);
    }
}

#[test]
fn dinov2_registers() {
    image_tower("dinov2_registers");
    let tower = Dinov2Config::load(&folder("dinov2_registers"), Precision::F32, &Device::flex()).unwrap();
    let pixels = Golden::open("dinov2_registers").floats::<4>("inputs.pixel_values");
    assert_eq!(tower.patch_features(pixels).unwrap().dims(), [2, 16, 48]);
}

#[test]
fn dinov2_registers_at_other_sizes() {
    let tower = Dinov2Config::load(&folder("dinov2_registers"), Precision::F32, &Device::flex()).unwrap();
    let golden = Golden(std::fs::read(folder("dinov2_registers").join("other_size.safetensors")).unwrap());
    for size in ["larger", "smaller"] {
        let tokens = tower.forward(golden.floats(&format!("inputs.{size}"))).unwrap();
        golden.check(&format!("outputs.{size}"), tokens);
    }
    let small = Tensor::<4>::zeros([1, 3, 13, 56], &Device::flex());
    assert!(tower.forward(small).unwrap_err().to_string().contains("13x56"));
}

#[test]
fn dinov2_under_the_names_of_published_files() {
    let golden = Golden::open("dinov2_swiglu");
    let tower = Dinov2Config::load(&folder("dinov2_published"), Precision::F32, &Device::flex()).unwrap();
    let tokens = tower.forward(golden.floats("inputs.pixel_values")).unwrap();
    golden.check("outputs.last_hidden_state", tokens);
}

#[test]
fn captioner() {
    let golden = Golden::open("captioner");
    let captioner = CaptionerConfig::load(&folder("captioner"), Precision::F32, &Device::flex()).unwrap();
    let pixels = golden.floats::<4>("inputs.pixel_values");
    golden.check("outputs.logits", captioner.logits(pixels.clone(), golden.ints("inputs.input_ids")).unwrap());
    // Rows of the original begin with the begin token and the prompt, and go on with padding after the end.
    let check = |name: &str, prompt: &[u32], new| {
        let captions = captioner.caption(pixels.clone(), prompt, new).unwrap();
        let expected = golden.ints(name);
        let width = expected.dims()[1];
        let rows: Vec<i64> = expected.into_data().iter::<i64>().collect();
        for (row, caption) in rows.chunks(width).zip(captions) {
            let written = row[1 + prompt.len()..].iter().take_while(|id| **id != 96);
            assert_eq!(caption, written.map(|id| *id as u32).collect::<Vec<_>>(), "{name}");
        }
    };
    check("outputs.greedy_ids", &[], 10);
    check("outputs.prompted_ids", &[11, 40], 8);
    let too_long = captioner.caption(pixels.clone(), &[11, 40], 23).unwrap_err().to_string();
    assert!(too_long.contains("24 tokens"), "{too_long}");
    assert!(captioner.caption(pixels, &[97], 3).unwrap_err().to_string().contains("below 97"));
}

#[test]
fn a_batch_that_is_cut_into_pieces_is_what_its_items_are_alone() {
    let device = Device::flex();
    let close = |together: Tensor<3>, alone: Vec<Tensor<3>>, what: &str| {
        let worst = (together - Tensor::cat(alone, 0)).abs().max().into_scalar::<f32>();
        assert!(worst < 1e-5, "{what}: {worst}");
    };
    // More than 256 tokens in all.
    let count = 50;
    let tower = Dinov2Config::load(&folder("dinov2"), Precision::F32, &device).unwrap();
    let pixels = Tensor::<4>::random([count, 3, 56, 56], Distribution::Normal(0.0, 1.0), &device);
    let alone = (0..count).map(|i| tower.forward(pixels.clone().narrow(0, i, 1)).unwrap()).collect();
    close(tower.forward(pixels).unwrap(), alone, "images");

    let ids = Tensor::<2, Int>::random([count, 11], Distribution::Uniform(0.0, 90.0), &device);
    let keep = Tensor::<2>::random([count, 11], Distribution::Uniform(0.0, 1.0), &device).greater_elem(0.3);
    let tower = BertConfig::load(&folder("bert"), Precision::F32, &device).unwrap();
    let types = TokenTypes { segment: Some(ids.clone().remainder_scalar(2)), task: None };
    let encode = |from, n| {
        let types = TokenTypes { segment: types.segment.as_ref().map(|s| s.clone().narrow(0, from, n)), task: None };
        tower.forward(ids.clone().narrow(0, from, n), &keep.clone().narrow(0, from, n), types)
    };
    close(encode(0, count), (0..count).map(|i| encode(i, 1)).collect(), "texts");

    let towers = ClipConfig::load(&folder("clip"), Precision::F32, &device).unwrap();
    let embed = |from, n| towers.embed_texts(ids.clone().narrow(0, from, n)).unsqueeze_dim::<3>(1);
    close(embed(0, count), (0..count).map(|i| embed(i, 1)).collect(), "clip's texts");
}

#[test]
fn half_precision_is_close() {
    for precision in [Precision::Bf16, Precision::F16] {
        let golden = Golden::open("dinov2");
        let tower = Dinov2Config::load(&folder("dinov2"), precision, &Device::flex()).unwrap();
        let tokens = tower.forward(golden.floats("inputs.pixel_values")).unwrap();
        let expected = golden.floats::<3>("outputs.last_hidden_state");
        let apart = (tokens - expected).abs().mean().into_scalar::<f32>();
        assert!(apart > 1e-6 && apart < 0.02, "{precision}: {apart}");
        let golden = Golden::open("bert");
        let keep = golden.mask("inputs.attention_mask");
        let tower = BertConfig::load(&folder("bert"), precision, &Device::flex()).unwrap();
        let types = TokenTypes { segment: Some(golden.ints("inputs.token_type_ids")), task: None };
        let pooled = Pooling::Mean.pool(tower.forward(golden.ints("inputs.input_ids"), &keep, types), &keep);
        let cosine = (pooled * golden.floats::<2>("outputs.mean_pooled")).sum_dim(1).min().into_scalar::<f32>();
        assert!(cosine > 0.999, "{precision}: {cosine}");
    }
}

#[test]
fn what_is_saved_has_the_originals_names_and_loads_again() {
    let device = Device::flex();
    let dir = tempfile::tempdir().unwrap();
    let names = |path: &Path| {
        let bytes = std::fs::read(path.join("model.safetensors")).unwrap();
        let mut names: Vec<String> =
            SafeTensors::deserialize(&bytes).unwrap().names().into_iter().map(str::to_owned).collect();
        names.sort();
        let unused = ["pooler.", "embeddings.mask_token", "text_decoder.cls.predictions.decoder."];
        names.retain(|name| !unused.iter().any(|prefix| name.starts_with(prefix)));
        names
    };
    let same = |tower: &str| assert_eq!(names(&folder(tower)), names(dir.path()), "{tower}");

    let config = BertConfig::read(&folder("ernie")).unwrap();
    BertConfig::load(&folder("ernie"), Precision::F32, &device).unwrap().save(&config, dir.path()).unwrap();
    same("ernie");
    let golden = Golden::open("ernie");
    let keep = golden.mask("inputs.attention_mask");
    let again = BertConfig::load(dir.path(), Precision::F32, &device).unwrap();
    let types = TokenTypes {
        segment: Some(golden.ints("inputs.token_type_ids")),
        task: Some(golden.ints("inputs.task_type_ids")),
    };
    golden.check("outputs.last_hidden_state", again.forward(golden.ints("inputs.input_ids"), &keep, types));

    let config = Blip2Config::read(&folder("blip2")).unwrap();
    Blip2Config::load(&folder("blip2"), Precision::F32, &device).unwrap().save(&config, dir.path()).unwrap();
    same("blip2");
    Blip2Config::load(dir.path(), Precision::F32, &device).unwrap();

    let config = CaptionerConfig::read(&folder("captioner")).unwrap();
    CaptionerConfig::load(&folder("captioner"), Precision::F32, &device).unwrap().save(&config, dir.path()).unwrap();
    same("captioner");
    let golden = Golden::open("captioner");
    let again = CaptionerConfig::load(dir.path(), Precision::F32, &device).unwrap();
    let pixels = golden.floats::<4>("inputs.pixel_values");
    golden.check("outputs.logits", again.logits(pixels, golden.ints("inputs.input_ids")).unwrap());

    for tower in ["dinov2", "dinov2_swiglu", "dinov2_registers"] {
        let config = Dinov2Config::read(&folder(tower)).unwrap();
        Dinov2Config::load(&folder(tower), Precision::F32, &device).unwrap().save(&config, dir.path()).unwrap();
        same(tower);
        Dinov2Config::load(dir.path(), Precision::F32, &device).unwrap();
    }
}

#[test]
fn weights_of_another_tower_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(folder("bert").join("model.safetensors"), dir.path().join("model.safetensors")).unwrap();
    std::fs::copy(folder("ernie").join("config.json"), dir.path().join("config.json")).unwrap();
    let error = BertConfig::load(dir.path(), Precision::F32, &Device::flex()).unwrap_err();
    assert_eq!(error.kind(), counterpoint::ErrorKind::Weights);
    assert!(error.to_string().contains("task_type_embeddings"), "{error}");
}

#[test]
fn impossible_configs_are_refused() {
    let device = Device::flex();
    let heads = BertConfig { num_attention_heads: 7, ..Default::default() };
    assert!(heads.init(&device).unwrap_err().to_string().contains("768 and 7"));
    let act = Dinov2Config { hidden_act: "relu".into(), ..Default::default() };
    assert!(act.init(&device).unwrap_err().to_string().contains("relu"));
    let patch = Dinov2Config { patch_size: 0, ..Default::default() };
    assert!(patch.init(&device).unwrap_err().to_string().contains("patch_size"));
    let mut blip2 = Blip2Config::default();
    blip2.qformer_config.encoder_hidden_size = 7;
    assert!(blip2.init(&device).unwrap_err().to_string().contains("1408"));
}
