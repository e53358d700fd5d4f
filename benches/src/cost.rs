//! What a step of Sync-GRPO on Show-o computes and moves, counted: multiplications and additions of matrix products, bytes of weights
//! and gradients.

use counterpoint_showo::ShowoConfig;

/// What a step draws and learns from.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Images that are painted, over all groups.
    pub images: usize,
    /// Denoising steps T of each.
    pub timesteps: usize,
    /// How many of them are scored.
    pub scored: usize,
    /// Whether every image is painted, and scored, with a prompt and without.
    pub guided: bool,
    /// Tokens of a prompt.
    pub prompt: usize,
    /// Whether a frozen reference scores them too.
    pub reference: bool,
}

/// Operations (multiplications and additions) of the parts of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Operations {
    /// Painting.
    pub rollouts: f64,
    /// Replay, its way back, and the reference.
    pub update: f64,
}

impl Step {
    /// Those of `config`. A prompt is read once for all steps of an image in painting, and once for each scored step in an update; the way
    /// back is twice the way there.
    pub fn operations(&self, config: &ShowoConfig) -> Operations {
        let rows = (self.images * if self.guided { 2 } else { 1 }) as f64;
        let (prompt, codes) = (self.prompt as f64, config.num_vq_tokens as f64);
        let read = |tokens: f64, seen: f64| decoder(config, tokens, seen);
        let scores = codes * 2.0 * (config.phi.hidden_size * config.codebook_size) as f64;
        let denoising = read(codes, prompt + codes) + scores;
        let replay = read(prompt + codes, prompt + codes) + scores;
        let passes = if self.reference { 4.0 } else { 3.0 };
        Operations {
            rollouts: rows * (read(prompt, prompt) + self.timesteps as f64 * denoising),
            update: rows * self.scored as f64 * passes * replay,
        }
    }
}

/// The layers' products for `tokens` that see `seen` tokens each.
fn decoder(config: &ShowoConfig, tokens: f64, seen: f64) -> f64 {
    let attention = 4.0 * seen * config.phi.hidden_size as f64;
    config.phi.num_hidden_layers as f64 * tokens * (2.0 * layer(config) + attention)
}

/// Numbers in the decoder, its embedding and its head.
pub fn parameters(config: &ShowoConfig) -> f64 {
    let tables = 2.0 * (config.vocab_size * config.phi.hidden_size) as f64;
    config.phi.num_hidden_layers as f64 * layer(config) + tables
}

/// Weights of a layer's matrices.
fn layer(config: &ShowoConfig) -> f64 {
    let (width, mlp) = (config.phi.hidden_size as f64, config.phi.intermediate_size as f64);
    4.0 * width * width + 2.0 * width * mlp
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sizes;

    #[test]
    fn the_real_model_has_its_parameters_and_a_denoising_step_its_operations() {
        let config = sizes::real();
        // The published checkpoint: 1.3B (phi-1.5) and 10,000 rows more in embedding and head.
        assert!((1.40e9..1.50e9).contains(&parameters(&config)), "{}", parameters(&config));
        let step = Step { images: 1, timesteps: 1, scored: 1, guided: false, prompt: 0, reference: false };
        let Operations { rollouts, update } = step.operations(&config);
        // Two for each weight of the layers and token, and attention on top.
        let weights = 24.0 * (4.0 * 2048.0 * 2048.0 + 2.0 * 2048.0 * 8192.0);
        assert!((1.0..1.15).contains(&(rollouts / (2.0 * weights * 1024.0))), "{rollouts}");
        assert!((update / rollouts - 3.0).abs() < 1e-12);
    }

    #[test]
    fn twice_the_images_or_steps_are_twice_the_work() {
        let config = sizes::bench();
        let step = Step { images: 4, timesteps: 3, scored: 3, guided: true, prompt: 48, reference: true };
        let of = |step: Step| step.operations(&config);
        let (once, images) = (of(step), of(Step { images: 8, ..step }));
        assert_eq!((images.rollouts, images.update), (2.0 * once.rollouts, 2.0 * once.update));
        assert_eq!(of(Step { scored: 6, ..step }).update, 2.0 * once.update);
        assert!(of(Step { timesteps: 6, ..step }).rollouts < 2.0 * once.rollouts, "the prompt is read once");
    }
}
