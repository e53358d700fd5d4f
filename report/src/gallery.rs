//! Images of several models side by side, with what was asked, reasoned and judged.

use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use counterpoint::{Error, Result};
use image::{ImageFormat, RgbImage};
use maud::{Markup, html};

/// Images of some tasks, such as those before and after training, or those of several methods.
#[derive(Debug, Clone, Default)]
pub struct Gallery {
    /// What is shown.
    pub title: String,
    /// A sentence on how the images were drawn and judged; may be empty.
    pub note: String,
    /// One task each.
    pub cells: Vec<Cell>,
}

/// One task, with what each model made of it.
#[derive(Debug, Clone, Default)]
pub struct Cell {
    /// What the model was asked.
    pub prompt: String,
    /// What is right, if that is known.
    pub truth: Option<String>,
    /// What was made of it, side by side: whose it is, such as `before`, and what.
    pub answers: Vec<(String, Answer)>,
}

/// What a model made of a task.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// What it said.
    pub reasoning: String,
    /// What it drew.
    pub image: Option<RgbImage>,
    /// How that was judged, attribute by attribute or as a whole.
    pub verdicts: Vec<Verdict>,
}

/// One judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What was judged, such as `colour`.
    pub what: String,
    /// Whether it was right.
    pub right: bool,
}

impl Verdict {
    /// A judgement of `what`.
    pub fn new(what: impl Into<String>, right: bool) -> Self {
        Self { what: what.into(), right }
    }
}

impl Gallery {
    pub(crate) fn html(&self) -> Result<Markup> {
        let cells = self.cells.iter().map(Cell::html).collect::<Result<Vec<_>>>()?;
        Ok(html! {
            h3 { (self.title) }
            @if !self.note.is_empty() { p.note { (self.note) } }
            @if cells.is_empty() { p.note { "No images were kept." } }
            div.cells { @for cell in cells { (cell) } }
        })
    }
}

impl Cell {
    fn html(&self) -> Result<Markup> {
        let answers = self.answers.iter().map(|(whose, answer)| answer.html(whose, &self.prompt));
        let answers = answers.collect::<Result<Vec<_>>>()?;
        Ok(html! {
            article.cell {
                p.prompt { (self.prompt) }
                @if let Some(truth) = &self.truth { p.truth { span.key { "truth " } (truth) } }
                div.pair { @for answer in answers { (answer) } }
            }
        })
    }
}

impl Answer {
    fn html(&self, whose: &str, prompt: &str) -> Result<Markup> {
        let image = self.image.as_ref().filter(|image| image.width() > 0 && image.height() > 0);
        let image = image.map(|image| data_url(image).map(|url| (image.dimensions(), url))).transpose()?;
        Ok(html! {
            figure.answer {
                p.when { (whose) }
                @if let Some(((width, height), url)) = image {
                    img src=(url) width=(width) height=(height) alt={ "Image, " (whose) ", for: " (prompt) };
                } @else {
                    p.note { "no image" }
                }
                figcaption {
                    p.reasoning { span.key { "said " } (self.reasoning) }
                    @if !self.verdicts.is_empty() {
                        ul.verdicts {
                            @for verdict in &self.verdicts {
                                @if verdict.right {
                                    li.right { "✓ " (verdict.what) span.hidden { " right" } }
                                } @else {
                                    li.wrong { "✗ " (verdict.what) span.hidden { " wrong" } }
                                }
                            }
                        }
                    }
                }
            }
        })
    }
}

/// The image as a PNG inside its own address.
fn data_url(image: &RgbImage) -> Result<String> {
    let mut png = Cursor::new(Vec::new());
    let size = image.dimensions();
    image.write_to(&mut png, ImageFormat::Png).map_err(|e| {
        Error::data(format!("cannot write an image of {} x {} pixels as PNG", size.0, size.1)).with_source(e)
    })?;
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(png.into_inner())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use image::Rgb;

    use super::*;

    #[test]
    fn the_image_in_the_page_is_the_image_that_was_given() {
        let image = RgbImage::from_fn(5, 3, |x, y| Rgb([x as u8 * 50, y as u8 * 80, 7]));
        let url = data_url(&image).unwrap();
        let bytes = STANDARD.decode(url.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
        assert_eq!(image::load_from_memory(&bytes).unwrap().into_rgb8(), image);
    }

    #[test]
    fn what_is_not_known_is_not_shown() {
        let answer = Answer { reasoning: "a red hat".into(), ..Answer::default() };
        let cell = Cell { prompt: "draw <ada>".into(), answers: vec![("after".to_owned(), answer)], ..Cell::default() };
        let page = cell.html().unwrap().into_string();
        assert!(page.contains("draw &lt;ada&gt;") && page.contains("no image") && page.contains("a red hat"), "{page}");
        assert!(!page.contains("before") && !page.contains("truth") && !page.contains("verdicts"), "{page}");
    }
}
