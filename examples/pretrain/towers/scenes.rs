//! Which scenes a batch holds, and what is wrong about a wrong one.

use std::collections::HashSet;

use counterpoint::Stream;
use counterpoint_unifybench::scene::pretraining_scenes;
use counterpoint_unifybench::{Accessory, Colour, Concept, Place, Scene};

use super::draws::below;

/// The attributes of a scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attribute {
    Concept,
    Place,
    Accessory,
    Colour,
}

impl Attribute {
    pub(super) const ALL: [Self; 4] = [Self::Concept, Self::Place, Self::Accessory, Self::Colour];
}

/// `scene` with another value of `attribute`, for every such value.
pub(super) fn changed(scene: Scene, attribute: Attribute) -> Vec<Scene> {
    let mut out: Vec<Scene> = match attribute {
        Attribute::Concept => Concept::ALL.iter().map(|&concept| Scene { concept, ..scene }).collect(),
        Attribute::Place => Place::ALL.iter().map(|&place| Scene { place, ..scene }).collect(),
        Attribute::Accessory => Accessory::ALL.iter().map(|&accessory| Scene { accessory, ..scene }).collect(),
        Attribute::Colour => Colour::ALL.iter().map(|&colour| Scene { colour, ..scene }).collect(),
    };
    out.retain(|s| *s != scene);
    out
}

/// All held-out scenes.
pub(super) fn held_out() -> Vec<Scene> {
    Scene::all().filter(Scene::is_held_out).collect()
}

/// Draws batches from the scenes that may be trained on.
pub(super) struct Batches {
    list: Vec<Scene>,
    set: HashSet<Scene>,
}

impl Batches {
    pub(super) fn new() -> Self {
        let list = pretraining_scenes();
        Self { set: list.iter().copied().collect(), list }
    }

    /// Any scene of `concept`.
    pub(super) fn of(&self, concept: Concept, stream: &mut Stream) -> Scene {
        let scenes: Vec<Scene> = self.list.iter().copied().filter(|s| s.concept == concept).collect();
        scenes[below(stream, scenes.len())]
    }

    /// `families` scenes, each followed by as many neighbours with one attribute changed as there are attributes
    /// (fewer where the neighbour is held out); no scene twice.
    pub(super) fn families(&self, families: usize, stream: &mut Stream) -> Vec<Scene> {
        let mut scenes = Vec::new();
        let mut seen = HashSet::new();
        for _ in 0..families {
            let scene = self.list[below(stream, self.list.len())];
            let mut family = vec![scene];
            for attribute in Attribute::ALL {
                let others = changed(scene, attribute);
                family.push(others[below(stream, others.len())]);
            }
            scenes.extend(family.into_iter().filter(|s| self.set.contains(s) && seen.insert(*s)));
        }
        scenes
    }
}
