//! Convolutions by 3 x 3 windows with four ninths of the multiplications: Winograd's minimal filtering F(2x2, 3x3), as Lavin and Gray have it for
//! networks (arXiv 1509.09308, section 4.1). Tiles of 4 x 4 numbers, two apart, are transformed, multiplied with the transformed weights as
//! sixteen matrices, and transformed back to 2 x 2 results each.

use gemm::Parallelism;
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSliceMut};

use crate::product::{Matrix, multiply};

/// Numbers of a transformed tile.
const PLANES: usize = 16;
/// Least channels, in and out, and least tiles, that are worth the transforms: with 32 channels they cost what they save.
const CHANNELS: usize = 64;
const TILES: usize = 128;

/// Sizes of a convolution in tiles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Winograd {
    pub(crate) channels: usize,
    pub(crate) outputs: usize,
    pub(crate) size: [usize; 2],
    /// Zeros above and left of the image.
    pub(crate) before: [usize; 2],
    pub(crate) out: [usize; 2],
}

impl Winograd {
    /// Whether an image is done sooner in this way. How many others are with it does not count: its numbers are to be the same.
    pub(crate) fn is_worth(&self) -> bool {
        let [down, across] = self.tiles();
        self.channels.min(self.outputs) >= CHANNELS && down * across >= TILES
    }

    fn tiles(&self) -> [usize; 2] {
        self.out.map(|side| side.div_ceil(2))
    }

    /// Rows of the result that are computed at once, so that their tiles are about `numbers`.
    pub(crate) fn rows_at_once(&self, numbers: usize) -> usize {
        let [down, across] = self.tiles();
        let of_row = PLANES * self.channels.max(self.outputs) * across;
        2 * (numbers / of_row.max(1)).clamp(1, down.max(1))
    }

    /// The weights of each output, transformed: sixteen rows of the channels.
    pub(crate) fn weights(&self, weight: &[f32]) -> Vec<f32> {
        let mut transformed = vec![0.0; self.outputs * PLANES * self.channels];
        let of_output = transformed.par_chunks_mut(PLANES * self.channels).enumerate();
        of_output.for_each(|(output, planes)| {
            for channel in 0..self.channels {
                let window = &weight[(output * self.channels + channel) * 9..][..9];
                let by_rows =
                    [0, 1, 2].map(|column| filtered([window[column], window[3 + column], window[6 + column]]));
                for row in 0..4 {
                    let both = filtered([by_rows[0][row], by_rows[1][row], by_rows[2][row]]);
                    for (column, value) in both.into_iter().enumerate() {
                        planes[(4 * row + column) * self.channels + channel] = value;
                    }
                }
            }
        });
        transformed
    }

    /// `count` rows of the result from the even row `first` on, one output after the other.
    pub(crate) fn rows(
        &self,
        image: &[f32],
        weights: &[f32],
        first: usize,
        count: usize,
        parallel: Parallelism,
    ) -> Vec<f32> {
        let across = self.tiles()[1];
        let tiles = count.div_ceil(2) * across;
        let transformed = self.transformed(image, first / 2, tiles);
        let mut products = vec![0.0; PLANES * self.outputs * tiles];
        for (plane, product) in products.chunks_mut((self.outputs * tiles).max(1)).enumerate() {
            let (rows, columns, stride) = (self.outputs, self.channels, PLANES * self.channels);
            let of_plane = Matrix { numbers: &weights[plane * columns..], rows, columns, strides: [stride, 1] };
            let tiles_of_plane = &transformed[plane * columns * tiles..][..columns * tiles];
            multiply(of_plane, Matrix::dense(tiles_of_plane, columns, tiles), product, tiles, parallel);
        }
        self.back(&products, count, tiles)
    }

