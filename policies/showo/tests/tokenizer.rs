//! The text tokenizer against Hugging Face's, from each form in which it is published.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use counterpoint_showo::{Concept, ShowoConfig, TextTokenizer};
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/phi_tokenizer")
}

fn expected() -> Value {
    serde_json::from_slice(&std::fs::read(folder().join("expected.json")).unwrap()).unwrap()
}

/// A published config whose language model has this vocabulary.
fn config(dir: &Path) -> ShowoConfig {
    let end = expected()["special"]["<|endoftext|>"].as_u64().unwrap();
    let llm = end + 39;
    let file = json!({
        "_class_name": "Showo", "w_clip_vit": false, "llm_vocab_size": llm, "vocab_size": llm + 10 + 8192 + 1,
        "codebook_size": 8192, "num_vq_tokens": 256, "mask_token_id": llm + 10 + 8192, "bos_id": end, "eos_id": end,
    });
    let path = dir.join("config.json");
    std::fs::write(&path, file.to_string()).unwrap();
    ShowoConfig::load(&path).unwrap()
}

fn copied(names: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in names {
        std::fs::copy(folder().join(name), dir.path().join(name)).unwrap();
    }
    dir
}

const FILES: [&str; 3] = ["vocab.json", "merges.txt", "added_tokens.json"];

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

#[test]
fn ids_are_those_of_hugging_face_from_every_form() {
    let expected = expected();
    for names in [&["tokenizer.json"][..], &FILES] {
        let dir = copied(names);
        let config = config(dir.path());
        let tokenizer = TextTokenizer::load(dir.path(), &config).unwrap();
        let saved = dir.path().join("completed.json");
        tokenizer.save(&saved).unwrap();
        let completed = TextTokenizer::load(&saved, &config).unwrap();
        let strings = expected["strings"].as_array().unwrap();
        assert_eq!(strings.len(), 200);
        for (text, want) in strings.iter().zip(expected["ids"].as_array().unwrap()) {
            let text = text.as_str().unwrap();
            assert_eq!(tokenizer.encode(text).unwrap(), ids(want), "{text:?}");
            assert_eq!(completed.encode(text).unwrap(), ids(want), "{text:?} after saving");
            let special = ["[PAD]", "<|"].iter().any(|s| text.contains(s));
            assert!(special || tokenizer.decode(&ids(want)).unwrap() == text.trim(), "{text:?}");
        }
    }
}

#[test]
fn special_tokens_have_the_official_ids() {
    let dir = copied(&FILES);
    let config = config(dir.path());
    for (name, id) in config.special_token_ids.named() {
        assert_eq!(json!(id), expected()["special"][name], "{name}");
    }
    let full = ShowoConfig::published(1024, true);
    full.validate().unwrap();
    assert_eq!(
        (full.special_token_ids.pad, full.special_token_ids.soi, full.special_token_ids.lvg),
        (50295, 50296, 50304)
    );
    assert_eq!((full.vocab_size, full.image_token_offset, full.mask_token_id), (58498, 50305, 58497));
    assert_eq!((full.image_size(), full.t2i_length()), (512, 129 + 1024 + 2));
}

#[test]
fn concepts_are_written_as_unictokens_does() {
    let expected = &expected()["concepts"];
    let dir = copied(&FILES);
    let plain = config(dir.path());
    let config = plain.with_concepts(&[Concept::new("bo")]).unwrap();
    assert_eq!(config.vocab_size, plain.vocab_size + 25);
    assert_eq!(config.image_token_offset, plain.image_token_offset + 25);
    let tokenizer = TextTokenizer::load(dir.path(), &config).unwrap();
    let range: Vec<u32> = config.concept_ids("bo").unwrap().map(|id| id as u32).collect();
    assert_eq!(range, ids(&expected["ids"]));
    let text = |sort: &str, i: usize| expected[sort][i].as_str().unwrap().to_owned();
    assert_eq!(tokenizer.encode(&text("generation", 0)).unwrap(), ids(&expected["generation"][2]));
    // Written out with UniCTokens' names.
    assert_eq!(tokenizer.encode(&text("generation", 1)).unwrap(), ids(&expected["generation"][2]));
    assert_eq!(tokenizer.encode_question(&text("understanding", 0)).unwrap(), ids(&expected["understanding"][2]));
    assert_eq!(tokenizer.decode(&tokenizer.encode("a photo of <bo>.").unwrap()).unwrap(), "a photo of  <bo>.");
    assert_eq!(config.without_concepts().vocab_size, plain.vocab_size);
}

