//! The learned rows of a concept: in UniCTokens' files, in a model, and fresh.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Tensor, TensorData};
use counterpoint::{Error, Result, Stream};
use counterpoint_weights::{WeightFiles, non_finite, save_tensors, save_torch_tensor};
use rand_distr::{Distribution, StandardNormal};

use crate::concepts::Concept;
use crate::config::ShowoConfig;
use crate::{Showo, TextTokenizer};

/// Standard deviation of rows that are drawn, as in Sync-R1.
const INIT_STD: f32 = 0.02;
/// UniCTokens' files, and the names of their tensors in one safetensors file.
const PARTS: [&str; 3] = ["embed", "lm_head_weight", "lm_head_bias"];

/// The rows of a concept's tokens, in the order of [`Concept::names`].
///
/// # Shapes
/// For n tokens and width H: `embed` `[n, H]`, `lm_head_weight` `[n, H]`, `lm_head_bias` `[n]`.
#[derive(Debug, Clone)]
pub struct ConceptTokens {
    /// Whose they are.
    pub concept: Concept,
    /// Embeddings.
    pub embed: TensorData,
    /// Weights of the output head.
    pub lm_head_weight: TensorData,
    /// Biases of the output head.
    pub lm_head_bias: TensorData,
}

impl ConceptTokens {
    /// Reads `epoch_N_embed.pt`, `epoch_N_lm_head_weight.pt` and `epoch_N_lm_head_bias.pt` of `folder`, or
    /// `epoch_N.safetensors` where there are none.
    ///
    /// # Errors
    /// [`Weights`](counterpoint::ErrorKind::Weights) naming the file when one is missing, damaged, holds other than finite
    /// floats, or has not as many rows as the concept has tokens.
    pub fn load(concept: Concept, folder: &Path, epoch: u32) -> Result<Self> {
        let single = safetensors_file(folder, epoch);
        let [embed, weight, bias] = PARTS.map(|part| torch_file(folder, epoch, part));
        let [embed, lm_head_weight, lm_head_bias] = if !embed.is_file() && single.is_file() {
            let files = WeightFiles::open(&single)?;
            [files.read(PARTS[0])?, files.read(PARTS[1])?, files.read(PARTS[2])?]
        } else {
            [sole(&embed)?, sole(&weight)?, sole(&bias)?]
        };
        let this = Self { concept, embed, lm_head_weight, lm_head_bias };
        this.validate().map_err(|e| e.at(format!("{} epoch {epoch}", folder.display())))?;
        Ok(this)
    }

