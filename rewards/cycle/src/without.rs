//! A program without LPIPS.

use std::convert::Infallible;

use burn::tensor::Device;
use counterpoint::{Error, Result};
use image::RgbImage;

use crate::LpipsPart;

/// There is none.
#[derive(Debug)]
pub struct Distance(Infallible);

impl Distance {
    /// What to do.
    pub fn load(_: &LpipsPart, _: &Device) -> Result<Self> {
        Err(Error::config(
            "`lpips` was asked for, which this program was built without: build it with `--features lpips`, or leave that part out",
        ))
    }

    /// Nothing to compare.
    pub fn between(&self, _: &[(&RgbImage, &RgbImage)]) -> Result<Vec<f64>> {
        match self.0 {}
    }
}
