//! Checkpoints in the published layouts, at a tiny size, against what torch and transformers make of them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod official;

use burn::tensor::Tensor;
use counterpoint_showo::{Concept, ConceptTokens, Showo, ShowoConfig, ShowoPolicy};
use counterpoint_weights::{WeightFiles, save_torch};
use official::{Expected, Folder, bits, last_logits};
use serde_json::json;

#[test]
fn a_published_folder_gives_the_logits_of_transformers() {
    let (expected, folder) = (Expected::open(), Folder::published());
    let policy = folder.load().unwrap();
    let config = policy.config();
    assert_eq!((config.phi.hidden_size, config.phi.num_hidden_layers, config.phi.qk_layernorm), (16, 2, true));
    assert_eq!((config.image_token_offset, config.mask_token_id), (805, 869));
    expected.assert_close("logits", last_logits(&policy, expected.ids("ids")));
}

#[test]
fn clip_features_are_projected_and_read_as_torch_does() {
    let expected = Expected::open();
    let policy = Folder::published().load().unwrap();
    let (model, features) = (official::decoder(&policy), expected.tensor::<3>("clip"));
    let projected = model.project_clip(features.clone()).unwrap();
    expected.assert_close("projected", projected.clone());
    let text = model.embed(expected.ids("ids").narrow(1, 0, 4));
    let embeddings = Tensor::cat(vec![text, projected], 1);
    let hidden = model.forward_embeddings(embeddings, official::causal(9)).narrow(1, 6, 3);
    expected.assert_close("clip_logits", model.logits(hidden).squeeze_dim::<2>(0));

    let error = model.project_clip(features.narrow(2, 0, 8)).unwrap_err().to_string();
    assert!(error.contains("expected CLIP features of width 24, got 8"), "{error}");
    let mut without = policy.config().clone();
    without.w_clip_vit = false;
    let model = without.init(policy.device()).unwrap();
    assert!(model.project_clip(expected.tensor("clip")).unwrap_err().to_string().contains("w-clip-vit"));
}

#[test]
fn other_names_formats_and_places_are_read_alike() {
    let expected = Expected::open();
    let folder = Folder::published();
    let files = WeightFiles::open(&folder.path("pytorch_model.bin")).unwrap();
    let tensors: Vec<_> = files.tensors().iter().map(|t| (t.name.clone(), files.read(&t.name).unwrap())).collect();
    std::fs::remove_file(folder.path("pytorch_model.bin")).unwrap();
    counterpoint_weights::save_tensors(&folder.path("model.safetensors"), &tensors, &Default::default()).unwrap();
    // The tokenizer beside the weights, and the image tokenizer as torch writes it, with its code table.
    for name in ["vocab.json", "merges.txt", "added_tokens.json"] {
        std::fs::rename(folder.path("phi-1_5").join(name), folder.path(name)).unwrap();
    }
    let magvit = folder.path("magvitv2/model.safetensors");
    let files = WeightFiles::open(&magvit).unwrap();
    let tensors: Vec<_> = files.tensors().iter().map(|t| (t.name.clone(), files.read(&t.name).unwrap())).collect();
    assert!(tensors.iter().any(|(name, data)| name == "quantize.power_vals" && data.dtype().is_int()));
    std::fs::remove_file(&magvit).unwrap();
    save_torch(&folder.path("magvitv2/pytorch_model.bin"), &tensors).unwrap();
    let policy = folder.load().unwrap();
    expected.assert_close("logits", last_logits(&policy, expected.ids("ids")));
}

#[test]
fn concept_files_are_inserted_as_unictokens_does_and_written_bit_for_bit() {
    let expected = Expected::open();
    let folder = Folder::published();
    let policy = folder.with_bo().load(&Folder::device()).unwrap();
    let config = policy.config().clone();
    assert_eq!((config.vocab_size, config.image_token_offset, config.mask_token_id), (895, 830, 894));
    expected.assert_close("concept_logits", last_logits(&policy, expected.ids("concept_ids")));

    let bo = ConceptTokens::of(&official::decoder(&policy), &config, "bo").unwrap();
    for (key, data) in
        [("embed", &bo.embed), ("lm_head_weight", &bo.lm_head_weight), ("lm_head_bias", &bo.lm_head_bias)]
    {
        assert_eq!(bits(data), bits(&expected.data(key)), "{key} in the model");
        let file = WeightFiles::open(&official::fixtures().join(format!("published_tiny/epoch_15_{key}.pt"))).unwrap();
        assert_eq!(bits(&file.read(&file.tensors()[0].name).unwrap()), bits(data), "{key} of torch.save");
    }
    let out = folder.path("out");
    bo.save(&out, 3).unwrap();
    let torch = ConceptTokens::load(Concept::new("bo"), &out, 3).unwrap();
    for part in ["embed", "lm_head_weight", "lm_head_bias"] {
        std::fs::remove_file(out.join(format!("epoch_3_{part}.pt"))).unwrap();
    }
    let safetensors = ConceptTokens::load(Concept::new("bo"), &out, 3).unwrap();
    for back in [torch, safetensors] {
        assert_eq!(bits(&back.embed), bits(&bo.embed));
        assert_eq!(bits(&back.lm_head_weight), bits(&bo.lm_head_weight));
        assert_eq!(bits(&back.lm_head_bias), bits(&bo.lm_head_bias));
    }
}

