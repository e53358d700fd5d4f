//! The three networks of MTCNN: proposals over a whole image, refinement of boxes, and output with landmarks.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};

use crate::face::conv::{Conv, ConvConfig, Slope, max_pool};

fn conv(from: usize, to: usize, kernel: usize, device: &Device) -> Conv {
    ConvConfig::new(from, to, kernel).init(device)
}

/// Pixels to rows, column by column as the originals were trained.
///
/// # Shapes
/// - x: `[b, h, w, c]`, result: `[b, w * h * c]`
fn flatten(x: Tensor<4>) -> Tensor<2> {
    let [batch, height, width, channels] = x.dims();
    x.swap_dims(1, 2).reshape([batch, width * height * channels])
}

/// Probability of the second class.
///
/// # Shapes
/// - logits: `[..., 2]`, result: `[..., 1]`
fn face<const D: usize>(logits: Tensor<D>) -> Tensor<D> {
    softmax(logits, D - 1).narrow(D - 1, 1, 1)
}

/// All three, named as in their common file.
#[derive(Module, Debug)]
pub(super) struct Nets {
    pub(super) pnet: PNet,
    pub(super) rnet: RNet,
    pub(super) onet: ONet,
}

impl Nets {
    pub(super) fn new(device: &Device) -> Self {
        Self { pnet: PNet::new(device), rnet: RNet::new(device), onet: ONet::new(device) }
    }
}

#[derive(Module, Debug)]
pub(super) struct PNet {
    conv1: Conv,
    prelu1: Slope,
    conv2: Conv,
    prelu2: Slope,
    conv3: Conv,
    prelu3: Slope,
    conv4_1: Conv,
    conv4_2: Conv,
}

impl PNet {
    pub(super) fn new(device: &Device) -> Self {
        Self {
            conv1: conv(3, 10, 3, device),
            prelu1: Slope::new(10, device),
            conv2: conv(10, 16, 3, device),
            prelu2: Slope::new(16, device),
            conv3: conv(16, 32, 3, device),
            prelu3: Slope::new(32, device),
            conv4_1: conv(32, 2, 1, device),
            conv4_2: conv(32, 4, 1, device),
        }
    }

    /// # Shapes
    /// - x: `[1, h, w, 3]`, h and w at least 12
    /// - result: probability of a face `[1, h', w', 1]` and offsets of its box `[1, h', w', 4]`
    pub(super) fn forward(&self, x: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let x = max_pool(self.prelu1.forward(self.conv1.forward(x)), 2, true);
        let x = self.prelu2.forward(self.conv2.forward(x));
        let x = self.prelu3.forward(self.conv3.forward(x));
        (face(self.conv4_1.forward(x.clone())), self.conv4_2.forward(x))
    }
}

#[derive(Module, Debug)]
pub(super) struct RNet {
    conv1: Conv,
    prelu1: Slope,
    conv2: Conv,
    prelu2: Slope,
    conv3: Conv,
    prelu3: Slope,
    dense4: Linear,
    prelu4: Slope,
    dense5_1: Linear,
    dense5_2: Linear,
}

impl RNet {
    /// Side of the images it takes.
    pub(super) const SIDE: usize = 24;

    pub(super) fn new(device: &Device) -> Self {
        Self {
            conv1: conv(3, 28, 3, device),
            prelu1: Slope::new(28, device),
            conv2: conv(28, 48, 3, device),
            prelu2: Slope::new(48, device),
            conv3: conv(48, 64, 2, device),
            prelu3: Slope::new(64, device),
            dense4: LinearConfig::new(576, 128).init(device),
            prelu4: Slope::new(128, device),
            dense5_1: LinearConfig::new(128, 2).init(device),
            dense5_2: LinearConfig::new(128, 4).init(device),
        }
    }

    /// # Shapes
    /// - x: `[n, 24, 24, 3]`
    /// - result: probability of a face `[n, 1]` and offsets of its box `[n, 4]`
    pub(super) fn forward(&self, x: Tensor<4>) -> (Tensor<2>, Tensor<2>) {
        let x = max_pool(self.prelu1.forward(self.conv1.forward(x)), 3, true);
        let x = max_pool(self.prelu2.forward(self.conv2.forward(x)), 3, true);
        let x = self.prelu3.forward(self.conv3.forward(x));
        let x = self.prelu4.forward(self.dense4.forward(flatten(x)));
        (face(self.dense5_1.forward(x.clone())), self.dense5_2.forward(x))
    }
}

#[derive(Module, Debug)]
pub(super) struct ONet {
    conv1: Conv,
    prelu1: Slope,
    conv2: Conv,
    prelu2: Slope,
    conv3: Conv,
    prelu3: Slope,
    conv4: Conv,
    prelu4: Slope,
    dense5: Linear,
    prelu5: Slope,
    dense6_1: Linear,
    dense6_2: Linear,
    dense6_3: Linear,
}

impl ONet {
    /// Side of the images it takes.
    pub(super) const SIDE: usize = 48;

    pub(super) fn new(device: &Device) -> Self {
        Self {
            conv1: conv(3, 32, 3, device),
            prelu1: Slope::new(32, device),
            conv2: conv(32, 64, 3, device),
            prelu2: Slope::new(64, device),
            conv3: conv(64, 64, 3, device),
            prelu3: Slope::new(64, device),
            conv4: conv(64, 128, 2, device),
            prelu4: Slope::new(128, device),
            dense5: LinearConfig::new(1152, 256).init(device),
            prelu5: Slope::new(256, device),
            dense6_1: LinearConfig::new(256, 2).init(device),
            dense6_2: LinearConfig::new(256, 4).init(device),
            dense6_3: LinearConfig::new(256, 10).init(device),
        }
    }

    /// # Shapes
    /// - x: `[n, 48, 48, 3]`
    /// - result: probability of a face `[n, 1]`, offsets of its box `[n, 4]` and its landmarks `[n, 10]`, five x and then
    ///   five y
    pub(super) fn forward(&self, x: Tensor<4>) -> (Tensor<2>, Tensor<2>, Tensor<2>) {
        let x = max_pool(self.prelu1.forward(self.conv1.forward(x)), 3, true);
        let x = max_pool(self.prelu2.forward(self.conv2.forward(x)), 3, true);
        let x = max_pool(self.prelu3.forward(self.conv3.forward(x)), 2, true);
        let x = self.prelu4.forward(self.conv4.forward(x));
        let x = self.prelu5.forward(self.dense5.forward(flatten(x)));
        (face(self.dense6_1.forward(x.clone())), self.dense6_2.forward(x.clone()), self.dense6_3.forward(x))
    }
}
