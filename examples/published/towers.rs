//! The rewards' towers: ERNIE, BLIP-2, DINOv2 and FaceNet with random weights, and MTCNN as it is published.

use std::path::Path;

use burn::tensor::Device;
use counterpoint::{Error, Result, serde_json};
use counterpoint_encoders::face::FaceNetConfig;
use counterpoint_encoders::{BertConfig, Blip2Config, Dinov2Config};
use serde_json::json;

use crate::cannot_write;

/// MTCNN's own weights (MIT), which come with the project.
const DETECTOR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../benches/unifybench/assets/towers/fer/detector");
/// Longest text, in pieces: a text is written letter by letter.
const LENGTH: usize = 256;

pub(crate) fn write(out: &Path, device: &Device) -> Result<()> {
    let vocabulary = vocabulary();
    let pieces = vocabulary.lines().count();

    let ernie = out.join("ernie");
    let config = BertConfig {
        vocab_size: pieces,
        hidden_size: 64,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        intermediate_size: 128,
        max_position_embeddings: LENGTH,
        use_task_id: true,
        ..BertConfig::default()
    };
    config.init(device)?.save(&config, &ernie)?;
    crate::write(&ernie.join("vocab.txt"), &vocabulary)?;

    let blip2 = out.join("blip2");
    let config: Blip2Config = from(json!({
        "vision_config": {
            "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
            "image_size": 56, "patch_size": 14,
        },
        "qformer_config": {
            "vocab_size": pieces, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
            "intermediate_size": 128, "max_position_embeddings": LENGTH, "cross_attention_frequency": 2,
            "encoder_hidden_size": 64, "use_qformer_text_input": true,
        },
        "num_query_tokens": 8,
        "image_text_hidden_size": 32,
    }))?;
    config.init(device)?.save(&config, &blip2)?;
    crate::write(&blip2.join("vocab.txt"), &vocabulary)?;
    let processor = json!({"image_processor_type": "BlipImageProcessor", "size": {"height": 56, "width": 56}});
    crate::write(&blip2.join("preprocessor_config.json"), &processor.to_string())?;

    let dinov2 = out.join("dinov2");
    let config: Dinov2Config = from(json!({
        "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 56, "patch_size": 14,
    }))?;
    config.init(device)?.save(&config, &dinov2)?;
    let processor = json!({
        "image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 64},
        "crop_size": {"height": 56, "width": 56},
    });
    crate::write(&dinov2.join("preprocessor_config.json"), &processor.to_string())?;

    let config: FaceNetConfig = from(json!({"width": 8, "embedding_size": 64}))?;
    config.init(device)?.save(&config, &out.join("facenet"))?;
    let detector = out.join("mtcnn");
    std::fs::create_dir_all(&detector).map_err(|e| cannot_write(&detector, e))?;
    for name in ["config.json", "model.safetensors"] {
        let to = detector.join(name);
        std::fs::copy(Path::new(DETECTOR).join(name), &to).map_err(|e| cannot_write(&to, e))?;
    }
    Ok(())
}

fn from<T: serde::de::DeserializeOwned>(config: serde_json::Value) -> Result<T> {
    serde_json::from_value(config).map_err(|e| Error::config("expected the config of a tower").with_source(e))
}

/// A vocabulary of WordPiece that writes letter by letter.
fn vocabulary() -> String {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned);
    let characters: Vec<char> = ('!'..='~').filter(|c| !c.is_uppercase()).chain("äöüßéèñ".chars()).collect();
    let first = characters.iter().map(char::to_string);
    let later = characters.iter().filter(|c| c.is_alphanumeric()).map(|c| format!("##{c}"));
    special.into_iter().chain(first).chain(later).map(|piece| piece + "\n").collect()
}
