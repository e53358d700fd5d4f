//! Writes a world as a folder in the layout of the UniCTokens data set, with `scenes.json` files that hold its truth.

use std::collections::BTreeMap;
use std::path::Path;

use counterpoint::{Error, Result};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ImageEncoder, Rgb, RgbImage};
use serde::{Deserialize, Serialize};

use crate::SIZE;
use crate::language::{dense_prompt, fact, fact_question, info, info_question, reasoning_prompt, visual_questions};
use crate::render::{Jitter, Renderer};
use crate::scene::{Concept, Scene, TRAINING_FACTS, World};

/// How many images, differently jittered, each fact of `world` has. An evaluation asks about one of them.
pub fn images_per_fact(world: World) -> usize {
    match world {
        World::Main => 2,
        World::Validation => 1,
    }
}

/// `scenes.json`: what the images of a folder show and what the concept's facts say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenes {
    /// Per file name, what the image shows.
    pub images: BTreeMap<String, Scene>,
    /// All facts of the concept, in the order of `extra_info` and of the reasoning prompts.
    pub facts: Vec<Fact>,
}

/// One fact with its prompt and its truth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// The sentence.
    pub text: String,
    /// The reasoning prompt that it fits.
    pub prompt: String,
    /// Whether it is kept from training.
    pub held_out: bool,
    /// What it says.
    pub scene: Scene,
}

#[derive(Serialize)]
struct Info {
    name: &'static str,
    class: &'static str,
    info: String,
    extra_info: Vec<String>,
    num_testing_info: usize,
    generation_type: &'static str,
    conversation_type: &'static str,
}

#[derive(Serialize)]
struct Conditions {
    personalized_driven_generation: Vec<String>,
    explicit_personalized_driven_generation: Vec<String>,
    dense_prompt_generation: Vec<String>,
    personalized_dense_prompt_generation: Vec<String>,
    explicit_personalized_dense_prompt_generation: Vec<String>,
}

#[derive(Serialize, Clone)]
struct Exchange {
    query: String,
    answer: String,
}

/// The facts of `concept` in `world` with their reasoning prompts, each prompt in one of its place's two paraphrases.
pub fn facts(world: World, concept: Concept) -> Vec<Fact> {
    let facts = world.facts(concept).into_iter().enumerate();
    let phrase = |k: usize| 1 + (k + concept as usize) % 2;
    facts
        .map(|(k, scene)| Fact {
            text: fact(&scene),
            prompt: reasoning_prompt(concept, scene.place, phrase(k)),
            held_out: k >= TRAINING_FACTS,
            scene,
        })
        .collect()
}

/// Every file of the data set of `world`: its path inside the folder, with `/`, and its bytes. The validation world has what an
/// evaluation needs: no conversations to train on.
///
/// # Errors
/// [`ErrorKind::Data`](counterpoint::ErrorKind::Data) when an embedded picture is damaged or cannot be encoded.
pub fn files(world: World) -> Result<BTreeMap<String, Vec<u8>>> {
    let renderer = Renderer::new()?;
    let mut files = BTreeMap::new();
    let names: Vec<&str> = Concept::ALL.iter().map(|c| c.word()).collect();
    files.insert("concepts_list.json".to_owned(), json(&names)?);
    files.insert(format!("black_{SIZE}x{SIZE}.png"), png(&RgbImage::from_pixel(SIZE, SIZE, Rgb([0; 3])))?);
    let mut train_images = BTreeMap::new();
    for &concept in Concept::ALL {
        let facts = facts(world, concept);
        let halves = [false, true].map(|held_out| scenes(&facts, held_out, images_per_fact(world)));
        let [training, held_out] = &halves;
        train_images.insert(concept.word(), training.images.keys().cloned().collect::<Vec<_>>());
        for (split, scenes) in [("train", training), ("test", held_out)] {
            let folder = format!("concept/{split}/{}", concept.word());
            for (k, (name, scene)) in scenes.images.iter().enumerate() {
                let half = u64::from(world == World::Validation) << 24 | u64::from(split == "test") << 8;
                let seed = (concept as u64) << 16 | half | k as u64;
                files.insert(format!("{folder}/{name}"), png(&renderer.render(scene, Jitter::new(seed)))?);
            }
            files.insert(format!("{folder}/scenes.json"), json(scenes)?);
        }
        let train = format!("concept/train/{}", concept.word());
        let test = format!("concept/test/{}", concept.word());
        files.insert(format!("{train}/info.json"), json(&information(concept, &facts))?);
        files.insert(format!("{test}/t2i_conditions.json"), json(&conditions(concept, &facts))?);
        files.insert(format!("{test}/vqa.json"), json(&questions_about_images(concept, held_out))?);
        if world == World::Main {
            let mut conversations = questions_about_images(concept, training);
            conversations.insert("text_only".to_owned(), questions_without_images(concept, &facts, false));
            files.insert(format!("{train}/conversations.json"), json(&conversations)?);
            files.insert(format!("{test}/text_only.json"), json(&questions_without_images(concept, &facts, true))?);
        }
    }
    files.insert("concept/train/train_images.json".to_owned(), json(&train_images)?);
    Ok(files)
}

