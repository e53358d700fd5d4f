//! Every number of the fixture that needs no training, against transformers' Janus (`janus_tiny`; any other folder of its schema by
//! `COUNTERPOINT_JANUS`).
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "common/golden.rs"]
mod golden;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use counterpoint_janus::{JanusConfig, KvCache};
use counterpoint_weights::Precision;
use golden::{Golden, close, folder};

fn ints(rows: &[Vec<u32>]) -> Tensor<2, Int> {
    let flat: Vec<i32> = rows.iter().flatten().map(|&id| id as i32).collect();
    Tensor::from_data(TensorData::new(flat, [rows.len(), rows[0].len()]), &Device::flex())
}

fn chosen(logits: &Tensor<3>, codes: &[Vec<u32>]) -> Tensor<2> {
    log_softmax(logits.clone(), 2).gather(2, ints(codes).unsqueeze_dim::<3>(2)).squeeze_dim(2)
}

#[test]
fn an_image_is_read_as_by_transformers() {
    let golden = Golden::open();
    let pixels = golden.floats::<4>("und.pixel_values");
    close("und.vision_hidden", golden.model.vision_states(pixels.clone()).unwrap(), golden.floats("und.vision_hidden"));
    let features = golden.model.read(pixels).unwrap();
    close("und.image_features", features.clone(), golden.floats("und.image_features"));

    let ids = golden.rows("und.input_ids");
    let embedded = golden.model.embed_text(&ids, Some(features.clone())).unwrap();
    let mut attended = vec![vec![true; ids[0].len()]];
    let mut past = KvCache::default();
    let hidden = golden.model.forward(embedded, &attended, &mut past);
    let logits = golden.model.text_logits(hidden);
    close("und.logits", logits.clone(), golden.floats("und.logits"));

    // The greedy continuation, token by token on the keys and values of what was read.
    let expected = golden.floats::<1>("und.greedy_logps");
    let file_ids = golden.rows("und.greedy_ids").concat();
    let mut next = logits.clone().narrow(1, logits.dims()[1] - 1, 1);
    let mut log_probs = Vec::new();
    for &id in &file_ids {
        let best = next.clone().argmax(2).into_data().iter::<i64>().next().unwrap();
        assert_eq!(best as u32, id);
        log_probs.push(chosen(&next, &[vec![id]]).reshape([1]));
        attended[0].push(true);
        let embedded = golden.model.embed_text(&[vec![id]], None).unwrap();
        next = golden.model.text_logits(golden.model.forward(embedded, &attended, &mut past));
    }
    close("und.greedy_logps", Tensor::cat(log_probs, 0), expected);
    let few = golden.model.embed_text(&[ids[0][..4].to_vec()], Some(features)).unwrap_err().to_string();
    assert!(few.contains("as many image tokens"), "{few}");
}

/// Conditional and unconditional scores of all codes, one after the other from the prompts on; `codes` enter as they are.
fn scores(golden: &Golden, prompts: &[Vec<u32>], codes: &[Vec<u32>]) -> Tensor<3> {
    let mask = golden.rows("gen.attention_mask");
    let count = codes[0].len();
    let kept = |row: &Vec<u32>| row.iter().map(|&kept| kept == 1).chain(vec![true; count - 1]).collect();
    let attended: Vec<Vec<bool>> = mask.iter().map(kept).collect();
    let prompt = golden.model.embed_text(prompts, None).unwrap();
    let all = ints(codes).narrow(1, 0, count - 1);
    let embedded = Tensor::cat(vec![prompt, golden.model.embed_codes(all)], 1);
    let hidden = golden.model.forward(embedded, &attended, &mut KvCache::default());
    // Code 0 is predicted where the prompt ends.
    golden.model.code_logits(hidden.narrow(1, prompts[0].len() - 1, count))
}

