//! The decoder of a language model that was published alone.

use std::path::Path;

use burn::tensor::FloatDType;
use counterpoint::Result;
use counterpoint_weights::{LoadOptions, WeightFiles, load};

use crate::Janus;

const HEAD: &str = "lm_head.weight";

impl Janus {
    /// The same model with the decoder and the text head of a Llama: a folder or file with the tensor names of transformers'
    /// `LlamaForCausalLM`, of any format that [`WeightFiles`] reads. Without a head in the file the embeddings are the head, as in
    /// models that tie them; here they are two parameters, which training moves apart. The rest of the model stays what it is.
    ///
    /// A [`TextConfig`](crate::TextConfig) is read from the `config.json` of a Llama as well. Biases and scaled rotations are not known
    /// to the decoder.
    ///
    /// # Errors
    /// [`Weights`](counterpoint::ErrorKind::Weights) when any tensor of the decoder is missing, unexpected or of another shape than the
    /// config says.
    pub fn with_language_model(mut self, path: &Path) -> Result<Self> {
        let files = WeightFiles::open(path)?;
        let how = LoadOptions {
            dtype: Some(self.precision().dtype().into()),
            vector_dtype: Some(FloatDType::F32),
            ..LoadOptions::default()
        };
        let of_decoder = LoadOptions { renamed: &[(r"^model\.", "")], ignored: &[HEAD], ..how };
        load(&mut self.language_model, &files, &of_decoder)?;
        let of_head = match files.tensors().iter().any(|tensor| tensor.name == HEAD) {
            true => LoadOptions { renamed: &[(r"^lm_head\.", "")], ignored: &["model."], ..how },
            false => LoadOptions { renamed: &[(r"^model\.embed_tokens\.", "")], ignored: &["model."], ..how },
        };
        load(&mut self.lm_head, &files, &of_head)?;
        Ok(self)
    }
}
