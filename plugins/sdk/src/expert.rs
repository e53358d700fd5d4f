//! What a plugin author implements.

use crate::{Batch, Description, Error, Setup};

/// An **expert**: scores a batch of items. One value of the type is one instance.
///
/// *Contract*: the answer has one [`Score`] for each item of the batch, in order; otherwise the call fails.
/// *Call order*: [`describe`](Self::describe) at any time; [`create`](Self::create), then [`score`](Self::score) any number of
/// times, then drop. After a panic the instance is never called again, only dropped.
/// *Threading*: one call of an instance at a time, from any thread. Calls of different instances overlap only if the description
/// says [`concurrent`](Description::concurrent).
/// *Manners*: leave the process as it is (working directory, environment, signal handlers, standard output); speak with `log`.
///
/// ```
/// use counterpoint_sdk::{Batch, Description, Error, Expert, Score, Setup, export_rewards};
///
/// /// How far the answer fills a hundred characters.
/// struct Length;
///
/// impl Expert for Length {
///     const NAME: &'static str = "length";
///
///     fn describe() -> Description {
///         Description::new("the length of the answer").range(0.0, 1.0).concurrent().deterministic().batch_invariant()
///     }
///
///     fn create(_: &Setup<'_>) -> Result<Self, Error> {
///         Ok(Self)
///     }
///
///     fn score(&mut self, batch: &Batch<'_>) -> Result<Vec<Score>, Error> {
///         batch.each(|item| Ok(Score::Value((item.response().chars().count() as f64 / 100.0).min(1.0))))
///     }
/// }
///
/// export_rewards!(Length);
/// # use counterpoint_sdk::testing::{TestExpert, TestItem};
/// # let mut length = TestExpert::<Length>::create(&())?;
/// # assert_eq!(length.score(&[TestItem::new().response("x".repeat(25))])?, [Score::Value(0.25)]);
/// # Ok::<(), Error>(())
/// ```
pub trait Expert: Sized + Send + 'static {
    /// The name by which a config asks for it: lower case letters, digits, `_` and `-`; no two of a plugin are equal.
    const NAME: &'static str;

    /// What it says of itself; the same at every call.
    fn describe() -> Description;

    /// Makes an instance.
    ///
    /// Settings that are given and not read are an error: a setting that is not heeded would pass unnoticed.
    ///
    /// # Errors
    /// When the settings do not fit, or a file is missing or damaged; the message reaches the user of the config.
    fn create(setup: &Setup<'_>) -> Result<Self, Error>;

    /// Scores the items of a batch, which has 1 or more.
    ///
    /// # Errors
    /// When the call as a whole failed. An item that cannot be scored is no error but a [`Score::Fail`].
    fn score(&mut self, batch: &Batch<'_>) -> Result<Vec<Score>, Error>;
}

/// What became of an item.
#[derive(Debug, Clone, PartialEq)]
pub enum Score {
    /// The value of an expert with one output.
    Value(f64),
    /// The values of an expert with several outputs, in the order of its description.
    Values(Vec<f64>),
    /// The expert does not apply to the item, for this reason.
    Abstain(String),
    /// The item could not be scored, for this reason.
    Fail(String),
}

impl Score {
    /// The values; none for an abstention or a failure.
    pub fn values(&self) -> &[f64] {
        match self {
            Self::Value(value) => std::slice::from_ref(value),
            Self::Values(values) => values,
            Self::Abstain(_) | Self::Fail(_) => &[],
        }
    }
}
