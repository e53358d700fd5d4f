//! Photographs of any size, as models and rewards want them: [`resize`] is Pillow's, bit for bit; [`fit`] makes the square
//! that a model looks at.

mod fit;
mod resample;

pub use fit::{cut, fit};
pub use resample::{Filter, Pixels, resize};
