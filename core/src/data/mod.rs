//! Personal concepts from a folder in the layout of the UniCTokens data set, and the tasks made of them.
//!
//! ```text
//! concepts_list.json                 the names (left out: the folders of concept/train)
//! concept/train/<name>/0.png ...     reference images, also .jpg and .jpeg
//!                      info.json     class, info, extra_info (the facts), num_testing_info
//!                      conversations.json   per image, pairs of query and answer
//! concept/test/<name>/0.png ...      held-out images
//!                     vqa.json       per held-out image, pairs of query and answer
//!                     t2i_conditions.json   personalized_driven_generation: prompt k fits fact k
//! ```

mod concept;
mod json;
mod pathways;
mod picture;

pub use concept::{Concept, ConceptSet, Exchange};
pub use pathways::{PersonalTasks, Split, Wording};
pub use picture::Picture;