    /// Writes the three files of UniCTokens, which its scripts load, and `epoch_N.safetensors`.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when the folder or a file cannot be written.
    pub fn save(&self, folder: &Path, epoch: u32) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(|e| Error::io("cannot create", folder, e))?;
        let data = [&self.embed, &self.lm_head_weight, &self.lm_head_bias];
        for (part, data) in PARTS.iter().zip(data) {
            save_torch_tensor(&torch_file(folder, epoch, part), data)?;
        }
        let named: Vec<(String, TensorData)> =
            PARTS.iter().zip(data).map(|(part, data)| ((*part).to_owned(), data.clone())).collect();
        let metadata = HashMap::from([("concept".to_owned(), self.concept.name.clone())]);
        save_tensors(&safetensors_file(folder, epoch), &named, &metadata)
    }

    /// Fresh rows for `model`, as Sync-R1 begins: normal with standard deviation 0.02, biases 0.
    pub fn random(concept: Concept, model: &Showo, noise: &mut Stream) -> Self {
        let (tokens, width) = (concept.tokens(), model.width());
        let mut normal = || {
            let standard: f32 = StandardNormal.sample(noise);
            INIT_STD * standard
        };
        let mut rows = || TensorData::new((0..tokens * width).map(|_| normal()).collect::<Vec<_>>(), [tokens, width]);
        let (embed, lm_head_weight) = (rows(), rows());
        Self { concept, embed, lm_head_weight, lm_head_bias: TensorData::zeros::<f32, _>([tokens]) }
    }

    /// Fresh rows for `model` from words that describe the concept, its class first, as UniCTokens begins: the name is
    /// the mean embedding of the class's tokens, every soft token the mean over all words of these means. Weights and
    /// biases of the head are those of the first image codes, which is what UniCTokens' enlarged head has there.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) when no word has a token or there are more tokens than image codes.
    pub fn from_words(
        concept: Concept,
        config: &ShowoConfig,
        model: &Showo,
        tokenizer: &TextTokenizer,
        words: &[String],
    ) -> Result<Self> {
        let tokens = concept.tokens();
        let mut means = Vec::with_capacity(words.len());
        for word in words {
            let ids = tokenizer.encode(word)?;
            if !ids.is_empty() {
                means.push(
                    model.embed(crate::tokens::to_tensor(&[ids], &model.device())).mean_dim(1).squeeze_dim::<2>(1),
                );
            }
        }
        let Some(class) = means.first().cloned() else {
            return Err(Error::config(format!(
                "concept {}: expected words to begin from, got {words:?}",
                concept.name
            )));
        };
        if tokens > config.codebook_size {
            return Err(Error::config(format!(
                "concept {}: expected at most {} tokens, as many as image codes, got {tokens}",
                concept.name, config.codebook_size
            )));
        }
        let soft = Tensor::cat(means, 0).mean_dim(0).repeat_dim(0, tokens - 1);
        let (_, weight, bias) = model.token_rows(config.image_token_offset as usize, tokens)?;
        Ok(Self {
            concept,
            embed: Tensor::cat(vec![class, soft], 0).into_data(),
            lm_head_weight: weight.into_data(),
            lm_head_bias: bias.into_data(),
        })
    }

    /// Fresh rows for `model` from photographs of the concept: the name is the mean embedding of all their `codes`
    /// (`[images][N]`), each soft token that of one of as many equal stretches of positions, from the top of the image to its
    /// bottom. Weights and biases of the head as in [`from_words`](Self::from_words).
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) when there is no image, or there are more tokens than positions or image
    /// codes.
    pub fn from_images(concept: Concept, config: &ShowoConfig, model: &Showo, codes: &[Vec<u32>]) -> Result<Self> {
        let (tokens, positions) = (concept.tokens(), config.num_vq_tokens);
        if codes.is_empty() || tokens - 1 > positions || tokens > config.codebook_size {
            return Err(Error::config(format!(
                "concept {}: expected 1 or more images and at most {} soft tokens, got {} and {}",
                concept.name,
                positions.min(config.codebook_size - 1),
                codes.len(),
                tokens - 1
            )));
        }
        let ids = codes.iter().map(|row| row.iter().map(|code| code + config.image_token_offset).collect());
        let ids: Vec<Vec<u32>> = ids.collect();
        // [N, H]: what stands at each position, on average over the images.
        let seen = model.embed(crate::tokens::to_tensor(&ids, &model.device())).mean_dim(0).squeeze_dim::<2>(0);
        let start = |k: usize| k * positions / (tokens - 1).max(1);
        let stretch = |k: usize| seen.clone().narrow(0, start(k), start(k + 1) - start(k)).mean_dim(0);
        let rows = std::iter::once(seen.clone().mean_dim(0)).chain((0..tokens - 1).map(stretch)).collect();
        let (_, weight, bias) = model.token_rows(config.image_token_offset as usize, tokens)?;
        Ok(Self {
            concept,
            embed: Tensor::cat(rows, 0).into_data(),
            lm_head_weight: weight.into_data(),
            lm_head_bias: bias.into_data(),
        })
    }

    /// The rows of a concept of a model.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) when `config` has no concept of this name.
    pub fn of(model: &Showo, config: &ShowoConfig, name: &str) -> Result<Self> {
        let ids = config.concept_ids(name)?;
        let concept = config.concepts.iter().find(|concept| concept.name == name).cloned();
        let concept = concept.ok_or_else(|| Error::config(format!("no concept {name}")))?;
        let (embed, weight, bias) = model.token_rows(ids.start, ids.len())?;
        Ok(Self {
            concept,
            embed: embed.into_data(),
            lm_head_weight: weight.into_data(),
            lm_head_bias: bias.into_data(),
        })
    }

    fn validate(&self) -> Result<()> {
        let rows = self.concept.tokens();
        let width = self.embed.shape().last().copied().unwrap_or(0);
        for (part, data, expected) in [
            (PARTS[0], &self.embed, vec![rows, width]),
            (PARTS[1], &self.lm_head_weight, vec![rows, width]),
            (PARTS[2], &self.lm_head_bias, vec![rows]),
        ] {
            let Concept { name, understanding, generation, perception } = &self.concept;
            if data.shape().to_vec() != expected {
                return Err(Error::weights(format!(
                    "{part}: expected shape {expected:?} (concept {name}: the name, {understanding} tokens for \
                     understanding, {generation} for generation and {perception} of the third stage), got {:?}; give \
                     `understanding`, `generation` and `perception` as they were in training",
                    data.shape().to_vec()
                )));
            }
            if !data.dtype().is_float() || non_finite(data) > 0 {
                return Err(Error::weights(format!(
                    "{part}: expected finite floats, got {:?} with {} that are not finite",
                    data.dtype(),
                    non_finite(data)
                )));
            }
        }
        Ok(())
    }

    /// The three as tensors of the model's device and dtype.
    fn tensors(&self, model: &Showo) -> Result<(Tensor<2>, Tensor<2>, Tensor<1>)> {
        self.validate()?;
        let width = self.embed.shape().last().copied().unwrap_or(0);
        if width != model.width() {
            return Err(Error::weights(format!(
                "concept {}: expected rows of width {} (hidden_size), got {width}; they belong to another model",
                self.concept.name,
                model.width()
            )));
        }
        let (device, dtype): (_, DType) = (model.device(), model.dtype());
        Ok((
            Tensor::from_data(self.embed.clone(), (&device, dtype)),
            Tensor::from_data(self.lm_head_weight.clone(), (&device, dtype)),
            Tensor::from_data(self.lm_head_bias.clone(), (&device, dtype)),
        ))
    }
}

