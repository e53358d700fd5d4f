//! The rows that a stage begins from.

use burn::tensor::{Tensor, TensorData};
use counterpoint::{Error, Result, Stream};

use crate::{Concept, ConceptTokens, Showo, ShowoConfig, TextTokenizer, tokens};

/// Rounds of Lloyd's algorithm at most, and the move of all centres, squared and relative to the spread of the points, under
/// which it ends: as in scikit-learn.
const ROUNDS: usize = 300;
const SETTLED: f64 = 1e-4;

impl ConceptTokens {
    /// Fresh rows for `model` as UniCTokens' first stage begins (`--init_by_images`): the name is the mean embedding of the
    /// tokens of `class`, the soft tokens are the centres of as many clusters (k-means, from k-means++) of the embeddings of all
    /// `codes` (`[images][N]`). Weights and biases of the head as in [`from_words`](Self::from_words).
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) when there are soft tokens and no image, or the class has no token.
    pub fn from_clusters(
        concept: Concept,
        config: &ShowoConfig,
        model: &Showo,
        tokenizer: &TextTokenizer,
        class: &str,
        codes: &[Vec<u32>],
        noise: &mut Stream,
    ) -> Result<Self> {
        let soft = concept.tokens() - 1;
        let mut rows = Self::from_words(concept, config, model, tokenizer, &[class.to_owned()])?;
        if soft == 0 {
            return Ok(rows);
        }
        let centres = clusters_of(config, model, codes, soft, noise).map_err(|e| e.at(&rows.concept.name))?;
        let name = Tensor::<2>::from_data(rows.embed, &model.device()).narrow(0, 0, 1);
        rows.embed = Tensor::cat(vec![name, centres], 0).into_data();
        Ok(rows)
    }

    /// These rows with `more` soft tokens after them. Their embeddings are `begin` (`[more, H]`), or those of image codes, which
    /// is what UniCTokens' enlarged model has there; weights and biases of the head are always those of image codes.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) when there are more tokens than image codes.
    pub fn grown(self, grown: Concept, config: &ShowoConfig, model: &Showo, begin: Option<Tensor<2>>) -> Result<Self> {
        let (old, new) = (self.concept.tokens(), grown.tokens());
        if new < old || new > config.codebook_size {
            return Err(Error::config(format!(
                "concept {}: expected {old} tokens or more, and at most {}, as many as image codes, got {new}",
                grown.name, config.codebook_size
            )));
        }
        if new == old {
            return Ok(Self { concept: grown, ..self });
        }
        let (embed, weight, bias) = model.token_rows(config.image_token_offset as usize + old, new - old)?;
        fn appended<const D: usize>(rows: TensorData, more: Tensor<D>) -> TensorData {
            let device = more.device();
            Tensor::cat(vec![Tensor::from_data(rows, (&device, more.dtype())), more], 0).into_data()
        }
        Ok(Self {
            concept: grown,
            embed: appended(self.embed, begin.unwrap_or(embed)),
            lm_head_weight: appended(self.lm_head_weight, weight),
            lm_head_bias: appended(self.lm_head_bias, bias),
        })
    }
}

/// Centres `[count, H]` of clusters of the embeddings of image codes `[images][N]`.
pub(super) fn clusters_of(
    config: &ShowoConfig,
    model: &Showo,
    codes: &[Vec<u32>],
    count: usize,
    noise: &mut Stream,
) -> Result<Tensor<2>> {
    if codes.is_empty() {
        return Err(Error::config("expected photographs to begin from, got none"));
    }
    let ids: Vec<Vec<u32>> =
        codes.iter().map(|row| row.iter().map(|code| code + config.image_token_offset).collect()).collect();
    let embedded = model.embed(tokens::to_tensor(&ids, &model.device()));
    let [images, length, width] = embedded.dims();
    let (device, dtype) = (embedded.device(), embedded.dtype());
    let points = embedded
        .reshape([images * length, width])
        .try_into_vec_as::<f32>()
        .map_err(|e| Error::device("cannot read embeddings from the device").with_source(e.to_string()))?;
    let centres = k_means(&points, width, count, noise);
    Ok(Tensor::from_data(TensorData::new(centres, [count, width]), (&device, dtype)))
}

