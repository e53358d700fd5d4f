//! What the policies share: the convolutional blocks of their image tokenizers.

pub mod blocks;
