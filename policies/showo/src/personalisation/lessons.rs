//! What a concept is learned from.

use std::sync::Arc;

use image::RgbImage;

/// A photograph and what it shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Captioned {
    /// The photograph, of any size.
    pub image: Arc<RgbImage>,
    /// What it shows, such as `A photo of <miso>.`; the concept's soft tokens are put before its name.
    pub caption: String,
}

/// A question about a photograph and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The photograph, of any size.
    pub image: Arc<RgbImage>,
    /// The question; what is known of the concept is put before it.
    pub question: String,
    /// The answer.
    pub answer: String,
}

/// All that one concept is learned from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Lessons {
    /// What it is, in a word or two, such as `cat`: the name's embedding begins as that of these.
    pub class: String,
    /// Photographs of the concept, which its tokens may begin from.
    pub photographs: Vec<Arc<RgbImage>>,
    /// For painting.
    pub captioned: Vec<Captioned>,
    /// For answering: recognition, of photographs of other things too, and conversations.
    pub asked: Vec<Asked>,
}