/// Centres `[count][width]` of clusters of `points` `[n][width]`, count and n 1 or more: k-means++ (each next one drawn with a probability
/// of its squared distance to the nearest), then Lloyd's rounds. A cluster that loses all its points stays where it is. With fewer
/// distinct points than `count` some centres are equal.
fn k_means(points: &[f32], width: usize, count: usize, noise: &mut Stream) -> Vec<f32> {
    let points: Vec<&[f32]> = points.chunks(width).collect();
    let mut centres: Vec<Vec<f32>> = Vec::with_capacity(count);
    let mut nearest = vec![f64::INFINITY; points.len()];
    while centres.len() < count {
        let chosen = match centres.last() {
            None => noise.below(points.len()),
            Some(last) => {
                nearest.iter_mut().zip(&points).for_each(|(near, point)| *near = near.min(distance(point, last)));
                let mut left = f64::from(noise.uniform()) * nearest.iter().sum::<f64>();
                let passed = |near: &f64| {
                    left -= near;
                    left <= 0.0
                };
                nearest.iter().position(passed).unwrap_or(points.len() - 1)
            }
        };
        centres.push(points[chosen].to_vec());
    }
    let mean = mean_of(&points, width);
    let spread = points.iter().map(|point| distance(point, &mean)).sum::<f64>() / (points.len() * width) as f64;
    for _ in 0..ROUNDS {
        let mut members: Vec<Vec<&[f32]>> = vec![Vec::new(); count];
        for point in &points {
            let of = |k: &usize| distance(point, &centres[*k]);
            let closest = (0..count).min_by(|a, b| of(a).total_cmp(&of(b)));
            members[closest.unwrap_or(0)].push(point);
        }
        let mut moved = 0.0;
        for (centre, members) in centres.iter_mut().zip(&members).filter(|(_, members)| !members.is_empty()) {
            let next = mean_of(members, width);
            moved += distance(&next, centre);
            *centre = next;
        }
        if moved <= SETTLED * spread {
            break;
        }
    }
    centres.concat()
}

fn mean_of(points: &[&[f32]], width: usize) -> Vec<f32> {
    let mut sums = vec![0.0_f64; width];
    for point in points {
        sums.iter_mut().zip(*point).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    sums.into_iter().map(|sum| (sum / points.len() as f64) as f32).collect()
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use counterpoint::{Key, Streams};

    use super::*;

    fn noise(seed: u64) -> Stream {
        Streams::new(seed).stream(Key::task(0, 0), "test", 0)
    }

    /// Sum of squared distances to the nearest centre, which k-means lowers.
    fn inertia(points: &[f32], width: usize, centres: &[f32]) -> f64 {
        let nearest = |point: &[f32]| centres.chunks(width).map(|c| distance(point, c)).fold(f64::INFINITY, f64::min);
        points.chunks(width).map(nearest).sum()
    }

    #[test]
    fn clusters_that_lie_apart_are_found() {
        let mut draw = noise(1);
        let centres = [[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]];
        let points: Vec<f32> = (0..400).flat_map(|i| centres[i % 4].map(|c| c + draw.uniform() - 0.5)).collect();
        for seed in 0..10 {
            let found = k_means(&points, 2, 4, &mut noise(seed));
            for centre in &centres {
                assert!(found.chunks(2).any(|f| distance(f, centre) < 0.02), "seed {seed}: {found:?}");
            }
        }
    }

    /// 60 points of 3 numbers, `((i * 37 + j * 11) % 101) / 101`, in 5 clusters: scikit-learn 1.9.1's
    /// `KMeans(5, n_init=100, random_state=0).fit(points).inertia_` is 0.83536.
    #[test]
    fn clusters_are_as_tight_as_scikit_learns() {
        let points: Vec<f32> =
            (0..60).flat_map(|i| (0..3).map(move |j| ((i * 37 + j * 11) % 101) as f32 / 101.0)).collect();
        let best = (0..30).map(|seed| inertia(&points, 3, &k_means(&points, 3, 5, &mut noise(seed))));
        let best = best.fold(f64::INFINITY, f64::min);
        assert!((best - 0.83536).abs() < 1e-3, "{best}");
    }

    #[test]
    fn fewer_points_than_clusters_are_no_error() {
        let found = k_means(&[1.0, 2.0, 3.0, 4.0], 2, 3, &mut noise(0));
        assert!(found.chunks(2).all(|c| c == [1.0, 2.0] || c == [3.0, 4.0]), "{found:?}");
    }
}
