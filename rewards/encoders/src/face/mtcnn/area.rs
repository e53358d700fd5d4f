//! Resampling by areas: an output pixel is the mean of all source pixels that it touches, each with the same weight, as
//! adaptive average pooling takes it.

use image::RgbImage;

/// The part `[left, top, right, bottom]` of `image` (the last two beyond it, not empty) at `width` x `height`, in -1..=1.
///
/// # Shapes
/// - result: appended to `out`, row by row, red, green and blue beside each other
pub(super) fn resample(
    image: &RgbImage,
    [left, top, right, bottom]: [usize; 4],
    [width, height]: [usize; 2],
    out: &mut Vec<f32>,
) {
    let stride = 3 * image.width() as usize;
    let source = image.as_raw();
    let spans = |from: usize, length: usize, count: usize| -> Vec<(usize, usize)> {
        (0..count).map(|i| (from + i * length / count, from + ((i + 1) * length).div_ceil(count))).collect()
    };
    let columns = spans(left, right - left, width);
    // Sums over the rows of an output row first: neighbouring output pixels share their source columns.
    let mut sums = vec![0_u32; 3 * (right - left)];
    out.reserve(3 * width * height);
    for (first, end) in spans(top, bottom - top, height) {
        sums.fill(0);
        for y in first..end {
            let row = &source[y * stride + 3 * left..y * stride + 3 * right];
            for (sum, &byte) in sums.iter_mut().zip(row) {
                *sum += u32::from(byte);
            }
        }
        let rows = (end - first) as f32;
        for &(first, end) in &columns {
            let mut total = [0_u32; 3];
            for pixel in sums[3 * (first - left)..3 * (end - left)].chunks_exact(3) {
                for (total, sum) in total.iter_mut().zip(pixel) {
                    *total += sum;
                }
            }
            let columns = (end - first) as f32;
            out.extend(total.map(|total| (total as f32 / rows / columns - 127.5) * 0.007_812_5));
        }
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn a_pixel_is_the_mean_of_what_it_touches() {
        let image = RgbImage::from_fn(5, 2, |x, y| Rgb([10 * x as u8, 100 * y as u8, 7]));
        let mut out = Vec::new();
        resample(&image, [0, 0, 5, 2], [2, 1], &mut out);
        let scaled = |value: f32| (value - 127.5) * 0.007_812_5;
        assert_eq!(out, [10.0, 50.0, 7.0, 30.0, 50.0, 7.0].map(scaled), "the middle column is in both");
        out.clear();
        resample(&image, [1, 0, 2, 1], [3, 1], &mut out);
        assert_eq!(out, [10.0, 0.0, 7.0].repeat(3).into_iter().map(scaled).collect::<Vec<_>>(), "enlarged");
    }
}
