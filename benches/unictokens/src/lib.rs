//! Personal concepts from a folder in the layout of the UniCTokens data set, and the tasks made of them.
//!
//! ```text
//! concepts_list.json                 the names (left out: the folders of concept/train)
//! concept/train/<name>/0.png ...     reference images, also .jpg and .jpeg
//!                      info.json     class, info, extra_info (the facts), num_testing_info
//!                      conversations.json   per image, pairs of query and answer
//!                      positive_recognitions.json, random_recognitions.json, cropped/   for personalisation
//! concept/test/<name>/0.png ...      held-out images
//!                     vqa.json       per held-out image, pairs of query and answer
//!                     t2i_conditions.json   personalized_driven_generation: prompt k fits fact k
//! ```
//!
//! A program that says `use counterpoint_unictokens as _;` can select it in a config: `[data] kind = "unictokens"`, with the
//! settings of [`PersonalTasksConfig`]. One that needs no config builds a [`PersonalTasks`].

mod classes;
mod concept;
mod config;
mod evaluator;
mod exam;
mod json;
mod lessons;
mod pathway;
mod picture;
mod tasks;
mod without;
mod wording;

pub use classes::{ClassRule, ClassRules};
pub use concept::{Concept, ConceptSet, Exchange};
pub use config::{KIND, PersonalTasksConfig};
pub use evaluator::{HeldOut, held_out};
pub use exam::{ExamConfig, Part, Prompts, examination};
pub use lessons::Lessons;
pub use pathway::{Pathway, concept_of};
pub use picture::Picture;
pub use tasks::{PersonalTasks, Split};
pub use without::mentions;
pub use wording::Wording;
