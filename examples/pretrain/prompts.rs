//! Prompts of the world of shapes, for all that is trained on it.

use counterpoint::Stream;
use counterpoint_shapes::{Category, Prompt};

/// Draws prompts, each category as often as the others.
pub struct Prompts(Vec<Vec<Prompt>>);

impl Prompts {
    /// Those that may be trained on.
    pub fn known() -> Self {
        Self(of(|prompt| !prompt.is_held_out()))
    }

    /// Those that may not.
    pub fn held_out() -> Self {
        Self(of(Prompt::is_held_out).into_iter().filter(|prompts| !prompts.is_empty()).collect())
    }

    pub fn draw(&self, stream: &mut Stream) -> Prompt {
        let prompts = &self.0[stream.below(self.0.len())];
        prompts[stream.below(prompts.len())]
    }
}

fn of(kept: impl Fn(&Prompt) -> bool) -> Vec<Vec<Prompt>> {
    let all = Prompt::all();
    let of = |category| all.iter().filter(|p| p.category() == category && kept(p)).copied().collect();
    Category::ALL.map(of).to_vec()
}