#[test]
fn a_concept_from_words_begins_as_in_unictokens() {
    let expected = Expected::open();
    let policy = Folder::published().load().unwrap();
    let (config, model, text) = (policy.config(), official::decoder(&policy), policy.text_tokenizer().unwrap());
    let words = ["cat", "of", "the", "white", "house"].map(String::from);
    let made = ConceptTokens::from_words(Concept::new("bo"), config, &model, text, &words).unwrap();
    expected.assert_close("init_embed", Tensor::<2>::from_data(made.embed.clone(), policy.device()));
    assert_eq!(bits(&made.lm_head_weight), bits(&expected.data("init_lm_head_weight")));
    assert_eq!(bits(&made.lm_head_bias), bits(&expected.data("init_lm_head_bias")));
    let error = ConceptTokens::from_words(Concept::new("bo"), config, &model, text, &[]).unwrap_err().to_string();
    assert!(error.contains("expected words to begin from"), "{error}");
}

#[test]
fn an_export_loads_back_equal() {
    let expected = Expected::open();
    let folder = Folder::published();
    let policy = folder.with_bo().load(&Folder::device()).unwrap();
    let out = folder.path("export");
    policy.export(&out, None).unwrap();
    let back = ShowoPolicy::load(&out, &Folder::device()).unwrap();
    assert_eq!(back.config(), policy.config());
    let ids = || expected.ids("concept_ids");
    assert_eq!(bits(&last_logits(&back, ids()).into_data()), bits(&last_logits(&policy, ids()).into_data()));
    let text = |policy: &ShowoPolicy| policy.text_tokenizer().unwrap().encode("a photo of <bo>.").unwrap();
    assert_eq!(text(&back), text(&policy));

    // The decoder has the tensors of the published file, bit for bit, and the config its numbers.
    let [from, to] = [folder.path("pytorch_model.bin"), out.join("pytorch_model.safetensors")]
        .map(|path| WeightFiles::open(&path).unwrap());
    let names = |files: &WeightFiles| files.tensors().iter().map(|t| t.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&from), names(&to));
    for name in names(&from) {
        assert_eq!(bits(&from.read(&name).unwrap()), bits(&to.read(&name).unwrap()), "{name}");
    }
    let file = |path| -> serde_json::Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let (published, exported) = (file(folder.path("config.json")), file(out.join("config.json")));
    for key in ["_class_name", "w_clip_vit", "vocab_size", "llm_vocab_size", "llm_model_path", "codebook_size"] {
        assert_eq!(published[key], exported[key], "{key}");
    }
    for key in ["num_vq_tokens", "load_from_showo", "mask_token_id", "num_new_special_tokens"] {
        assert_eq!(published[key], exported[key], "{key}");
    }

    let half = folder.path("half");
    policy.export(&half, Some(burn::tensor::FloatDType::BF16)).unwrap();
    let files = WeightFiles::open(&half.join("pytorch_model.safetensors")).unwrap();
    assert!(files.tensors().iter().all(|t| t.dtype == burn::tensor::DType::BF16));
}

#[test]
fn names_and_shapes_of_the_full_size_are_the_originals() {
    let names: serde_json::Value =
        serde_json::from_slice(&std::fs::read(official::fixtures().join("published_names.json")).unwrap()).unwrap();
    let config = ShowoConfig::published(1024, true);
    let mut decoder = official::Shapes::default();
    burn::module::Module::visit(&config.init(&Folder::device()).unwrap(), &mut decoder);
    for (name, shape) in names["showo"].as_object().unwrap() {
        let layers = if name.contains(".layers.0.") { 24 } else { 1 };
        for layer in 0..layers {
            let name = name.replace(".layers.0.", &format!(".layers.{layer}."));
            assert_eq!(json!(decoder.0.remove(&name)), *shape, "{name}");
        }
    }
    assert!(decoder.0.is_empty(), "{:?}", decoder.0);
    let mut image = official::Shapes::default();
    burn::module::Module::visit(&config.magvitv2.init(&Folder::device()), &mut image);
    for (name, shape) in names["magvitv2"].as_object().unwrap() {
        if !name.starts_with("quantize.") {
            assert_eq!(json!(image.0.remove(name)), *shape, "{name}");
        }
    }
    assert!(image.0.is_empty(), "{:?}", image.0);
}

