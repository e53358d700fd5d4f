//! LPIPS: how far apart two images are for an image network. The network is burn's own.

use burn::tensor::Device;
use burn_train::metric::vision::{Lpips, LpipsConfig, LpipsNet};
use counterpoint::{Error, Result};
use counterpoint_encoders::preprocess::Size;
use counterpoint_encoders::{ImageProcessor, ImageProcessorConfig};
use counterpoint_weights::{LoadOptions, Precision, WeightFiles, load};
use image::RgbImage;

use crate::{LpipsPart, Net};

/// Smaller images leave no pixel to the deepest layers of some network.
const LEAST: u32 = 32;

/// Names of the packages `lpips` and torchmetrics become those of torchvision's backbone and burn's linear layers: slices keep
/// torchvision's numbers.
const LAYERS: [(&str, &str); 2] = [(r"^net\.slice(s\.)?\d+\.", "features."), (r"^lin(\d)\.model\.1\.", "lin$1.")];

/// torchvision's numbers of layers become burn's names, as burn renames the files that it fetches itself.
const VGG: [(&str, &str); 13] = [
    (r"^features\.0\.", "extractor.conv1_1."),
    (r"^features\.2\.", "extractor.conv1_2."),
    (r"^features\.5\.", "extractor.conv2_1."),
    (r"^features\.7\.", "extractor.conv2_2."),
    (r"^features\.10\.", "extractor.conv3_1."),
    (r"^features\.12\.", "extractor.conv3_2."),
    (r"^features\.14\.", "extractor.conv3_3."),
    (r"^features\.17\.", "extractor.conv4_1."),
    (r"^features\.19\.", "extractor.conv4_2."),
    (r"^features\.21\.", "extractor.conv4_3."),
    (r"^features\.24\.", "extractor.conv5_1."),
    (r"^features\.26\.", "extractor.conv5_2."),
    (r"^features\.28\.", "extractor.conv5_3."),
];

const ALEX: [(&str, &str); 5] = [
    (r"^features\.0\.", "extractor.conv1."),
    (r"^features\.3\.", "extractor.conv2."),
    (r"^features\.6\.", "extractor.conv3."),
    (r"^features\.8\.", "extractor.conv4."),
    (r"^features\.10\.", "extractor.conv5."),
];

const SQUEEZE: [(&str, &str); 9] = [
    (r"^features\.0\.", "extractor.conv1."),
    (r"^features\.3\.", "extractor.fire1."),
    (r"^features\.4\.", "extractor.fire2."),
    (r"^features\.6\.", "extractor.fire3."),
    (r"^features\.7\.", "extractor.fire4."),
    (r"^features\.9\.", "extractor.fire5."),
    (r"^features\.10\.", "extractor.fire6."),
    (r"^features\.11\.", "extractor.fire7."),
    (r"^features\.12\.", "extractor.fire8."),
];

/// What the package's and torchvision's files have besides: the linear layers once more, the constants of the scaling, the classifier.
const IGNORED: [&str; 3] = ["lins.", "scaling_layer.", "classifier."];

/// LPIPS of images that are resized to one size.
#[derive(Debug)]
pub struct Distance {
    network: Lpips,
    processor: ImageProcessor,
    device: Device,
}

impl Distance {
    /// The network that `part` names, on `device`.
    ///
    /// # Errors
    /// When the file is missing or damaged, its tensors are not those of the network, which names them, or the size is too small.
    pub fn load(part: &LpipsPart, device: &Device) -> Result<Self> {
        if part.size < LEAST {
            return Err(Error::config(format!("lpips.size: expected {LEAST} or more, got {}", part.size)));
        }
        let size = Size::Exact { height: part.size, width: part.size };
        // Pillow's bilinear filter, and 0..=1: the network itself scales from there.
        let images = ImageProcessorConfig { size, resample: 2, do_normalize: false, ..ImageProcessorConfig::default() };
        let (net, layers): (_, &[_]) = match part.net {
            Net::Vgg => (LpipsNet::Vgg, &VGG),
            Net::Alex => (LpipsNet::Alex, &ALEX),
            Net::Squeeze => (LpipsNet::Squeeze, &SQUEEZE),
        };
        let mut network = LpipsConfig::new().with_net(net).with_normalize(true).init(device);
        let renamed = [&LAYERS[..], layers].concat();
        let how = LoadOptions {
            renamed: &renamed,
            ignored: &IGNORED,
            dtype: Some(Precision::F32.into()),
            ..LoadOptions::default()
        };
        load(&mut network, &WeightFiles::open(&part.weights)?, &how)?;
        Ok(Self { network, processor: images.init()?, device: device.clone() })
    }

    /// How far apart the images of each pair are: 0 for the same image, and more the less they are alike.
    ///
    /// # Errors
    /// When an image has no pixels.
    pub fn between(&self, pairs: &[(&RgbImage, &RgbImage)]) -> Result<Vec<f64>> {
        if pairs.is_empty() {
            return Ok(Vec::new());
        }
        let (left, right): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
        let [left, right] = [left, right].map(|images| self.processor.forward(&images, &self.device));
        let distances = self.network.forward_no_reduction(left?, right?);
        Ok(distances.into_data().iter::<f64>().collect())
    }
}
