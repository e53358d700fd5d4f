//! Random decoder weights in the original's layout, streamed to disk: a model of any size needs no memory.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use counterpoint::{Error, Key, Result, Streams};
use counterpoint_showo::ShowoConfig;
use serde_json::{Map, Value, json};

/// Standard deviation of the weights.
const STD: f32 = 0.02;
/// How many numbers are made at a time.
const BLOCK: usize = 1 << 16;

/// Number format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// 32-bit floats.
    F32,
    /// The upper half of 32-bit floats.
    Bf16,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::Bf16 => "BF16",
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }

    fn write(self, values: &[f32], out: &mut impl Write) -> std::io::Result<()> {
        let mut buffer = Vec::with_capacity(values.len() * self.bytes());
        for value in values {
            match self {
                Self::F32 => buffer.extend(value.to_le_bytes()),
                Self::Bf16 => buffer.extend(((value.to_bits() >> 16) as u16).to_le_bytes()),
            }
        }
        out.write_all(&buffer)
    }
}

/// What a tensor is filled with: uniform numbers around `mean`, with the standard deviation of the fresh model.
struct Random {
    name: String,
    shape: Vec<usize>,
    mean: f32,
}

/// Writes the decoder of `config` to `path` as safetensors. Biases and norms are random too: a mistake in one shows.
///
/// # Errors
/// [`Io`](counterpoint::ErrorKind::Io) when the file cannot be written.
pub fn write_decoder(config: &ShowoConfig, path: &Path, format: Format, seed: u64) -> Result<()> {
    // Under its name only when it is whole.
    let part = path.with_extension("part");
    stream(&decoder(config), &part, format, seed)
        .and_then(|()| std::fs::rename(&part, path))
        .map_err(|e| Error::io("cannot write", path, e))
}

fn stream(tensors: &[Random], path: &Path, format: Format, seed: u64) -> std::io::Result<()> {
    let mut header = Map::from_iter([("__metadata__".to_owned(), json!({ "format": "pt" }))]);
    let mut offset = 0;
    for tensor in tensors {
        let end = offset + tensor.shape.iter().product::<usize>() * format.bytes();
        let entry = json!({ "dtype": format.name(), "shape": tensor.shape, "data_offsets": [offset, end] });
        header.insert(tensor.name.clone(), entry);
        offset = end;
    }
    let mut header = Value::Object(header).to_string();
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let mut out = BufWriter::new(File::create(path)?);
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    let spread = STD * 12_f32.sqrt();
    for (i, tensor) in tensors.iter().enumerate() {
        let mut stream = Streams::new(seed).stream(Key::task(0, 0), "bench.weights", i as u64);
        let mut left = tensor.shape.iter().product::<usize>();
        while left > 0 {
            let mut values = stream.uniforms(left.min(BLOCK));
            values.iter_mut().for_each(|v| *v = tensor.mean + (*v - 0.5) * spread);
            format.write(&values, &mut out)?;
            left -= values.len();
        }
    }
    out.flush()
}

/// Names and shapes of the original's decoder.
fn decoder(config: &ShowoConfig) -> Vec<Random> {
    let phi = &config.phi;
    let (width, mlp, head) = (phi.hidden_size, phi.intermediate_size, phi.head_dim());
    let mut tensors = Vec::new();
    let mut add = |name: String, shape: Vec<usize>, mean: f32| tensors.push(Random { name, shape, mean });
    let mut module = |name: &str, weight: Vec<usize>, mean: f32| {
        add(format!("showo.{name}.bias"), vec![weight[0]], 0.0);
        add(format!("showo.{name}.weight"), weight, mean);
    };
    for layer in 0..phi.num_hidden_layers {
        let at = |name: &str| format!("model.layers.{layer}.{name}");
        module(&at("input_layernorm"), vec![width], 1.0);
        for name in ["q_proj", "k_proj", "v_proj", "dense"] {
            module(&at(&format!("self_attn.{name}")), vec![width, width], 0.0);
        }
        if phi.qk_layernorm {
            module(&at("self_attn.q_layernorm"), vec![head], 1.0);
            module(&at("self_attn.k_layernorm"), vec![head], 1.0);
        }
        module(&at("mlp.fc1"), vec![mlp, width], 0.0);
        module(&at("mlp.fc2"), vec![width, mlp], 0.0);
    }
    module("model.final_layernorm", vec![width], 1.0);
    module("lm_head", vec![config.vocab_size, width], 0.0);
    add("showo.model.embed_tokens.weight".to_owned(), vec![config.vocab_size, width], 0.0);
    tensors
}