    /// Transformed tiles from row `first` of tiles on: plane, channel, tile.
    fn transformed(&self, image: &[f32], first: usize, tiles: usize) -> Vec<f32> {
        let ([height, width], across) = (self.size, self.tiles()[1]);
        let mut planes = vec![0.0; PLANES * self.channels * tiles];
        // Numbers at even and at odd places of a row, zeros around the image among them.
        let (mut even, mut odd) = (vec![0.0; across + 1], vec![0.0; across + 1]);
        let mut by_rows: [[Vec<f32>; 4]; 4] = std::array::from_fn(|_| std::array::from_fn(|_| vec![0.0; across]));
        for channel in 0..self.channels {
            let image = &image[channel * height * width..][..height * width];
            for down in 0..tiles / across.max(1) {
                for (row, results) in by_rows.iter_mut().enumerate() {
                    let y = (2 * (first + down) + row).checked_sub(self.before[0]).filter(|y| *y < height);
                    let source = y.map_or(&[][..], |y| &image[y * width..][..width]);
                    split(source, self.before[1], &mut even, &mut odd);
                    let [a, b, c, d] = results;
                    let (now, next) = (&even[..across], &even[1..]);
                    combine(a, now, next, |x, z| x - z);
                    combine(b, &odd[..across], next, |y, z| y + z);
                    combine(c, next, &odd[..across], |z, y| z - y);
                    combine(d, &odd[..across], &odd[1..], |y, w| y - w);
                }
                let [r0, r1, r2, r3] = &by_rows;
                for column in 0..4 {
                    let mut put = |row: usize, a: &[f32], b: &[f32], plus: bool| {
                        let at = ((4 * row + column) * self.channels + channel) * tiles + down * across;
                        let target = &mut planes[at..at + across];
                        match plus {
                            true => combine(target, a, b, |a, b| a + b),
                            false => combine(target, a, b, |a, b| a - b),
                        }
                    };
                    put(0, &r0[column], &r2[column], false);
                    put(1, &r1[column], &r2[column], true);
                    put(2, &r2[column], &r1[column], false);
                    put(3, &r1[column], &r3[column], false);
                }
            }
        }
        planes
    }

    /// The results of tiles, put together: output, row, column.
    fn back(&self, products: &[f32], count: usize, tiles: usize) -> Vec<f32> {
        let (columns, across) = (self.out[1], self.tiles()[1]);
        let mut results = vec![0.0; self.outputs * count * columns];
        let mut pairs: [Vec<f32>; 4] = std::array::from_fn(|_| vec![0.0; across]);
        for (output, channel) in results.chunks_mut((count * columns).max(1)).enumerate() {
            for (down, rows) in channel.chunks_mut((2 * columns).max(1)).enumerate() {
                let plane =
                    |plane: usize| &products[(plane * self.outputs + output) * tiles + down * across..][..across];
                for (lower, row) in rows.chunks_mut(columns.max(1)).enumerate() {
                    for (column, sums) in pairs.iter_mut().enumerate() {
                        let [a, b, c, d] = [0, 4, 8, 12].map(|row| plane(row + column));
                        match lower {
                            0 => sum(sums, a, b, c, |a, b, c| a + b + c),
                            _ => sum(sums, b, c, d, |b, c, d| b - c - d),
                        }
                    }
                    let [p0, p1, p2, p3] = &pairs;
                    for (i, two) in row.chunks_mut(2).enumerate() {
                        two[0] = p0[i] + p1[i] + p2[i];
                        if let Some(right) = two.get_mut(1) {
                            *right = p1[i] - p2[i] - p3[i];
                        }
                    }
                }
            }
        }
        results
    }
}

/// Three weights for a tile of four.
fn filtered([a, b, c]: [f32; 3]) -> [f32; 4] {
    [a, (a + b + c) * 0.5, (a - b + c) * 0.5, c]
}

/// What stands at even and at odd places of a row that begins with `left` zeros and ends with as many as are needed.
fn split(row: &[f32], left: usize, even: &mut [f32], odd: &mut [f32]) {
    even.fill(0.0);
    odd.fill(0.0);
    // The first number of the row stands at place `left`, the second one after it.
    let place = |to: &mut [f32], place: usize, from: usize| {
        let targets = to.iter_mut().skip(place / 2);
        targets.zip(row.iter().skip(from).step_by(2)).for_each(|(to, from)| *to = *from);
    };
    match left % 2 {
        0 => {
            place(even, left, 0);
            place(odd, left + 1, 1);
        }
        _ => {
            place(odd, left, 0);
            place(even, left + 1, 1);
        }
    }
}

fn combine(to: &mut [f32], a: &[f32], b: &[f32], of: impl Fn(f32, f32) -> f32) {
    to.iter_mut().zip(a.iter().zip(b)).for_each(|(to, (a, b))| *to = of(*a, *b));
}

fn sum(to: &mut [f32], a: &[f32], b: &[f32], c: &[f32], of: impl Fn(f32, f32, f32) -> f32) {
    to.iter_mut().zip(a.iter().zip(b.iter().zip(c))).for_each(|(to, (a, (b, c)))| *to = of(*a, *b, *c));
}
