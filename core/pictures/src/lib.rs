//! Photographs of any size, as models and rewards want them: [`resize`] is Pillow's, bit for bit; [`fit`] makes the square
//! that a model looks at, [`within`] a smaller copy; [`decode`] reads PNG and JPEG as PIL does.

mod decode;
mod fit;
mod jpeg;
mod resample;

pub use decode::{decode, fits};
pub use fit::{cut, fit, within};
pub use jpeg::is_cut_off;
pub use resample::{Filter, Pixels, resize};
