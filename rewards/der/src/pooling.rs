//! From the features of an image's patches to one vector.

use serde::{Deserialize, Serialize};

/// What the patch features are weighted with before they are averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// All alike.
    #[default]
    Mean,
    /// By how far a patch lies on the foreground's side of the first principal component of the image's patches, which
    /// separates an object from what is around it (DINOv2, section 7.5). The foreground is the side that the patches at the
    /// border of the image are not on.
    Foreground,
}

/// Rounds of the power iteration: the first component of natural images stands out after a few.
const ROUNDS: usize = 32;

impl Pooling {
    /// The weighted mean of the `rows` x `columns` patches of an image, each `width` numbers, row by row; of length 1.
    pub(crate) fn pool(self, patches: &[f32], [rows, columns]: [usize; 2], width: usize) -> Vec<f32> {
        let weights = match self {
            Self::Mean => vec![1.0; rows * columns],
            Self::Foreground => foreground(patches, [rows, columns], width),
        };
        let mut sum = vec![0.0_f64; width];
        for (patch, weight) in patches.chunks(width).zip(&weights) {
            for (sum, x) in sum.iter_mut().zip(patch) {
                *sum += weight * f64::from(*x);
            }
        }
        scale_to_one(&mut sum);
        sum.into_iter().map(|x| x as f32).collect()
    }
}

/// A weight of 0 or more for each patch, not all 0.
fn foreground(patches: &[f32], [rows, columns]: [usize; 2], width: usize) -> Vec<f64> {
    let count = rows * columns;
    let mut mean = vec![0.0; width];
    for patch in patches.chunks(width) {
        for (mean, x) in mean.iter_mut().zip(patch) {
            *mean += f64::from(*x) / count as f64;
        }
    }
    let centred: Vec<f64> =
        patches.chunks(width).flat_map(|patch| patch.iter().zip(&mean).map(|(x, m)| f64::from(*x) - m)).collect();
    let project = |axis: &[f64]| -> Vec<f64> {
        centred.chunks(width).map(|patch| patch.iter().zip(axis).map(|(x, a)| x * a).sum()).collect()
    };
    // From the patch that is farthest from the mean: it cannot be orthogonal to all of the variance.
    let length = |patch: &&[f64]| patch.iter().map(|x| x * x).sum::<f64>();
    let mut axis = centred.chunks(width).max_by(|a, b| length(a).total_cmp(&length(b))).unwrap_or_default().to_vec();
    for _ in 0..ROUNDS {
        scale_to_one(&mut axis);
        let along = project(&axis);
        axis = vec![0.0; width];
        for (patch, along) in centred.chunks(width).zip(along) {
            for (axis, x) in axis.iter_mut().zip(patch) {
                *axis += along * x;
            }
        }
    }
    scale_to_one(&mut axis);
    let mut along = project(&axis);
    let at_border = |i: usize| {
        let (row, column) = (i / columns, i % columns);
        row == 0 || row == rows - 1 || column == 0 || column == columns - 1
    };
    let border: f64 = along.iter().enumerate().filter(|(i, _)| at_border(*i)).map(|(_, a)| a).sum();
    // Where the border is on neither side, as in an image of one colour or of a few patches, there is no foreground.
    if border.abs() <= 1e-3 * along.iter().map(|a| a.abs()).sum::<f64>() {
        return vec![1.0; count];
    }
    if border > 0.0 {
        along.iter_mut().for_each(|a| *a = -*a);
    }
    along.into_iter().map(|a| a.max(0.0)).collect()
}

fn scale_to_one(x: &mut [f64]) {
    let length = x.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-12);
    x.iter_mut().for_each(|x| *x /= length);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 4 x 5 patches of 3 numbers: an object of 2 x 3 patches in the middle, on ground.
    fn image(object: [f32; 3], ground: [f32; 3]) -> Vec<f32> {
        let inside = |i: usize| (1..3).contains(&(i / 5)) && (1..4).contains(&(i % 5));
        // A little noise, so that there is more than one component.
        let noise = |i: usize| 0.01 * ((i * 7 % 5) as f32 - 2.0);
        (0..20).flat_map(|i| (if inside(i) { object } else { ground }).map(|x| x + noise(i))).collect()
    }

    #[test]
    fn the_foreground_is_what_stands_out_from_the_border() {
        let (object, ground) = ([0.0, 1.0, 0.0], [1.0, 0.0, 0.0]);
        for (object, ground) in [(object, ground), (ground, object)] {
            let patches = image(object, ground);
            let weights = foreground(&patches, [4, 5], 3);
            for (i, weight) in weights.iter().enumerate() {
                let inside = (1..3).contains(&(i / 5)) && (1..4).contains(&(i % 5));
                assert_eq!(*weight > 0.0, inside, "patch {i}: {weight}");
            }
            let pooled = Pooling::Foreground.pool(&patches, [4, 5], 3);
            let mean = Pooling::Mean.pool(&patches, [4, 5], 3);
            let on_object = |v: &[f32]| v.iter().zip(object).map(|(a, b)| a * b).sum::<f32>();
            assert!(on_object(&pooled) > 0.999 && on_object(&mean) < 0.5, "{pooled:?} {mean:?}");
        }
    }

    #[test]
    fn an_image_of_one_colour_is_averaged() {
        let patches = vec![0.5; 12];
        let (foreground, mean) =
            (Pooling::Foreground.pool(&patches, [2, 2], 3), Pooling::Mean.pool(&patches, [2, 2], 3));
        assert_eq!(foreground, mean);
        let one = Pooling::Foreground.pool(&[3.0, 4.0], [1, 1], 2);
        assert!((one[0] - 0.6).abs() < 1e-6 && (one[1] - 0.8).abs() < 1e-6, "{one:?}");
    }
}
