//! Show-o in the sizes that the benchmarks use.

use counterpoint_showo::{MagvitConfig, PhiConfig, ShowoConfig, SpecialTokens};

/// Text tokens of the bench size, in the proportion to image codes that the real model has.
const TEXT: u32 = 3134;

/// The size of the comparison with PyTorch: hidden 256, 6 layers, 8 heads, MLP 1024, 64 image tokens, 512 codes, 64 text
/// tokens.
pub fn bench() -> ShowoConfig {
    let special_token_ids = SpecialTokens::after(TEXT);
    let text_vocab_size = TEXT as usize + special_token_ids.named().len();
    let magvitv2 = MagvitConfig {
        ch: 32,
        ch_mult: vec![1, 1],
        num_res_blocks: vec![1, 1],
        decoder_ch_mult: None,
        decoder_num_res_blocks: None,
        z_channels: 9,
        ..MagvitConfig::published()
    };
    let codebook_size = 1 << magvitv2.z_channels;
    ShowoConfig {
        phi: PhiConfig {
            hidden_size: 256,
            intermediate_size: 1024,
            num_hidden_layers: 6,
            num_attention_heads: 8,
            max_position_embeddings: 512,
            ..PhiConfig::phi_1_5()
        },
        llm_vocab_size: TEXT as usize,
        text_vocab_size,
        codebook_size,
        vocab_size: text_vocab_size + codebook_size + 1,
        mask_token_id: (text_vocab_size + codebook_size) as u32,
        image_token_offset: text_vocab_size as u32,
        num_vq_tokens: 64,
        max_seq_length: 64,
        special_token_ids,
        bos_id: TEXT - 1,
        eos_id: TEXT - 1,
        magvitv2,
        ..ShowoConfig::published(64, false)
    }
}

/// Show-o 1.3B for images of 512 x 512 pixels, with its MAGVIT-v2.
pub fn real() -> ShowoConfig {
    ShowoConfig::published(1024, false)
}
