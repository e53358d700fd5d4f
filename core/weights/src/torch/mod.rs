//! Files of `torch.save`.

mod copy;
mod read;
mod write;

pub(crate) use copy::NAME as BARE;
pub(crate) use read::read;
pub(crate) use write::{bare, state_dict};
