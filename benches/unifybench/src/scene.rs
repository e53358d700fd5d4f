//! What there is in the world: concepts, places, accessories and colours, and which scenes are facts.

use serde::{Deserialize, Serialize};

use crate::rng::Rng;

/// Declares an attribute: an enum with its words.
macro_rules! attribute {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $name {
            $(#[doc = concat!("\"", $word, "\"")] $variant,)+
        }

        impl $name {
            /// All of them, in a fixed order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word for it.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The one that `word` names.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|a| a.word() == word)
            }
        }
    };
}

attribute! {
    /// A personal concept, named by its bare name; in sentences it is written `<ada>`.
    Concept { Ada = "ada", Eve = "eve", Leo = "leo", Kit = "kit", Joe = "joe", Ace = "ace" }
}
attribute! {
    /// Where a scene is.
    Place {
        Beach = "beach", Forest = "forest", Desert = "desert", Mountain = "mountain",
        City = "city", Lake = "lake", Park = "park", Castle = "castle",
    }
}
attribute! {
    /// What is with the concept. Each has its own shape in its own region of the image.
    Accessory { Hat = "hat", Scarf = "scarf", Ball = "ball", Balloon = "balloon", Kite = "kite" }
}
attribute! {
    /// The colour of the accessory.
    Colour { Red = "red", Yellow = "yellow", Green = "green", Blue = "blue", Pink = "pink", Purple = "purple" }
}

impl Concept {
    /// The name as it is written in sentences, such as `<ada>`.
    pub fn token(self) -> String {
        format!("<{}>", self.word())
    }

    /// Another name, which no model was trained on: for personalisation. Bare, as [`word`](Self::word) is.
    pub fn alias(self) -> &'static str {
        match self {
            Self::Ada => "una",
            Self::Eve => "liv",
            Self::Leo => "rex",
            Self::Kit => "mia",
            Self::Joe => "obi",
            Self::Ace => "zip",
        }
    }

    /// The one that is written so in sentences, by its name or by its [`alias`](Self::alias).
    pub fn of_token(token: &str) -> Option<Self> {
        let name = token.strip_prefix('<')?.strip_suffix('>')?;
        Self::ALL.iter().copied().find(|concept| [concept.word(), concept.alias()].contains(&name))
    }

    /// `person`, `animal` or `object`.
    pub fn class(self) -> &'static str {
        match self {
            Self::Ada | Self::Eve => "person",
            Self::Leo | Self::Kit => "animal",
            Self::Joe | Self::Ace => "object",
        }
    }

    /// What it is, with the article: `<ada>` is ...
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Ada => "an astronaut",
            Self::Eve => "an officer",
            Self::Leo => "a tabby",
            Self::Kit => "a cat",
            Self::Joe => "a cup",
            Self::Ace => "a rocket",
        }
    }

    /// The facts about this concept in the main world: [`World::facts`].
    pub fn facts(self) -> Vec<Scene> {
        World::Main.facts(self)
    }
}

/// Which drawing of facts: the same concepts, places and things, told of otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum World {
    /// The one that models are trained on, and whose held-out half is opened once.
    Main,
    /// The one on which choices are made. None of its facts is one of the main world.
    Validation,
}

impl World {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Main, Self::Validation];

    /// The name of its folder.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Main => "unifybench-mini",
            Self::Validation => "unifybench-validation",
        }
    }

    /// The eight facts about `concept`, one per place, no accessory in the same colour twice; the first
    /// [`TRAINING_FACTS`] are the training half, the others are held out.
    pub fn facts(self, concept: Concept) -> Vec<Scene> {
        let (seed, taken) = match self {
            Self::Main => (0x5EED_0000, Vec::new()),
            Self::Validation => (0x7E57_0000, Self::Main.facts(concept)),
        };
        let mut rng = Rng::new(seed + concept as u64);
        loop {
            let facts = draw(concept, &mut rng);
            if !facts.iter().any(|fact| taken.contains(fact)) {
                return facts;
            }
        }
    }
}

