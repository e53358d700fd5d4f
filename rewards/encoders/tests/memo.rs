//! A kept embedding is a function of its text alone, to the last bit: whatever was embedded before or beside it.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::sync::Arc;

use burn::tensor::Device;
use counterpoint_encoders::bert::Pooling;
use counterpoint_encoders::{BertConfig, BertEncoder, TextMemo, TextTokenizer};
use counterpoint_weights::Precision;

/// A tower of a sentence encoder's shape, with random weights: large enough for every kernel of the matrix products.
fn tower() -> BertEncoder {
    let config = BertConfig {
        vocab_size: 64,
        hidden_size: 384,
        num_hidden_layers: 2,
        num_attention_heads: 12,
        intermediate_size: 1536,
        ..BertConfig::default()
    };
    config.init(&Device::flex()).unwrap()
}

fn tokenizer() -> TextTokenizer {
    let vocabulary: serde_json::Map<String, serde_json::Value> =
        ["[PAD]", "[UNK]", "a", "b", "c", "d", "e"].iter().zip(0..).map(|(t, i)| ((*t).into(), i.into())).collect();
    let json = serde_json::json!({
        "version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"}
    });
    TextTokenizer::from_bytes(json.to_string().as_bytes(), 40).unwrap()
}

/// Text number `i`, of 1 to 40 words.
fn text(i: usize) -> String {
    (0..=(i * 7) % 40).map(|word| ["a", "b", "c", "d", "e"][(i / 5 + word * (i + 1)) % 5]).collect::<Vec<_>>().join(" ")
}

struct Embedder {
    tower: BertEncoder,
    memo: TextMemo,
    passes: Cell<usize>,
}

impl Embedder {
    fn new(tower: &BertEncoder) -> Self {
        let memo = TextMemo::new(tokenizer(), 40, 8, Device::flex());
        Self { tower: tower.clone(), memo, passes: Cell::new(0) }
    }

    fn embed(&mut self, texts: &[String]) -> Vec<Arc<[f32]>> {
        let embedded = self.memo.embed(texts, |batch| {
            self.passes.set(self.passes.get() + 1);
            assert_eq!(batch.ids.dims()[0], 8);
            Ok(self.tower.embed(batch.ids, &batch.keep, Pooling::Mean))
        });
        embedded.unwrap()
    }
}

#[test]
fn an_embedding_does_not_depend_on_its_company() {
    let tower = tower();
    let texts: Vec<String> = (0..30).map(text).collect();
    let together = Embedder::new(&tower).embed(&texts);
    let mut in_turn = Embedder::new(&tower);
    for (text, expected) in texts.iter().zip(&together).rev() {
        assert_eq!(&in_turn.embed(std::slice::from_ref(text))[0], expected, "{text}");
    }
    let turned: Vec<String> = texts.iter().cycle().skip(11).take(30).cloned().collect();
    for (got, expected) in Embedder::new(&tower).embed(&turned).iter().zip(together.iter().cycle().skip(11)) {
        assert_eq!(got, expected);
    }
}

#[test]
fn it_is_that_of_the_text_without_padding() {
    let tower = tower();
    let texts: Vec<String> = (0..6).map(text).collect();
    for (text, got) in texts.iter().zip(Embedder::new(&tower).embed(&texts)) {
        let alone = tokenizer().encode(&[text], &Device::flex()).unwrap();
        let expected = tower.embed(alone.ids, &alone.keep, Pooling::Mean).try_into_vec_as::<f32>().unwrap();
        let apart = got.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-5, "{text}: {apart}");
    }
}

#[test]
fn a_text_is_embedded_once() {
    let mut embedder = Embedder::new(&tower());
    let texts = [text(1), text(2), text(1)];
    let first = embedder.embed(&texts);
    assert_eq!(embedder.passes.get(), 1, "8 and 15 words: one length, one pass");
    assert_eq!(first[0], first[2]);
    assert_eq!((embedder.embed(&texts), embedder.passes.get()), (first, 1));
    assert!(embedder.memo.embed(&[""], |_| unreachable!()).is_err());
    let nothing: [&str; 0] = [];
    assert!(embedder.memo.embed(&nothing, |_| unreachable!()).unwrap().is_empty());
}

#[test]
fn a_memo_may_keep_nothing() {
    let mut embedder = Embedder::new(&tower());
    embedder.memo = embedder.memo.keeping(0);
    let texts = [text(1), text(2), text(1)];
    let first = embedder.embed(&texts);
    assert_eq!((embedder.embed(&texts), embedder.passes.get()), (first, 2));
}

#[test]
fn half_precision_is_kept_alike() {
    let dir = tempfile::tempdir().unwrap();
    let config = BertConfig {
        vocab_size: 64,
        hidden_size: 48,
        num_hidden_layers: 1,
        num_attention_heads: 4,
        intermediate_size: 96,
        ..BertConfig::default()
    };
    config.init(&Device::flex()).unwrap().save(&config, dir.path()).unwrap();
    let tower = BertConfig::load(dir.path(), Precision::Bf16, &Device::flex()).unwrap();
    let texts: Vec<String> = (0..20).map(text).collect();
    let together = Embedder::new(&tower).embed(&texts);
    for (text, expected) in texts.iter().zip(&together) {
        assert_eq!(&Embedder::new(&tower).embed(std::slice::from_ref(text))[0], expected, "{text}");
    }
}
