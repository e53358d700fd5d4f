//! Faces: MTCNN finds and cuts them, FaceNet (InceptionResnetV1) turns them into vectors.
//!
//! Both are ports of facenet-pytorch, read its weights, and compute in channels-last order, where a convolution is one
//! matrix product over rows of pixels.

mod conv;
pub mod facenet;
pub mod mtcnn;

pub use facenet::{FaceEmbedder, FaceNet, FaceNetConfig, Standardisation};
pub use mtcnn::{Face, Mtcnn, MtcnnConfig};
