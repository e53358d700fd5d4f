//! Sample grids: images with their prompt and reasoning as PNG.

use std::path::Path;

use counterpoint::{Error, Result};
use font8x8::UnicodeFonts;
use image::imageops::{FilterType, overlay, resize};
use image::{Rgb, RgbImage};

/// Pixels of an image's side in the grid.
const SIDE: u32 = 192;
/// Pixels of a character's side; the bitmap font is 8x8.
const CHARACTER: u32 = 8;
/// Lines of text under an image.
const LINES: u32 = 6;
/// Pixels around an image.
const MARGIN: u32 = 8;

/// One image with what belongs to it.
#[derive(Debug, Clone)]
pub struct Cell {
    /// The image.
    pub image: RgbImage,
    /// Text under it, wrapped; a line break starts a new line.
    pub caption: String,
}

/// Writes `cells` as a PNG of `columns` columns.
///
/// # Errors
/// [`Io`](counterpoint::ErrorKind::Io) when the file cannot be written.
pub fn save_grid(cells: &[Cell], columns: u32, path: &Path) -> Result<()> {
    let (width, height) = (SIDE + 2 * MARGIN, SIDE + 2 * MARGIN + LINES * (CHARACTER + 2));
    let rows = (cells.len() as u32).div_ceil(columns.max(1)).max(1);
    let mut grid = RgbImage::from_pixel(width * columns.max(1), height * rows, Rgb([255, 255, 255]));
    for (i, cell) in cells.iter().enumerate() {
        let (x, y) = (i as u32 % columns * width + MARGIN, i as u32 / columns * height + MARGIN);
        let image = resize(&cell.image, SIDE, SIDE, FilterType::Nearest);
        overlay(&mut grid, &image, i64::from(x), i64::from(y));
        for (line, text) in wrap(&cell.caption, (SIDE / CHARACTER) as usize).iter().take(LINES as usize).enumerate() {
            write(&mut grid, text, x, y + SIDE + 4 + line as u32 * (CHARACTER + 2));
        }
    }
    grid.save(path).map_err(|e| Error::io("cannot write", path, std::io::Error::other(e)))
}

/// Lines of at most `width` characters, broken between words.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.len() + 1 + word.len() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

fn write(grid: &mut RgbImage, text: &str, x: u32, y: u32) {
    for (i, character) in text.chars().enumerate() {
        let glyph = font8x8::BASIC_FONTS.get(character).or(font8x8::BASIC_FONTS.get('?')).unwrap_or_default();
        for (row, bits) in glyph.iter().enumerate() {
            for column in 0..CHARACTER {
                let (px, py) = (x + i as u32 * CHARACTER + column, y + row as u32);
                if bits >> column & 1 == 1 && px < grid.width() && py < grid.height() {
                    grid.put_pixel(px, py, Rgb([20, 20, 20]));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn captions_wrap_between_words() {
        assert_eq!(wrap("a red hat at the beach\nIR: none", 10), ["a red hat", "at the", "beach", "IR: none"]);
    }

    #[test]
    fn a_grid_holds_every_image_and_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grid.png");
        let cell = |shade| Cell { image: RgbImage::from_pixel(4, 4, Rgb([shade, 0, 0])), caption: "x".into() };
        save_grid(&[cell(200), cell(100), cell(50)], 2, &path).unwrap();
        let grid = image::open(&path).unwrap().into_rgb8();
        assert_eq!(grid.dimensions(), (2 * (SIDE + 16), 2 * (SIDE + 16 + LINES * 10)));
        assert_eq!(grid.get_pixel(MARGIN + 5, MARGIN + 5).0, [200, 0, 0]);
        assert_eq!(grid.get_pixel(SIDE + 3 * MARGIN + 5, MARGIN + 5).0, [100, 0, 0]);
        let text = grid.enumerate_pixels().filter(|(x, y, p)| *x < SIDE && *y > SIDE + MARGIN && p.0 == [20, 20, 20]);
        assert!(text.count() > 5);
    }
}