#[test]
fn a_config_of_another_variant_is_named_with_the_weights() {
    let cases = [
        (json!({"w_clip_vit": false}), "it has mm_projector.0.weight, the config says w_clip_vit false"),
        (json!({"clip_width": 1024}), "features of width 24, the config says clip_width 1024"),
        (json!({"llm_model_path": "elsewhere"}), "has width 16, the config says hidden_size 2048"),
        (json!({"vocab_size": 871}), "vocab_size: expected 870 (text + codes + mask), got 871"),
        (json!({"codebook_size": 8192, "vocab_size": 8998, "mask_token_id": 8997}), "codebook_size: expected 64"),
        (json!({"num_vq_tokens": "many"}), "num_vq_tokens: expected a whole number"),
        (json!({"num_vq_tokens": 1024}), "max_position_embeddings: expected at least"),
        (json!({"llm_vocab_size": 700, "vocab_size": 775, "mask_token_id": 774}), "bos_id: expected an id below"),
    ];
    for (change, expected) in cases {
        let folder = Folder::published();
        folder.change("config.json", &change);
        if change.get("llm_model_path").is_some() {
            std::fs::rename(folder.path("phi-1_5"), folder.path("elsewhere-kept")).unwrap();
            folder.copy_tokenizer("");
        }
        let error = folder.load().err().unwrap().to_string();
        assert!(error.contains(expected), "{change}: {error}");
    }
    let cases = [
        (json!({"num_key_value_heads": 1}), "num_key_value_heads: expected 2"),
        (json!({"rope_scaling": {"type": "linear", "factor": 2.0}}), "rope_scaling: expected none"),
        (json!({"hidden_act": "silu"}), "hidden_act: expected gelu_new or gelu, got \"silu\""),
        (json!({"model_type": "llama"}), "model_type: expected \"phi\", got \"llama\""),
        (json!({"intermediate_size": 41}), "mlp.fc1"),
        (json!({"num_hidden_layers": 3}), "showo.model.layers.2"),
    ];
    for (change, expected) in cases {
        let folder = Folder::published();
        folder.change("phi-1_5/config.json", &change);
        let error = folder.load().err().unwrap().to_string();
        assert!(error.contains(expected), "{change}: {error}");
    }
}

#[test]
fn concepts_that_do_not_fit_are_refused() {
    let folder = Folder::published();
    let mut files = folder.with_bo();
    files.concepts[0].generation = 16;
    let error = files.load(&Folder::device()).err().unwrap().to_string();
    assert!(error.contains("embed: expected shape [33, 16]") && error.contains("got [25, 16]"), "{error}");
    files = folder.with_bo();
    files.concepts[0].epoch = 20;
    let error = files.load(&Folder::device()).err().unwrap().to_string();
    assert!(error.contains("epoch_20_embed.pt"), "{error}");

    // Saved with its concepts, loaded without them.
    let policy = folder.with_bo().load(&Folder::device()).unwrap();
    std::fs::remove_file(folder.path("pytorch_model.bin")).unwrap();
    official::decoder(&policy).save(&folder.path("model.safetensors")).unwrap();
    let error = folder.load().err().unwrap().to_string();
    assert!(error.contains("has 895 rows, the config says vocab_size 870; it has 25 tokens more"), "{error}");
    assert!(error.contains("num_concept_tokens 25"), "{error}");
    // As the error says.
    folder.change(
        "config.json",
        &json!({"num_concept_tokens": 25, "concepts": [{"name": "bo"}], "vocab_size": 895, "mask_token_id": 894}),
    );
    let expected = Expected::open();
    expected.assert_close("concept_logits", last_logits(&folder.load().unwrap(), expected.ids("concept_ids")));
    // Twice the same.
    let error = folder.with_bo().load(&Folder::device()).err().unwrap().to_string();
    assert!(error.contains("concept bo: the token <bo> is there already"), "{error}");
    // And the other way round.
    let other = Folder::published();
    std::fs::copy(other.path("pytorch_model.bin"), folder.path("pytorch_model.bin")).unwrap();
    std::fs::remove_file(folder.path("model.safetensors")).unwrap();
    let error = folder.load().err().unwrap().to_string();
    assert!(error.contains("has 870 rows, the config says vocab_size 895"), "{error}");
    assert!(error.contains("num_concept_tokens 0"), "{error}");
}

#[test]
fn missing_files_are_named() {
    for (file, expected) in [
        ("pytorch_model.bin", "expected one of model.safetensors"),
        ("magvitv2", "expected magvitv2.safetensors or a folder magvitv2"),
        ("phi-1_5", "they are those of microsoft/phi-1_5"),
        ("config.json", "config.json"),
    ] {
        let folder = Folder::published();
        std::fs::rename(folder.path(file), folder.path("moved")).unwrap();
        let error = folder.load().err().unwrap().to_string();
        assert!(error.contains(expected), "{file}: {error}");
    }
    let config = ShowoConfig::published(256, false);
    let error = Showo::load(&config, &Folder::published().path("magvitv2"), &Folder::device()).unwrap_err().to_string();
    assert!(error.contains("does not fit this model"), "{error}");
}
