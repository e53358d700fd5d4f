//! Show-o in the sizes that the benchmarks use.

use counterpoint_showo::{Activation, MagvitConfig, PhiConfig, ShowoConfig, SpecialTokens};

/// The size of the comparison with PyTorch: hidden 256, 6 layers, 8 heads, MLP 1024, 64 image tokens, 512 codes, 64 text
/// tokens. Text tokens are to image codes as in the real model.
pub fn bench() -> ShowoConfig {
    let phi = PhiConfig {
        hidden_size: 256,
        intermediate_size: 1024,
        num_hidden_layers: 6,
        num_attention_heads: 8,
        max_position_embeddings: 512,
        ..phi_1_5()
    };
    let magvit = MagvitConfig {
        ch: 32,
        ch_mult: vec![1, 1],
        num_res_blocks: vec![1, 1],
        decoder_ch_mult: None,
        decoder_num_res_blocks: None,
        z_channels: 9,
        group_norm_groups: 32,
        group_norm_eps: 1e-6,
    };
    showo(phi, magvit, 3134, 64, 64)
}

/// Show-o 1.3B for images of 512 x 512 pixels, with its MAGVIT-v2.
pub fn real() -> ShowoConfig {
    let magvit = MagvitConfig {
        ch: 128,
        ch_mult: vec![1, 2, 2, 4, 4],
        num_res_blocks: vec![4, 3, 4, 3, 4],
        decoder_ch_mult: Some(vec![1, 1, 2, 2, 4]),
        decoder_num_res_blocks: Some(vec![4, 4, 3, 4, 3]),
        z_channels: 13,
        group_norm_groups: 32,
        group_norm_eps: 1e-6,
    };
    showo(phi_1_5(), magvit, 50295, 1024, 128)
}

fn phi_1_5() -> PhiConfig {
    PhiConfig {
        hidden_size: 2048,
        intermediate_size: 8192,
        num_hidden_layers: 24,
        num_attention_heads: 32,
        partial_rotary_factor: 0.5,
        qk_layernorm: true,
        layer_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        hidden_act: Activation::GeluNew,
        max_position_embeddings: 2048,
    }
}

/// Special tokens follow the text in the order in which the public code adds them.
fn showo(
    phi: PhiConfig,
    magvitv2: MagvitConfig,
    llm_vocab_size: usize,
    num_vq_tokens: usize,
    max_seq_length: usize,
) -> ShowoConfig {
    let first = llm_vocab_size as u32;
    let special_token_ids = SpecialTokens {
        pad: first,
        soi: first + 1,
        eoi: first + 2,
        sov: first + 3,
        eov: first + 4,
        t2i: first + 5,
        mmu: first + 6,
        t2v: first + 7,
        v2v: first + 8,
        lvg: first + 9,
    };
    let text_vocab_size = llm_vocab_size + 10;
    let codebook_size = 1 << magvitv2.z_channels;
    ShowoConfig {
        phi,
        llm_vocab_size,
        num_new_special_tokens: 10,
        num_concept_tokens: 0,
        text_vocab_size,
        codebook_size,
        vocab_size: text_vocab_size + codebook_size + 1,
        mask_token_id: (text_vocab_size + codebook_size) as u32,
        image_token_offset: text_vocab_size as u32,
        num_vq_tokens,
        max_seq_length,
        special_token_ids,
        bos_id: first - 1,
        eos_id: first - 1,
        guidance_scale: 5.0,
        timesteps: 12,
        magvitv2,
    }
}
