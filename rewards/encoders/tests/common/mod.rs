//! Folders of golden numbers.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use image::RgbImage;
use safetensors::SafeTensors;

/// Largest difference over the largest expected number.
const TOLERANCE: f32 = 1e-4;

pub fn folder(tower: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(tower)
}

/// A file of inputs and outputs.
pub struct Golden(pub Vec<u8>);

impl Golden {
    pub fn open(tower: &str) -> Self {
        Self(std::fs::read(folder(tower).join("expected.safetensors")).unwrap())
    }

    fn shape_and<T>(&self, name: &str, read: impl Fn(&[u8]) -> Vec<T>) -> (Vec<usize>, Vec<T>) {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        (view.shape().to_vec(), read(view.data()))
    }

    pub fn floats<const D: usize>(&self, name: &str) -> Tensor<D> {
        let read = |bytes: &[u8]| bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        let (shape, values) = self.shape_and(name, read);
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    pub fn ints(&self, name: &str) -> Tensor<2, Int> {
        let read = |bytes: &[u8]| bytes.chunks(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect();
        let (shape, values) = self.shape_and(name, read);
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    pub fn mask(&self, name: &str) -> Tensor<2, Bool> {
        self.ints(name).equal_elem(1)
    }

    pub fn image(&self, name: &str) -> RgbImage {
        let (shape, bytes) = self.shape_and(name, <[u8]>::to_vec);
        let [height, width, 3] = shape[..] else { panic!("expected [h, w, 3]") };
        RgbImage::from_raw(width as u32, height as u32, bytes).unwrap()
    }

    pub fn check<const D: usize>(&self, name: &str, got: Tensor<D>) {
        let expected = self.floats::<D>(name);
        assert_eq!(got.dims(), expected.dims(), "{name}");
        let scale = expected.clone().abs().max().into_scalar::<f32>();
        let worst = (got - expected).abs().max().into_scalar::<f32>() / scale;
        assert!(worst < TOLERANCE, "{name}: expected a relative difference below {TOLERANCE}, got {worst}");
    }
}
