//! Show-o, its image tokenizer and the files of its language model.

use std::fs;
use std::path::Path;

use burn::tensor::Device;
use counterpoint::Result;
use counterpoint_showo::{MagvitConfig, PhiConfig, ShowoConfig, ShowoPolicy, SpecialTokens, TextTokenizer};

use crate::cannot_write;

/// A byte-level tokenizer in the files of Phi-1.5: any text, few merges.
const TOKENIZER: [(&str, &str); 3] = [
    ("vocab.json", include_str!("../../policies/showo/tests/fixtures/phi_tokenizer/vocab.json")),
    ("merges.txt", include_str!("../../policies/showo/tests/fixtures/phi_tokenizer/merges.txt")),
    ("added_tokens.json", include_str!("../../policies/showo/tests/fixtures/phi_tokenizer/added_tokens.json")),
];
/// Its tokens, and the one that ends a text.
const TOKENS: usize = 795;
const END_OF_TEXT: u32 = 756;

/// 128 pixels a side, 64 image tokens of 8192 codes, 3 million parameters.
fn config() -> Result<ShowoConfig> {
    let mut config = ShowoConfig::published(64, false);
    config.llm_vocab_size = TOKENS;
    config.special_token_ids = SpecialTokens::after(TOKENS as u32);
    (config.bos_id, config.eos_id) = (END_OF_TEXT, END_OF_TEXT);
    config.phi = PhiConfig {
        hidden_size: 128,
        intermediate_size: 512,
        num_hidden_layers: 4,
        num_attention_heads: 4,
        max_position_embeddings: 1024,
        ..PhiConfig::phi_1_5()
    };
    config.magvitv2 = MagvitConfig {
        ch: 16,
        group_norm_groups: 16,
        num_res_blocks: vec![1; 5],
        decoder_num_res_blocks: Some(vec![1; 5]),
        ..MagvitConfig::published()
    };
    // The other numbers of the vocabulary follow.
    config.with_concepts(&[])
}

/// Writes `showo`, `magvitv2` and `phi-1_5`, as three repositories of the hub have them.
pub(crate) fn write(out: &Path, device: &Device) -> Result<()> {
    let config = config()?;
    let language = out.join("phi-1_5");
    for (name, text) in TOKENIZER {
        crate::write(&language.join(name), text)?;
    }
    let text = TextTokenizer::load(&language, &config)?;
    let image = config.magvitv2.init(device);
    let policy = ShowoPolicy::new(config.clone(), config.init(device)?, Some(text), image, device)?;
    let showo = out.join("showo");
    policy.export(&showo, None)?;
    // Published apart from the decoder.
    let (from, to) = (showo.join("magvitv2.safetensors"), out.join("magvitv2/model.safetensors"));
    fs::create_dir_all(out.join("magvitv2")).map_err(|e| cannot_write(&to, e))?;
    fs::rename(&from, &to).map_err(|e| cannot_write(&to, e))?;
    let whole = showo.join("tokenizer.json");
    fs::remove_file(&whole).map_err(|e| cannot_write(&whole, e))
}
