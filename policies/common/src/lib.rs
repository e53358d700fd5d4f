//! What the policies share: the convolutional blocks of their image tokenizers, pictures as pixels, token ids as
//! tensors, recorded decisions scored again, hidden states for rewards, and models as they are trained: in part, in a precision, with
//! adapters, layers computed again on the way back.

pub mod blocks;
pub mod cache;
pub mod learner;
pub mod lora;
pub mod memory;
pub mod peft;
pub mod picture;
pub mod replay;
pub mod states;
pub mod tape;
pub mod tokens;
pub mod training;
pub mod update_devices;
