//! The image tokenizer's quantiser under training, as LlamaGen trains it (arXiv 2406.06525, 3.1): latents and the codebook's vectors have
//! length 1, and the gradient goes straight through.

use burn::tensor::{Int, Tensor};

use crate::VqTokenizer;
use crate::vq::{nearest, unit};

/// Latents as codes, and what that costs.
#[derive(Debug, Clone)]
pub struct Quantised {
    /// The vectors of the codes, `[B, embed_dim, h, w]`; their gradient is that of the latents.
    pub vectors: Tensor<4>,
    /// The codes, `[B, h * w]`.
    pub codes: Tensor<2, Int>,
    /// Mean squared distance of the codebook's vectors to the latents, which do not move for it.
    pub codebook: Tensor<1>,
    /// The same distance for the latents, towards vectors that do not move.
    pub commitment: Tensor<1>,
}

impl VqTokenizer {
    /// The codes of latents `[B, embed_dim, h, w]`, with the losses of both sides.
    ///
    /// The codes are those of [`encode`](Self::encode) once the codebook's vectors have length 1
    /// ([`with_unit_codebook`](Self::with_unit_codebook)).
    pub fn quantise(&self, latents: Tensor<4>) -> Quantised {
        let [batch, width, rows, columns] = latents.dims();
        let vectors: Tensor<2> = unit(latents.permute([0, 2, 3, 1]).reshape([batch * rows * columns, width]));
        let codebook = unit(self.codebook());
        let codes = nearest(vectors.clone().detach(), codebook.clone().detach());
        let chosen = codebook.select(0, codes.clone().reshape([batch * rows * columns]));
        let distance = |a: Tensor<2>, b: Tensor<2>| (a - b).square().mean();
        let (codebook, commitment) =
            (distance(chosen.clone(), vectors.clone().detach()), distance(vectors.clone(), chosen.clone().detach()));
        let through = vectors.clone() + (chosen - vectors).detach();
        Quantised {
            vectors: through.reshape([batch, rows, columns, width]).permute([0, 3, 1, 2]),
            codes: codes.reshape([batch, rows * columns]),
            codebook,
            commitment,
        }
    }

    /// The same tokenizer with the codebook's vectors at length 1, which changes no image that it decodes.
    #[must_use]
    pub fn with_unit_codebook(self) -> Self {
        let vectors = unit(self.codebook().detach());
        self.with_codebook(vectors)
    }
}
