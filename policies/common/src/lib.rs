//! What the policies share: the convolutional blocks of their image tokenizers, and pictures as pixels.

pub mod blocks;
pub mod picture;
