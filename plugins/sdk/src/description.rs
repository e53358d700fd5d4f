//! What an expert says of itself.

use counterpoint_abi::{CPT_CAP_BATCH_INVARIANT, CPT_CAP_CONCURRENT, CPT_CAP_DETERMINISTIC};
use serde::Serialize;

/// What an expert judges, what it gives, what it needs, and what it promises.
///
/// Without a call of [`output`](Self::output) it gives one output `score`, without a range.
#[derive(Debug, Clone)]
pub struct Description {
    pub(crate) text: String,
    pub(crate) outputs: Vec<Output>,
    pub(crate) needs: Vec<Need>,
    pub(crate) judges: Judges,
    pub(crate) capabilities: u64,
    /// Whether `outputs` is still the one that nobody asked for.
    default: bool,
}

/// One number of an item.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Output {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) range: Option<[f64; 2]>,
}

/// What an item must have for an expert to judge it.
///
/// Hosts never send items without an image or a reference to an expert that needs one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// Words: prompt, response or parameters.
    Text,
    /// A generated image.
    Image,
    /// One reference image or more.
    Reference,
    /// A face in the image.
    Face,
}

/// Which halves of the loop an expert's scores depend on.
///
/// Where credit is causal, a decision is not credited with what an expert says of a half that was over before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Judges {
    /// The answer alone: the same answer has the same score, whatever the image.
    Understanding,
    /// The image alone: the same image has the same score, whatever prompt and answer.
    Generation,
    /// Both, which is never wrong.
    #[default]
    Both,
}

impl Judges {
    pub(crate) fn is_both(&self) -> bool {
        *self == Self::Both
    }
}

impl Description {
    /// `text` says in a sentence what the expert judges.
    pub fn new(text: impl Into<String>) -> Self {
        let score = Output { name: "score".to_owned(), range: None };
        Self {
            text: text.into(),
            outputs: vec![score],
            needs: Vec::new(),
            judges: Judges::Both,
            capabilities: 0,
            default: true,
        }
    }

    /// Gives an output called `name`, after those that were named before.
    pub fn output(mut self, name: impl Into<String>) -> Self {
        if std::mem::take(&mut self.default) {
            self.outputs.clear();
        }
        self.outputs.push(Output { name: name.into(), range: None });
        self
    }

    /// The least and the greatest value of the last output, both included and finite. A value outside fails its item.
    pub fn range(mut self, least: f64, greatest: f64) -> Self {
        if let Some(output) = self.outputs.last_mut() {
            output.range = Some([least, greatest]);
        }
        self
    }

    /// What an item must have.
    pub fn needs(mut self, needs: &[Need]) -> Self {
        self.needs.extend_from_slice(needs);
        self
    }

    /// Which halves of the loop its scores depend on: both, without a call. No expert that needs an image judges understanding
    /// alone; hosts refuse it.
    pub fn judges(mut self, judges: Judges) -> Self {
        self.judges = judges;
        self
    }

    /// Promises that different instances may be called at the same time.
    pub fn concurrent(self) -> Self {
        self.with(CPT_CAP_CONCURRENT)
    }

    /// Promises the same scores, to the last bit, for the same settings, items and seed.
    pub fn deterministic(self) -> Self {
        self.with(CPT_CAP_DETERMINISTIC)
    }

    /// Promises that an item's scores do not depend on the other items of its call.
    pub fn batch_invariant(self) -> Self {
        self.with(CPT_CAP_BATCH_INVARIANT)
    }

    fn with(mut self, capability: u64) -> Self {
        self.capabilities |= capability;
        self
    }
}

impl Output {
    /// Why `value` is refused, if it is.
    pub(crate) fn refuse(&self, value: f64) -> Option<String> {
        if !value.is_finite() {
            return Some(format!("expected a finite `{}`, got {value}", self.name));
        }
        let [least, greatest] = self.range?;
        let outside = !(least..=greatest).contains(&value);
        outside.then(|| format!("expected `{}` in the declared range {least} to {greatest}, got {value}", self.name))
    }
}
