//! The residual blocks and the two reductions of InceptionResnetV1.

use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::unit::{Unit, chain};
use crate::face::conv::{Conv, ConvConfig, max_pool};

/// A residual block: branches side by side, joined by a convolution and added to the input.
#[derive(Module, Debug)]
pub(super) struct Block {
    branch0: Unit,
    branch1: Vec<Unit>,
    branch2: Vec<Unit>,
    pub(super) conv2d: Conv,
    scale: f64,
    rectified: bool,
}

impl Block {
    /// For 35 x 35 pixels in the first paper; `n` divides a channel count.
    pub(super) fn block35(n: &impl Fn(usize) -> usize, device: &Device) -> Self {
        let (from, to) = (n(256), n(32));
        let point = || Unit::same([from, to], [1, 1], device);
        let square = || Unit::same([to, to], [3, 3], device);
        Self {
            branch0: point(),
            branch1: vec![point(), square()],
            branch2: vec![point(), square(), square()],
            conv2d: ConvConfig::new(3 * to, from, 1).init(device),
            scale: 0.17,
            rectified: true,
        }
    }

    /// For 17 x 17 pixels in the first paper.
    pub(super) fn block17(n: &impl Fn(usize) -> usize, device: &Device) -> Self {
        Self::crossed(n(896), n(128), 7, 0.1, true, device)
    }

    /// For 8 x 8 pixels in the first paper. The last of them is not rectified and not scaled.
    pub(super) fn block8(n: &impl Fn(usize) -> usize, last: bool, device: &Device) -> Self {
        Self::crossed(n(1792), n(192), 3, if last { 1.0 } else { 0.2 }, !last, device)
    }

    fn crossed(from: usize, to: usize, kernel: usize, scale: f64, rectified: bool, device: &Device) -> Self {
        let point = || Unit::same([from, to], [1, 1], device);
        let line = |kernel| Unit::same([to, to], kernel, device);
        Self {
            branch0: point(),
            branch1: vec![point(), line([1, kernel]), line([kernel, 1])],
            branch2: Vec::new(),
            conv2d: ConvConfig::new(2 * to, from, 1).init(device),
            scale,
            rectified,
        }
    }

    /// # Shapes
    /// - x and result: `[b, h, w, c]`
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let mut branches = vec![self.branch0.forward(x.clone()), chain(&self.branch1, x.clone())];
        if !self.branch2.is_empty() {
            branches.push(chain(&self.branch2, x.clone()));
        }
        let joined = self.conv2d.forward(Tensor::cat(branches, 3));
        let x = joined * self.scale + x;
        if self.rectified { relu(x) } else { x }
    }

    pub(super) fn each_unit(&mut self, scope: &str, visit: &mut impl FnMut(&mut Unit, &str)) {
        visit(&mut self.branch0, &format!("{scope}/Branch_0/Conv2d_1x1"));
        let across = match self.branch1.get(1).map(|unit| unit.conv.weight.dims()) {
            Some([_, _, 1, 7]) => ["0a_1x1", "0b_1x7", "0c_7x1"],
            Some([_, _, 1, 3]) => ["0a_1x1", "0b_1x3", "0c_3x1"],
            _ => ["0a_1x1", "0b_3x3", "0c_3x3"],
        };
        for (branch, units) in [(1, &mut self.branch1), (2, &mut self.branch2)] {
            for (unit, name) in units.iter_mut().zip(across) {
                visit(unit, &format!("{scope}/Branch_{branch}/Conv2d_{name}"));
            }
        }
    }
}

/// The reduction after the first blocks.
#[derive(Module, Debug)]
pub(super) struct Mixed6a {
    branch0: Unit,
    branch1: Vec<Unit>,
}

impl Mixed6a {
    pub(super) fn new(n: &impl Fn(usize) -> usize, device: &Device) -> Self {
        let middle = n(192);
        Self {
            branch0: Unit::valid([n(256), n(384)], 3, 2, device),
            branch1: vec![
                Unit::same([n(256), middle], [1, 1], device),
                Unit::same([middle, middle], [3, 3], device),
                Unit::valid([middle, n(256)], 3, 2, device),
            ],
        }
    }

    /// # Shapes
    /// - x: `[b, h, w, c]`, result: `[b, h', w', c']`
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let branches = [self.branch0.forward(x.clone()), chain(&self.branch1, x.clone()), max_pool(x, 3, false)];
        Tensor::cat(branches.to_vec(), 3)
    }

    pub(super) fn each_unit(&mut self, visit: &mut impl FnMut(&mut Unit, &str)) {
        visit(&mut self.branch0, "Mixed_6a/Branch_0/Conv2d_1a_3x3");
        for (unit, name) in self.branch1.iter_mut().zip(["0a_1x1", "0b_3x3", "1a_3x3"]) {
            visit(unit, &format!("Mixed_6a/Branch_1/Conv2d_{name}"));
        }
    }
}

/// The reduction before the last blocks.
#[derive(Module, Debug)]
pub(super) struct Mixed7a {
    branch0: Vec<Unit>,
    branch1: Vec<Unit>,
    branch2: Vec<Unit>,
}

impl Mixed7a {
    pub(super) fn new(n: &impl Fn(usize) -> usize, device: &Device) -> Self {
        let middle = n(256);
        let point = || Unit::same([n(896), middle], [1, 1], device);
        let smaller = |to| Unit::valid([middle, to], 3, 2, device);
        Self {
            branch0: vec![point(), smaller(n(384))],
            branch1: vec![point(), smaller(middle)],
            branch2: vec![point(), Unit::same([middle, middle], [3, 3], device), smaller(middle)],
        }
    }

    /// # Shapes
    /// - x: `[b, h, w, c]`, result: `[b, h', w', c']`
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let mut branches: Vec<Tensor<4>> =
            [&self.branch0, &self.branch1, &self.branch2].map(|branch| chain(branch, x.clone())).to_vec();
        branches.push(max_pool(x, 3, false));
        Tensor::cat(branches, 3)
    }

    pub(super) fn each_unit(&mut self, visit: &mut impl FnMut(&mut Unit, &str)) {
        let short = ["0a_1x1", "1a_3x3"].as_slice();
        let branches = [
            (0, &mut self.branch0, short),
            (1, &mut self.branch1, short),
            (2, &mut self.branch2, ["0a_1x1", "0b_3x3", "1a_3x3"].as_slice()),
        ];
        for (branch, units, names) in branches {
            for (unit, name) in units.iter_mut().zip(names) {
                visit(unit, &format!("Mixed_7a/Branch_{branch}/Conv2d_{name}"));
            }
        }
    }
}