impl Showo {
    /// The model of `config` with concepts inserted between text and image codes, and its config.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) for names as [`ShowoConfig::with_concepts`],
    /// [`Weights`](counterpoint::ErrorKind::Weights) when the rows do not fit the model.
    pub fn with_concepts(self, config: &ShowoConfig, concepts: &[ConceptTokens]) -> Result<(ShowoConfig, Self)> {
        let grown = config.with_concepts(&concepts.iter().map(|c| c.concept.clone()).collect::<Vec<_>>())?;
        let (mut embeds, mut weights, mut biases) = (Vec::new(), Vec::new(), Vec::new());
        for concept in concepts {
            let (embed, weight, bias) = concept.tensors(&self)?;
            embeds.push(embed);
            weights.push(weight);
            biases.push(bias);
        }
        let model = self.with_rows(config.text_vocab_size, 0, embeds, weights, biases, &grown)?;
        Ok((grown, model))
    }

    /// The model of `config` without its UniCTokens concepts, and its config.
    ///
    /// # Errors
    /// [`Contract`](counterpoint::ErrorKind::Contract) when the head has no bias.
    pub fn without_concepts(self, config: &ShowoConfig) -> Result<(ShowoConfig, Self)> {
        let base = config.without_concepts();
        let fewer = config.text_vocab_size - base.text_vocab_size;
        let model = self.with_rows(base.text_vocab_size, fewer, Vec::new(), Vec::new(), Vec::new(), &base)?;
        Ok((base, model))
    }
}

fn torch_file(folder: &Path, epoch: u32, part: &str) -> PathBuf {
    folder.join(format!("epoch_{epoch}_{part}.pt"))
}

fn safetensors_file(folder: &Path, epoch: u32) -> PathBuf {
    folder.join(format!("epoch_{epoch}.safetensors"))
}

/// The only tensor of a file.
fn sole(path: &Path) -> Result<TensorData> {
    let files = WeightFiles::open(path)?;
    match files.tensors() {
        [only] => files.read(&only.name),
        more => Err(Error::weights(format!("{}: expected one tensor, got {}", path.display(), more.len()))),
    }
}
