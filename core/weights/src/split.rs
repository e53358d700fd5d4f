//! Tensors that a file has as one and a module as several.

use burn::store::bridge;
use burn::store::burn_pack::Tensor as Source;
use burn::tensor::{Shape, TensorData};
use counterpoint::{Error, Result};

/// `sources`, those whose name has the first of a pair in it cut along their first axis into as many equal parts as the second has
/// names, which take its place.
pub(crate) fn split(sources: Vec<Source>, fused: &[(&str, &[&str])]) -> Result<Vec<Source>> {
    let mut all = Vec::with_capacity(sources.len());
    for source in sources {
        let Some((whole, parts)) = fused.iter().find(|(whole, _)| source.name.contains(whole)) else {
            all.push(source);
            continue;
        };
        let mut shape = source.shape.to_vec();
        let rows = shape.first().copied().unwrap_or(0);
        if parts.is_empty() || !rows.is_multiple_of(parts.len()) {
            return Err(Error::weights(format!(
                "{}: expected a multiple of {} along the first axis, of {} parts, got shape {shape:?}",
                source.name,
                parts.len(),
                parts.len()
            )));
        }
        shape[0] = rows / parts.len();
        for (i, part) in parts.iter().enumerate() {
            let (name, dtype) = (source.name.replace(whole, part), source.dtype);
            let (target, count) = (Shape::from(shape.clone()), parts.len());
            let of = target.clone();
            all.push(bridge::map_data(source.clone(), name, dtype, target, move |data| {
                let (bytes, _, dtype) = data.into_parts();
                let size = bytes.len() / count;
                TensorData::from_bytes_vec(bytes[i * size..(i + 1) * size].to_vec(), of.clone(), dtype)
            }));
        }
    }
    Ok(all)
}
