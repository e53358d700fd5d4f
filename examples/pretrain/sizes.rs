//! The tiny model's sizes and the length of its training.

use counterpoint_showo::{Activation, MagvitConfig, PhiConfig, ShowoConfig, SpecialTokens};
use counterpoint_unifybench::Concept;

/// Bits of an image code.
const BITS: usize = 9;
/// Image tokens: 8x8 for 64x64 pixels.
const IMAGE_TOKENS: usize = 64;
/// Special tokens after the words.
const SPECIALS: usize = 10;
/// Tokens of its own that each concept has besides its name: `<ada_0> <ada_1> <ada>`.
pub const SOFT_TOKENS: usize = 2;

/// The image tokenizer: 64x64 pixels to 8x8 codes of 9 bits.
pub fn magvit() -> MagvitConfig {
    MagvitConfig {
        ch: 8,
        ch_mult: vec![1, 1, 4, 8],
        num_res_blocks: vec![0, 1, 1, 1],
        decoder_ch_mult: None,
        decoder_num_res_blocks: None,
        z_channels: BITS,
        group_norm_groups: 8,
        group_norm_eps: 1e-6,
    }
}

/// The whole model over a text tokenizer of `words` tokens, of which `endoftext` begins and ends a text.
pub fn showo(words: usize, endoftext: u32) -> ShowoConfig {
    let concept_tokens = Concept::ALL.len() * SOFT_TOKENS;
    let text = words + SPECIALS + concept_tokens;
    let codes = 1 << BITS;
    let special = |i: usize| (words + i) as u32;
    ShowoConfig {
        phi: PhiConfig {
            hidden_size: 160,
            intermediate_size: 480,
            num_hidden_layers: 5,
            num_attention_heads: 8,
            partial_rotary_factor: 0.5,
            qk_layernorm: true,
            layer_norm_eps: 1e-5,
            // Sequences are short: fast rotations tell neighbours apart.
            rope_theta: 100.0,
            hidden_act: Activation::GeluNew,
            max_position_embeddings: 1024,
        },
        llm_vocab_size: words,
        num_new_special_tokens: SPECIALS,
        num_concept_tokens: concept_tokens,
        concepts: Vec::new(),
        question_template: "{question}".to_owned(),
        w_clip_vit: false,
        clip_width: 1024,
        text_vocab_size: text,
        codebook_size: codes,
        vocab_size: text + codes + 1,
        mask_token_id: (text + codes) as u32,
        image_token_offset: text as u32,
        num_vq_tokens: IMAGE_TOKENS,
        max_seq_length: 26,
        special_token_ids: SpecialTokens {
            pad: special(0),
            soi: special(1),
            eoi: special(2),
            sov: special(3),
            eov: special(4),
            t2i: special(5),
            mmu: special(6),
            t2v: special(7),
            v2v: special(8),
            lvg: special(9),
        },
        bos_id: endoftext,
        eos_id: endoftext,
        guidance_scale: 2.0,
        timesteps: 10,
        magvitv2: magvit(),
    }
}

/// Learning rate at `step` of `steps`: linear warm-up, then a cosine to a tenth of `peak`.
pub fn cosine(step: usize, steps: usize, warm_up: usize, peak: f64) -> f64 {
    if step < warm_up {
        return peak * (step + 1) as f64 / warm_up as f64;
    }
    let done = (step - warm_up) as f64 / (steps - warm_up).max(1) as f64;
    peak * (0.55 + 0.45 * (std::f64::consts::PI * done).cos())
}