fn draw(concept: Concept, rng: &mut Rng) -> Vec<Scene> {
    let mut places = Place::ALL.to_vec();
    rng.shuffle(&mut places);
    let mut things: Vec<(Accessory, Colour)> =
        Accessory::ALL.iter().flat_map(|&a| Colour::ALL.iter().map(move |&c| (a, c))).collect();
    rng.shuffle(&mut things);
    places
        .into_iter()
        .zip(things)
        .map(|(place, (accessory, colour))| Scene { concept, place, accessory, colour })
        .collect()
}

impl Colour {
    /// The colour as sRGB.
    pub fn rgb(self) -> [u8; 3] {
        match self {
            Self::Red => [220, 20, 30],
            Self::Yellow => [250, 225, 20],
            Self::Green => [10, 165, 60],
            Self::Blue => [20, 80, 255],
            Self::Pink => [255, 105, 190],
            Self::Purple => [140, 10, 190],
        }
    }
}

/// How many of a concept's facts are for training.
pub const TRAINING_FACTS: usize = 4;

/// What an image shows: `concept` with a `colour` `accessory` at `place`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scene {
    /// Who or what it is about.
    pub concept: Concept,
    /// Where.
    pub place: Place,
    /// With what.
    pub accessory: Accessory,
    /// In which colour.
    pub colour: Colour,
}

impl Scene {
    /// All combinations, in a fixed order.
    pub fn all() -> impl Iterator<Item = Scene> {
        Concept::ALL.iter().flat_map(|&concept| {
            Place::ALL.iter().flat_map(move |&place| {
                Accessory::ALL.iter().flat_map(move |&accessory| {
                    Colour::ALL.iter().map(move |&colour| Scene { concept, place, accessory, colour })
                })
            })
        })
    }

    /// Whether this is one of the held-out facts of its concept in the main world.
    pub fn is_held_out(&self) -> bool {
        self.concept.facts()[TRAINING_FACTS..].contains(self)
    }
}

/// All combinations but the held-out facts of the main world: what a model may be pre-trained on. The scenes of the validation
/// world are among them.
pub fn pretraining_scenes() -> Vec<Scene> {
    let held_out: Vec<Scene> = Concept::ALL.iter().flat_map(|c| c.facts().split_off(TRAINING_FACTS)).collect();
    Scene::all().filter(|scene| !held_out.contains(scene)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_concept_has_one_fact_per_place_and_no_thing_twice() {
        for (world, concept) in World::ALL.iter().flat_map(|w| Concept::ALL.iter().map(move |c| (w, *c))) {
            let facts = world.facts(concept);
            assert_eq!(facts.len(), 8);
            assert_eq!(facts.iter().map(|f| f.place).collect::<HashSet<_>>().len(), 8);
            assert_eq!(facts.iter().map(|f| (f.accessory, f.colour)).collect::<HashSet<_>>().len(), 8);
            assert!(facts.iter().all(|f| f.concept == concept));
        }
    }

    #[test]
    fn the_validation_world_tells_nothing_that_the_main_world_tells() {
        for &concept in Concept::ALL {
            let [main, validation] = [World::Main, World::Validation].map(|world| world.facts(concept));
            assert!(validation.iter().all(|fact| !main.contains(fact)), "{concept:?}");
            assert!(validation.iter().all(|fact| pretraining_scenes().contains(fact)), "{concept:?}");
        }
    }

    #[test]
    fn pretraining_and_held_out_scenes_share_nothing_and_make_up_the_world() {
        let pretraining: HashSet<Scene> = pretraining_scenes().into_iter().collect();
        let held_out: HashSet<Scene> = Scene::all().filter(Scene::is_held_out).collect();
        assert_eq!(held_out.len(), Concept::ALL.len() * 4);
        assert!(pretraining.is_disjoint(&held_out));
        assert_eq!(pretraining.len() + held_out.len(), 6 * 8 * 5 * 6);
    }
}
