//! Recognition: is the concept in the image?

use serde::Serialize;

/// Rates over questions whose answer is yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Recognition {
    /// Share of right answers.
    pub accuracy: f64,
    /// Share of the questions to be answered with yes that were; `None` without any.
    pub recall: Option<f64>,
    /// The same of no.
    pub no_recall: Option<f64>,
    /// Mean of both recalls, which the papers' tables call weighted: a model that always says yes has 0.5, however many images show
    /// the concept. `None` where one of them is.
    pub weighted: Option<f64>,
}

impl Recognition {
    /// From what was to be answered (`true` is yes) and what was said; `None` of nothing.
    ///
    /// As in UniCTokens' evaluation an answer is right when it has the right word in it, in upper or lower case. As a word by itself, where
    /// theirs finds `no` in `know` as well.
    pub fn of<'a>(answers: impl IntoIterator<Item = (bool, &'a str)>) -> Option<Self> {
        let (mut asked, mut right) = ([0_usize; 2], [0_usize; 2]);
        for (yes, said) in answers {
            let word = if yes { "yes" } else { "no" };
            let mut words = said.split(|c: char| !c.is_alphanumeric());
            asked[usize::from(yes)] += 1;
            right[usize::from(yes)] += usize::from(words.any(|said| said.eq_ignore_ascii_case(word)));
        }
        let share = |right: usize, asked: usize| (asked > 0).then(|| right as f64 / asked as f64);
        let [no_recall, recall] = [0, 1].map(|i| share(right[i], asked[i]));
        Some(Self {
            accuracy: share(right[0] + right[1], asked[0] + asked[1])?,
            recall,
            no_recall,
            weighted: recall.zip(no_recall).map(|(yes, no)| (yes + no) / 2.0),
        })
    }
}
