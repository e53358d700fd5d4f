//! What a judge is asked.

use std::io::Cursor;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use counterpoint::{Error, Result};
use image::{ImageFormat, RgbImage};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// One question: instructions, text, and the images that it is about.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// What the judge is and how it is to answer; may be empty.
    pub system: String,
    /// The question.
    pub text: String,
    /// Images after the text, in order.
    pub images: Vec<Arc<RgbImage>>,
}

impl Question {
    /// A question about text alone.
    pub fn new(system: impl Into<String>, text: impl Into<String>) -> Self {
        Self { system: system.into(), text: text.into(), images: Vec::new() }
    }

    /// The same with one more image.
    pub fn with_image(mut self, image: Arc<RgbImage>) -> Self {
        self.images.push(image);
        self
    }

    /// SHA-256 of the question and of who is asked, in hexadecimal: of each part its length and its bytes.
    pub(crate) fn key(&self, model: &str, max_tokens: u32) -> String {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        part(b"counterpoint judge 1");
        part(model.as_bytes());
        part(&max_tokens.to_le_bytes());
        part(self.system.as_bytes());
        part(self.text.as_bytes());
        for image in &self.images {
            part(&image.width().to_le_bytes());
            part(image.as_raw());
        }
        hex::encode(hash.finalize())
    }

    /// The body of a request for a chat completion.
    pub(crate) fn body(&self, model: &str, max_tokens: u32) -> Result<Value> {
        let mut messages = Vec::new();
        if !self.system.is_empty() {
            messages.push(json!({ "role": "system", "content": self.system }));
        }
        // Endpoints for text alone know texts and no lists.
        let content = match self.images.is_empty() {
            true => Value::from(self.text.as_str()),
            false => {
                let mut parts = vec![json!({ "type": "text", "text": self.text })];
                for image in &self.images {
                    parts.push(json!({ "type": "image_url", "image_url": { "url": data_url(image)? } }));
                }
                Value::from(parts)
            }
        };
        messages.push(json!({ "role": "user", "content": content }));
        Ok(json!({ "model": model, "messages": messages, "temperature": 0, "max_tokens": max_tokens }))
    }
}

/// The image as PNG in a URL.
fn data_url(image: &RgbImage) -> Result<String> {
    let mut png = Cursor::new(Vec::new());
    image.write_to(&mut png, ImageFormat::Png).map_err(|e| {
        let (width, height) = image.dimensions();
        Error::data(format!("cannot send an image of {width}x{height} pixels to the judge")).with_source(e.to_string())
    })?;
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(png.into_inner())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn red() -> Arc<RgbImage> {
        Arc::new(RgbImage::from_pixel(2, 2, image::Rgb([255, 0, 0])))
    }

    #[test]
    fn every_part_is_in_the_key() {
        let question = Question::new("be brief", "is it red?").with_image(red());
        let key = question.key("m", 16);
        assert_eq!((key.len(), &question.clone().key("m", 16)), (64, &key));
        let mut others =
            vec![question.key("n", 16), question.key("m", 17), question.clone().with_image(red()).key("m", 16)];
        others.push(Question { system: String::new(), ..question.clone() }.key("m", 16));
        // Not the same bytes at another place.
        others.push(Question { system: "be brie".into(), text: "fis it red?".into(), ..question.clone() }.key("m", 16));
        let tall = Arc::new(RgbImage::from_pixel(1, 4, image::Rgb([255, 0, 0])));
        others.push(Question { images: vec![tall], ..question }.key("m", 16));
        assert!(others.iter().all(|other| *other != key));
    }

    #[test]
    fn a_body_has_parts_only_where_there_are_images() {
        let text = Question::new("", "why?").body("m", 8).unwrap();
        let expected = json!({
            "model": "m", "temperature": 0, "max_tokens": 8, "messages": [{ "role": "user", "content": "why?" }],
        });
        assert_eq!(text, expected);
        let image = Question::new("s", "why?").with_image(red()).body("m", 8).unwrap();
        assert_eq!(image["messages"][0], json!({ "role": "system", "content": "s" }));
        let url = image["messages"][1]["content"][1]["image_url"]["url"].as_str().unwrap().to_owned();
        let png = STANDARD.decode(url.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
        assert_eq!(image::load_from_memory(&png).unwrap().into_rgb8(), *red());
    }
}
