//! `[policy] kind = "showo"`: every way to say where a model comes from.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod official;

use counterpoint::registry::{self, BuildContext};
use counterpoint_showo::{ModelFiles, ShowoPolicy};
use official::{Expected, Folder, bits, fixtures, last_logits};

fn context(folder: &Folder) -> BuildContext {
    BuildContext::new(Folder::device(), folder.path(""))
}

fn built(folder: &Folder, settings: &str) -> counterpoint::Result<()> {
    registry::policy("showo", &toml::from_str(settings).unwrap(), &context(folder)).map(|policy| {
        assert_eq!(policy.kind(), "showo");
    })
}

#[track_caller]
fn refused(folder: &Folder, settings: &str, why: &[&str]) {
    let error = built(folder, settings).err().unwrap_or_else(|| panic!("{settings} was taken")).to_string();
    assert!(why.iter().all(|why| error.contains(why)), "{settings}: {error}");
}

#[test]
fn a_model_folder_with_parts_from_elsewhere_and_concepts() {
    let folder = Folder::published();
    built(&folder, "model = '.'").unwrap();
    std::fs::rename(folder.path("magvitv2/model.safetensors"), folder.path("image.safetensors")).unwrap();
    std::fs::rename(folder.path("phi-1_5"), folder.path("text")).unwrap();
    refused(&folder, "model = '.'", &["magvitv2"]);
    let bo = fixtures().join("published_tiny");
    let parts = format!(
        "model = '.'\nimage_tokenizer = 'image.safetensors'\ntokenizer = 'text'\n\
         concepts = [{{ name = 'bo', files = '{}', epoch = 15 }}, {{ name = 'mo', words = ['cat'] }}, {{ name = 'x', seed = 1 }}]",
        bo.display()
    );
    built(&folder, &parts).unwrap();
    refused(&folder, &parts.replace("'mo'", "'bo'"), &["concept bo: the token <bo> is there already"]);
    refused(
        &folder,
        &parts.replace("epoch = 15", "epoch = 15, seed = 1"),
        &["policy.concepts bo", "expected one of: `files`"],
    );
    refused(&folder, &parts.replace(", epoch = 15", ""), &["policy.concepts bo", "`epoch`"]);
    refused(
        &folder,
        &parts.replace("seed = 1", "seed = 1, words = []"),
        &["policy.concepts x", "expected one of: `files`"],
    );
    refused(&folder, &parts.replace("['cat']", "[]"), &["concept mo: expected words"]);
}

#[test]
fn fresh_concepts_depend_on_their_seed() {
    let folder = Folder::published();
    let with = |seed: u64| {
        let mut files = ModelFiles::in_folder(&folder.path("")).unwrap();
        let concept = counterpoint_showo::Concept::new("x");
        files.fresh.push(counterpoint_showo::FreshConcept { concept, words: None, images: Vec::new(), seed });
        files.load(&Folder::device()).unwrap()
    };
    let rows = |policy: &ShowoPolicy| {
        counterpoint_showo::ConceptTokens::of(&official::decoder(policy), policy.config(), "x").unwrap()
    };
    let (one, again, two) = (rows(&with(1)), rows(&with(1)), rows(&with(2)));
    assert_eq!(bits(&one.embed), bits(&again.embed));
    assert_ne!(bits(&one.embed), bits(&two.embed));
    assert_ne!(bits(&one.embed), bits(&one.lm_head_weight));
    let values: Vec<f32> = one.embed.try_to_vec().unwrap();
    let variance = values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32;
    // Four standard deviations of the estimate from 400 values.
    assert!((variance.sqrt() / 0.02 - 1.0).abs() < 4.0 / 800.0_f32.sqrt(), "{}", variance.sqrt());
    assert!(one.lm_head_bias.try_to_vec::<f32>().unwrap().iter().all(|&b| b == 0.0));
}

#[test]
fn a_checkpoint_of_the_hub_is_found_in_the_local_folder() {
    let expected = Expected::open();
    let folder = Folder::published();
    let name = "weights = 'hf:showlab/show-o-w-clip-vit'";
    for (from, to) in [("magvitv2", "showlab/magvitv2"), ("phi-1_5", "microsoft/phi-1_5")] {
        let to = folder.path("weights").join(to);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::rename(folder.path(from), to).unwrap();
    }
    let model = folder.path("weights/showlab/show-o-w-clip-vit");
    std::fs::create_dir(&model).unwrap();
    for file in ["config.json", "pytorch_model.bin"] {
        std::fs::rename(folder.path(file), model.join(file)).unwrap();
    }
    built(&folder, name).unwrap();
    let files = files_of(&folder);
    let policy = files.load(&Folder::device()).unwrap();
    expected.assert_close("logits", last_logits(&policy, expected.ids("ids")));
}

fn files_of(folder: &Folder) -> ModelFiles {
    let weights = folder.path("weights");
    ModelFiles {
        config: weights.join("showlab/show-o-w-clip-vit/config.json"),
        llm_config: Some(weights.join("microsoft/phi-1_5/config.json")),
        weights: weights.join("showlab/show-o-w-clip-vit/pytorch_model.bin"),
        image_tokenizer: weights.join("showlab/magvitv2/model.safetensors"),
        tokenizer: weights.join("microsoft/phi-1_5"),
        concepts: Vec::new(),
        fresh: Vec::new(),
    }
}

#[cfg(not(feature = "hf-hub"))]
#[test]
fn without_the_hub_the_files_and_their_places_are_named() {
    let folder = Folder::published();
    let place = |name: &str| folder.path("weights").join(name).display().to_string();
    refused(
        &folder,
        "weights = 'hf:showlab/show-o-512x512'",
        &[
            "showlab/show-o-512x512 is not on this machine",
            "without the feature hf-hub",
            "put its config.json and model.safetensors",
            &place("showlab/show-o-512x512"),
            "showlab/magvitv2 is not",
            &place("showlab/magvitv2"),
            "microsoft/phi-1_5 is not",
            "added_tokens.json",
            &place("microsoft/phi-1_5"),
        ],
    );
}

#[test]
fn what_contradicts_itself_is_refused() {
    let folder = Folder::published();
    refused(&folder, "", &["expected `model` (a folder) or `weights`"]);
    refused(&folder, "model = '.'\nweights = 'hf:a/b'", &["got both"]);
    refused(&folder, "weights = 'folder'", &["policy.weights", "write model = \"folder\""]);
    refused(&folder, "weights = 'hf:folder'", &["policy.weights", "hf:OWNER/NAME"]);
    refused(&folder, "model = '.'\ntokenizer = 'hf:x'", &["policy.tokenizer", "hf:OWNER/NAME"]);
    refused(&folder, "model = '.'\ntokeniser = 'x'", &["tokeniser"]);
    refused(&folder, "model = 'nowhere'", &["nowhere"]);
}
