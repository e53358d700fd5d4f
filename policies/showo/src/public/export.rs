//! A policy back into the published files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::tensor::FloatDType;
use counterpoint::{Error, Result};
use counterpoint_weights::save_safetensors;

use super::files::{ConceptFiles, listed};
use crate::{ConceptTokens, ShowoPolicy};

/// The epoch under which exported concepts are written.
const EPOCH: u32 = 0;

impl ShowoPolicy {
    /// Writes the model as it is now to `folder`, in the files and under the names of the PyTorch originals:
    ///
    /// - `config.json` and `pytorch_model.safetensors`, which Show-o's `Showo.from_pretrained(folder)` loads: the model
    ///   without concepts, floats as `dtype` or as they are;
    /// - `concepts/NAME/epoch_0_embed.pt`, `.._lm_head_weight.pt`, `.._lm_head_bias.pt` per concept, which UniCTokens'
    ///   scripts insert, and `epoch_0.safetensors` with the three; always in the model's own dtype;
    /// - `tokenizer.json`, with the special tokens and the concepts;
    /// - `magvitv2.safetensors`, the image tokenizer, which is not trained; Show-o takes it from `showlab/magvitv2`.
    ///
    /// [`load`](Self::load) reads the folder back.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when the folder or a file cannot be written.
    pub fn export(&self, folder: &Path, dtype: Option<FloatDType>) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(|e| Error::io("cannot create", folder, e))?;
        let (config, model) = (self.config(), self.merged());
        let mut written = Vec::with_capacity(config.concepts.len());
        for concept in &config.concepts {
            let files = PathBuf::from("concepts").join(&concept.name);
            ConceptTokens::of(&model, config, &concept.name)?.save(&folder.join(&files), EPOCH)?;
            written.push(ConceptFiles {
                name: concept.name.clone(),
                files,
                epoch: EPOCH,
                understanding: concept.understanding,
                generation: concept.generation,
                perception: concept.perception,
            });
        }
        let (base, model) = match config.concepts.is_empty() {
            true => (config.clone(), model),
            false => model.without_concepts(config)?,
        };
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        save_safetensors(&model, &folder.join("pytorch_model.safetensors"), &metadata, dtype)?;
        self.image_tokenizer().save(&folder.join("magvitv2.safetensors"))?;
        if let Ok(text) = self.text_tokenizer() {
            text.save(&folder.join("tokenizer.json"))?;
        }
        base.save_published(&folder.join("config.json"), listed(&written)?)
    }
}