/// The main world, whose concepts go by their [aliases](Concept::alias): strangers to every model that was trained on it, who have to
/// be taught first. `scenes.json`, which no model reads, says who they are.
///
/// # Errors
/// As [`files`].
pub fn strangers() -> Result<BTreeMap<String, Vec<u8>>> {
    let renamed = |text: &str, around: [&str; 2]| {
        let [open, close] = around;
        let one = |text: String, concept: &Concept| {
            text.replace(&[open, concept.word(), close].concat(), &[open, concept.alias(), close].concat())
        };
        Concept::ALL.iter().fold(text.to_owned(), one)
    };
    let of = |(path, bytes): (String, Vec<u8>)| {
        let text = || String::from_utf8_lossy(&bytes).into_owned();
        let bytes = match path.rsplit_once('.') {
            Some((start, "json")) if start.ends_with("scenes") => renamed(&text(), ["<", ">"]).into_bytes(),
            Some((_, "json")) => renamed(&renamed(&text(), ["<", ">"]), ["\"", "\""]).into_bytes(),
            _ => bytes,
        };
        (renamed(&path, ["/", "/"]), bytes)
    };
    Ok(files(World::Main)?.into_iter().map(of).collect())
}

/// Writes `files` into the folder `out`, which is made if need be.
///
/// # Errors
/// [`ErrorKind::Io`](counterpoint::ErrorKind::Io) when a file cannot be written.
pub fn write(files: BTreeMap<String, Vec<u8>>, out: &Path) -> Result<()> {
    for (name, bytes) in files {
        let path = out.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| Error::io("cannot make the folder", folder, e))?;
        }
        std::fs::write(&path, bytes).map_err(|e| Error::io("cannot write", &path, e))?;
    }
    Ok(())
}

/// The images of one half of the facts: image k shows fact k modulo the number of facts.
fn scenes(facts: &[Fact], held_out: bool, images_per_fact: usize) -> Scenes {
    let half: Vec<Scene> = facts.iter().filter(|f| f.held_out == held_out).map(|f| f.scene).collect();
    let images = (0..half.len() * images_per_fact).map(|k| (format!("{k}.png"), half[k % half.len()])).collect();
    Scenes { images, facts: facts.to_vec() }
}

fn information(concept: Concept, facts: &[Fact]) -> Info {
    Info {
        name: concept.word(),
        class: concept.class(),
        info: info(concept),
        extra_info: facts.iter().map(|f| f.text.clone()).collect(),
        num_testing_info: facts.iter().filter(|f| f.held_out).count(),
        generation_type: if concept.class() == "object" { "object" } else { "live_subject" },
        conversation_type: concept.class(),
    }
}

fn conditions(concept: Concept, facts: &[Fact]) -> Conditions {
    let each = |f: &dyn Fn(&Fact) -> String| facts.iter().map(f).collect::<Vec<_>>();
    Conditions {
        personalized_driven_generation: each(&|f| f.prompt.clone()),
        explicit_personalized_driven_generation: each(&|f| format!("{} {}", f.prompt, f.text)),
        dense_prompt_generation: facts
            .iter()
            .zip(facts.iter().cycle().skip(1))
            .map(|(f, other)| dense_prompt(concept, f.scene.place, Some(&other.scene)))
            .collect(),
        personalized_dense_prompt_generation: each(&|f| dense_prompt(concept, f.scene.place, None)),
        explicit_personalized_dense_prompt_generation: each(&|f| dense_prompt(concept, f.scene.place, Some(&f.scene))),
    }
}

fn questions_about_images(concept: Concept, scenes: &Scenes) -> BTreeMap<String, Vec<Exchange>> {
    let ask = |scene: &Scene| {
        let answer = fact(scene);
        visual_questions(concept).map(|query| Exchange { query, answer: answer.clone() }).to_vec()
    };
    scenes.images.iter().map(|(name, scene)| (name.clone(), ask(scene))).collect()
}

fn questions_without_images(concept: Concept, facts: &[Fact], held_out: bool) -> Vec<Exchange> {
    let half = facts.iter().filter(|f| f.held_out == held_out);
    let about_facts =
        half.map(|f| Exchange { query: fact_question(concept, f.scene.place, 0), answer: f.text.clone() });
    std::iter::once(Exchange { query: info_question(concept), answer: info(concept) }).chain(about_facts).collect()
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|e| Error::data("cannot write JSON").with_source(e))?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn png(image: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive)
        .write_image(image, image.width(), image.height(), image::ExtendedColorType::Rgb8)
        .map_err(|e| Error::data("cannot encode an image as PNG").with_source(e))?;
    Ok(bytes)
}
