//! What a checkpoint's tensors say against its config, in the words of the config.

use counterpoint::{Error, Result};
use counterpoint_weights::WeightFiles;

use crate::config::ShowoConfig;

const EMBEDDING: &str = "showo.model.embed_tokens.weight";
const PROJECTOR: &str = "mm_projector.0.weight";

/// Checks the numbers of `config` that tell one variant of the checkpoints from another against the tensors in `files`.
/// Everything else is compared when the weights are loaded.
///
/// # Errors
/// [`Weights`](counterpoint::ErrorKind::Weights) naming the key, the tensor and both numbers.
pub(crate) fn check_variant(config: &ShowoConfig, files: &WeightFiles) -> Result<()> {
    let shape = |name: &str| files.tensors().iter().find(|tensor| tensor.name == name).map(|tensor| &tensor.shape[..]);
    let wrong = |what: String| Err(Error::weights(format!("{}: {what}", files.path().display())));
    if let Some([rows, width]) = shape(EMBEDDING) {
        if *width != config.phi.hidden_size {
            return wrong(format!(
                "{EMBEDDING} has width {width}, the config says hidden_size {}; put the config.json of the language \
                 model beside it, or take the config.json of this checkpoint",
                config.phi.hidden_size
            ));
        }
        if *rows != config.vocab_size {
            let hint = match rows.checked_sub(config.vocab_size) {
                Some(more) if more < config.codebook_size => format!(
                    "it has {more} tokens more: where they are those of concepts, list these under `concepts` in \
                     config.json and give num_concept_tokens {}",
                    config.num_concept_tokens + more
                ),
                Some(_) => "it is that of another model".to_owned(),
                None => match config.num_concept_tokens {
                    0 => "it is that of another model".to_owned(),
                    n => format!(
                        "where it is the one without the {n} concept tokens of the config, load it with \
                         num_concept_tokens 0 and the concepts from their files"
                    ),
                },
            };
            return wrong(format!(
                "{EMBEDDING} has {rows} rows, the config says vocab_size {}; {hint}",
                config.vocab_size
            ));
        }
    }
    match (config.w_clip_vit, shape(PROJECTOR)) {
        (false, Some(_)) => {
            wrong(format!("it has {PROJECTOR}, the config says w_clip_vit false; take the config.json of w-clip-vit"))
        }
        (true, None) => wrong(format!(
            "it has no {PROJECTOR}, the config says w_clip_vit true; take a config.json without clip-vit"
        )),
        (true, Some([_, width])) if *width != config.clip_width => wrong(format!(
            "{PROJECTOR} takes features of width {width}, the config says clip_width {}",
            config.clip_width
        )),
        _ => Ok(()),
    }
}