#[test]
fn several_concepts_follow_each_other() {
    let dir = copied(&FILES);
    let plain = config(dir.path());
    let small =
        |name: &str, understanding, generation| Concept { name: name.into(), understanding, generation, perception: 0 };
    let config = plain.with_concepts(&[small("bo", 2, 1), small("ada", 1, 0)]).unwrap();
    let tokenizer = TextTokenizer::load(dir.path(), &config).unwrap();
    let first = plain.text_vocab_size as u32;
    assert_eq!(config.concept_ids("ada").unwrap(), plain.text_vocab_size + 4..plain.text_vocab_size + 6);
    let (bo, ada) = (first, first + 4);
    let found: Vec<u32> = tokenizer.encode("<bo>,<ada>").unwrap().into_iter().filter(|&id| id >= first).collect();
    assert_eq!(found, [bo + 1, bo + 2, bo + 3, bo, ada + 1, ada]);
    let found: Vec<u32> =
        tokenizer.encode_question("who is <ada>?").unwrap().into_iter().filter(|&id| id >= first).collect();
    assert_eq!(found, [ada, ada + 1, ada]);
    for (name, why) in [("bo", "there already"), ("<x>", "a name without `<`"), ("bo_1", "")] {
        let result = config.with_concepts(&[small(name, 0, 0)]);
        match (why, result) {
            (_, Err(error)) => assert!(error.to_string().contains(why), "{error}"),
            (_, Ok(_)) => panic!("{name} was taken"),
        }
    }
}

#[test]
fn a_tokenizer_of_another_vocabulary_is_refused() {
    let dir = copied(&FILES[..2]);
    let config = config(dir.path());
    let error = TextTokenizer::load(dir.path(), &config).unwrap_err().to_string();
    assert!(
        error.contains("expected a tokenizer of 795 tokens, got 757") && error.contains("added_tokens.json"),
        "{error}"
    );

    let dir = copied(&FILES);
    let mut other = config.clone();
    other.eos_id = 3;
    let error = TextTokenizer::load(dir.path(), &other).unwrap_err().to_string();
    assert!(error.contains("expected id 3 (eos_id), got 756"), "{error}");
    let gap = std::fs::read_to_string(dir.path().join("added_tokens.json")).unwrap().replace("757", "1757");
    std::fs::write(dir.path().join("added_tokens.json"), gap).unwrap();
    let error = TextTokenizer::load(dir.path(), &config).unwrap_err().to_string();
    assert!(error.contains("added_tokens.json") && error.contains("expected id 758, got id 757"), "{error}");

    // Completed for one model, loaded for another.
    let dir = copied(&["tokenizer.json"]);
    let saved = dir.path().join("completed.json");
    TextTokenizer::load(dir.path(), &config).unwrap().save(&saved).unwrap();
    let full = ShowoConfig::published(256, false);
    let error = TextTokenizer::load(&saved, &full).unwrap_err().to_string();
    assert!(error.contains("completed.json") && error.contains("belong to different models"), "{error}");
    let error = TextTokenizer::load(tempfile::tempdir().unwrap().path(), &config).unwrap_err().to_string();
    assert!(error.contains("expected tokenizer.json, or vocab.json and merges.txt"), "{error}");
}