#[test]
fn an_image_is_written_as_by_transformers() {
    let golden = Golden::open();
    let codes = golden.rows("gen.codes");
    assert_eq!(codes[0].len(), golden.config.image_tokens());
    let conditional = scores(&golden, &golden.rows("gen.prompt_ids"), &codes);
    let unconditional = scores(&golden, &golden.rows("gen.uncond_ids"), &codes);
    close("gen.cond_logits", conditional.clone(), golden.floats("gen.cond_logits"));
    close("gen.uncond_logits", unconditional.clone(), golden.floats("gen.uncond_logits"));
    let weight = f64::from(golden.number("guidance_weight"));
    let guided = unconditional.clone() + (conditional.clone() - unconditional) * weight;
    close("gen.guided_logits", guided.clone(), golden.floats("gen.guided_logits"));
    close("gen.guided_logps", chosen(&guided, &codes), golden.floats("gen.guided_logps"));
    close("gen.cond_logps", chosen(&conditional, &codes), golden.floats("gen.cond_logps"));
}

#[test]
fn greedy_images_are_those_of_transformers() {
    let golden = Golden::open();
    let weight = f64::from(golden.number("guidance_weight"));
    let prompts = [golden.rows("gen.prompt_ids"), golden.rows("gen.uncond_ids")].concat();
    let mask = golden.rows("gen.attention_mask");
    let mut attended: Vec<Vec<bool>> =
        mask.iter().chain(&mask).map(|row| row.iter().map(|&kept| kept == 1).collect()).collect();
    let batch = mask.len();
    let expected = golden.rows("gen.greedy_codes");
    let mut past = KvCache::default();
    let prompt = golden.model.embed_text(&prompts, None).unwrap();
    let mut hidden = golden.model.forward(prompt, &attended, &mut past);
    for place in 0..golden.config.image_tokens() {
        let last = hidden.dims()[1] - 1;
        let logits = golden.model.code_logits(hidden.narrow(1, last, 1));
        let (conditional, unconditional) = (logits.clone().narrow(0, 0, batch), logits.narrow(0, batch, batch));
        let guided = unconditional.clone() + (conditional - unconditional) * weight;
        let codes = guided.argmax(2).squeeze_dim::<2>(2);
        let got: Vec<i64> = codes.clone().into_data().iter().collect();
        let want: Vec<i64> = expected.iter().map(|row| i64::from(row[place])).collect();
        assert_eq!(got, want, "code {place}");
        attended.iter_mut().for_each(|row| row.push(true));
        let embedded = golden.model.embed_codes(codes.repeat_dim(0, 2));
        hidden = golden.model.forward(embedded, &attended, &mut past);
    }
    assert_eq!(past.len(), attended[0].len());
}

#[test]
fn the_tokenizer_is_that_of_transformers() {
    let golden = Golden::open();
    let pixels = golden.floats::<4>("vq.pixels");
    close("vq.latent", golden.tokenizer.latents(pixels.clone()).unwrap(), golden.floats("vq.latent"));
    let codes: Vec<i64> = golden.tokenizer.encode(pixels).unwrap().into_data().iter().collect();
    let expected: Vec<i64> = golden.rows("vq.codes").concat().into_iter().map(i64::from).collect();
    assert_eq!(codes, expected);
    let decoded = golden.tokenizer.decode(ints(&golden.rows("gen.codes"))).unwrap();
    close("vq.decoded", decoded, golden.floats("vq.decoded"));
    let error = golden.tokenizer.decode(Tensor::zeros([1, 5], &Device::flex())).unwrap_err();
    assert!(error.to_string().contains("image codes, got 5"), "{error}");
}

#[test]
fn a_config_whose_numbers_do_not_agree_is_refused_by_key() {
    let good = JanusConfig::read(&folder().join("config.json")).unwrap();
    let refused = |change: &dyn Fn(&mut JanusConfig)| {
        let mut config = good.clone();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    assert!(refused(&|c| c.text_config.num_key_value_heads = Some(3)).contains("num_key_value_heads"));
    assert!(refused(&|c| c.vision_config.projection_dim = 7).contains("vision_config.projection_dim: expected"));
    assert!(refused(&|c| c.vq_config.base_channels = 20).contains("32 groups"));
    assert!(refused(&|c| c.image_token_id = 150).contains("image_token_id"));
    let mut other = good.clone();
    other.vq_config.num_embeddings = 65;
    let error =
        other.load(&folder().join("model.safetensors"), Precision::F32, &Device::flex()).unwrap_err().to_string();
    assert!(error.contains("generation_embeddings.weight"), "{error}");
}
