//! The concept by what it is, where the prompt has its name.

use std::borrow::Cow;

use counterpoint::Sample;
use serde_json::Value;

/// The prompt of `sample` with `params.noun` in every place of `params.concept`; the prompt as it is where either is missing or
/// blank. A published tower has never read the name.
pub fn by_noun(sample: &Sample) -> Cow<'_, str> {
    let param = |name| sample.params.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    match (param("concept"), param("noun")) {
        (Some(concept), Some(noun)) => sample.prompt.replace(concept, noun).into(),
        _ => Cow::from(&sample.prompt),
    }
}
