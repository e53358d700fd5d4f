//! Show-o's losses: masked tokens of images, next tokens of answers (arXiv 2408.12528, eq. 2 and 3).

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};
use counterpoint::{Error, Result};

use crate::{Allowed, Showo, ShowoConfig, prompting, tokens};

/// An image of which some tokens are hidden, and what it is an image of.
#[derive(Debug, Clone, PartialEq)]
pub struct MaskedImage {
    /// Token ids of the caption, without begin and end of text; empty where the condition is dropped.
    pub caption: Vec<u32>,
    /// Image codes, `[num_vq_tokens]`.
    pub codes: Vec<u32>,
    /// True where a code is hidden, `[num_vq_tokens]`.
    pub hidden: Vec<bool>,
}

/// A token to be predicted: where, and which.
struct Target {
    row: usize,
    position: usize,
    id: u32,
}

/// Mean cross-entropy, in nats, of the hidden tokens of all images, each read at its own position, over the whole
/// vocabulary. The two tokens that enclose an image count as well, as in the original.
///
/// # Errors
/// [`Data`](counterpoint::ErrorKind::Data) when there is no image, or codes or flags are not those of one image.
pub fn image_loss(model: &Showo, config: &ShowoConfig, images: &[MaskedImage]) -> Result<Tensor<1>> {
    let start = config.t2i_prompt_length();
    let special = config.special_token_ids;
    let (mut rows, mut targets) = (Vec::with_capacity(images.len()), Vec::new());
    for (row, image) in images.iter().enumerate() {
        let ids = prompting::image_ids(config, &image.codes)?;
        if image.hidden.len() != ids.len() {
            return Err(Error::data(format!(
                "expected {} flags of hidden codes, got {}",
                ids.len(),
                image.hidden.len()
            )));
        }
        let hidden = || image.hidden.iter().zip(&ids);
        let shown: Vec<u32> = hidden().map(|(hidden, id)| if *hidden { config.mask_token_id } else { *id }).collect();
        rows.push(prompting::t2i_sequence(config, &image.caption, &shown));
        targets.push(Target { row, position: start, id: special.soi });
        let of_image = hidden().enumerate().filter(|(_, (hidden, _))| **hidden);
        targets.extend(of_image.map(|(at, (_, id))| Target { row, position: start + 1 + at, id: *id }));
        targets.push(Target { row, position: start + 1 + ids.len(), id: special.eoi });
    }
    let allowed = Allowed::t2i(config, &rows)?;
    cross_entropy(model, &rows, &allowed, &targets)
}

/// Mean cross-entropy, in nats, of the tokens of all answers and their ends, each read at the position before it, over the
/// whole vocabulary.
///
/// A conversation is `(codes, question, answer)`: image codes, and token ids of a question in the model's template and of its
/// answer.
///
/// # Errors
/// [`Data`](counterpoint::ErrorKind::Data) when there is no conversation, codes are not one image, or one is too long.
pub fn answer_loss(
    model: &Showo,
    config: &ShowoConfig,
    conversations: &[(&[u32], &[u32], &[u32])],
) -> Result<Tensor<1>> {
    let (mut rows, mut targets) = (Vec::with_capacity(conversations.len()), Vec::new());
    for (row, (codes, question, answer)) in conversations.iter().enumerate() {
        let (ids, start) = prompting::mmu_sequence(config, codes, question, answer)?;
        targets.extend((start..ids.len()).map(|at| Target { row, position: at - 1, id: ids[at] }));
        rows.push(ids);
    }
    prompting::pad_right(config, &mut rows);
    let allowed = Allowed::mmu(config, &rows)?;
    cross_entropy(model, &rows, &allowed, &targets)
}

/// Mean over `targets`. The head is applied where there is one, nowhere else: a big model's whole table of scores would be
/// gigabytes.
fn cross_entropy(model: &Showo, rows: &[Vec<u32>], allowed: &Allowed, targets: &[Target]) -> Result<Tensor<1>> {
    if targets.is_empty() {
        return Err(Error::data("expected at least one image or conversation to learn from, got none"));
    }
    let device = model.device();
    let hidden = model.forward(tokens::to_tensor(rows, &device), allowed.tensor(&device));
    let [batch, length, width] = hidden.dims();
    let places: Vec<usize> = targets.iter().map(|target| target.row * length + target.position).collect();
    let ids: Vec<i32> = targets.iter().map(|target| target.id as i32).collect();
    let read = hidden.reshape([batch * length, width]).select(0, tokens::index(&places, &device)).unsqueeze_dim::<3>(0);
    let scores = log_softmax(model.logits(read).squeeze_dim::<2>(0), 1);
    let ids = Tensor::<1, Int>::from_ints(&ids[..], &device).unsqueeze_dim::<2>(1);
    Ok(scores.gather(1, ids).mean().neg())
}
