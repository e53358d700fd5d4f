//! What the policies share: the convolutional blocks of their image tokenizers, pictures as pixels, token ids as
//! tensors, and recorded decisions scored again.

pub mod blocks;
pub mod picture;
pub mod replay;
pub mod tokens;
