//! Files of `torch.save`.

mod bare;
mod read;
mod write;

pub(crate) use bare::NAME as BARE;
pub(crate) use read::read;
pub(crate) use write::{bare, state_dict};
