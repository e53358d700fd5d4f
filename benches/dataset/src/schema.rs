//! The JSON Schemas of the data set's files, and what a value that does not fit one is told.

use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

use crate::json::{describe, pointer};
use crate::name::nearest;
use crate::report::Finding;
use crate::{Error, Result};

/// A kind of JSON file of the data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Schema {
    /// `concepts_list.json`.
    ConceptsList,
    /// `template.json`.
    Template,
    /// `concept/train/train_images.json`.
    TrainImages,
    /// `info.json` of a concept.
    Info,
    /// `conversations.json` of a concept.
    Conversations,
    /// `positive_recognitions.json` of a concept.
    PositiveRecognitions,
    /// `random_recognitions.json` of a concept.
    RandomRecognitions,
    /// `negative_example/score.json` of a concept.
    Score,
    /// `text_only.json` of a concept.
    TextOnly,
    /// `vqa.json` of a concept.
    Vqa,
    /// `t2i_conditions.json` of a concept.
    Conditions,
    /// `dense_reasoning.json` of a concept, an addition of this project.
    DenseReasoning,
    /// A derived file of training samples.
    TrainingData,
}

macro_rules! text {
    ($name:literal) => {
        include_str!(concat!("../schemas/", $name, ".schema.json"))
    };
}

impl Schema {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::ConceptsList,
        Self::Template,
        Self::TrainImages,
        Self::Info,
        Self::Conversations,
        Self::PositiveRecognitions,
        Self::RandomRecognitions,
        Self::Score,
        Self::TextOnly,
        Self::Vqa,
        Self::Conditions,
        Self::DenseReasoning,
        Self::TrainingData,
    ];

    /// The schema itself: JSON Schema, draft 2020-12.
    pub fn text(self) -> &'static str {
        match self {
            Self::ConceptsList => text!("concepts_list"),
            Self::Template => text!("template"),
            Self::TrainImages => text!("train_images"),
            Self::Info => text!("info"),
            Self::Conversations => text!("conversations"),
            Self::PositiveRecognitions => text!("positive_recognitions"),
            Self::RandomRecognitions => text!("random_recognitions"),
            Self::Score => text!("score"),
            Self::TextOnly => text!("text_only"),
            Self::Vqa => text!("vqa"),
            Self::Conditions => text!("t2i_conditions"),
            Self::DenseReasoning => text!("dense_reasoning"),
            Self::TrainingData => text!("training_data"),
        }
    }
}

/// All schemas, ready to validate.
pub(crate) struct Schemas(Vec<(Schema, Value, Validator)>);

impl Schemas {
    pub fn new() -> Result<Self> {
        let compile = |schema: Schema| {
            let wrong = |e: String| Error::schema(format!("the schema {schema:?} is wrong: {e}"));
            let value: Value = serde_json::from_str(schema.text()).map_err(|e| wrong(e.to_string()))?;
            let validator = jsonschema::validator_for(&value).map_err(|e| wrong(e.to_string()))?;
            Ok((schema, value, validator))
        };
        Schema::ALL.into_iter().map(compile).collect::<Result<_>>().map(Self)
    }

    /// Where `value`, which is in `file`, does not fit (problems), and keys that the schema does not know (warnings).
    pub fn check(&self, schema: Schema, file: &str, value: &Value) -> (Vec<Finding>, Vec<Finding>) {
        let Some((_, root, validator)) = self.0.iter().find(|known| known.0 == schema) else {
            return Default::default();
        };
        let problems = validator.iter_errors(value).map(|error| {
            let at = error.instance_path().to_string();
            let keyword = error.schema_path().to_string();
            let of = root.pointer(keyword.rsplit_once('/').map_or("", |(parent, _)| parent)).unwrap_or(root);
            let limit = root.pointer(&keyword).unwrap_or(&Value::Null);
            let (expected, fix) = match error.kind() {
                ValidationErrorKind::Required { property: Value::String(key) } => {
                    let what = of.pointer(&format!("/properties/{key}")).map_or("", description);
                    (format!("the key `{key}`"), format!("add `{key}`: {what}"))
                }
                kind => (expected(kind.keyword(), limit), description(of).to_owned()),
            };
            Finding::new((file, &at), expected, describe(error.instance()), fix)
        });
        let mut warnings = Vec::new();
        unknown_keys(root, root, value, (file, ""), &mut warnings);
        (problems.collect(), warnings)
    }
}

fn description(schema: &Value) -> &str {
    schema.get("description").and_then(Value::as_str).unwrap_or_default()
}

fn expected(keyword: &str, limit: &Value) -> String {
    match (keyword, limit) {
        ("type", Value::Array(types)) => types.iter().map(one).collect::<Vec<_>>().join(" or "),
        ("type", _) => one(limit),
        ("pattern", _) => "text that is not empty".into(),
        ("minItems", _) => format!("{limit} or more entries"),
        ("minimum", _) => format!("a number of at least {limit}"),
        ("enum", _) => format!("one of {limit}"),
        _ => format!("a value that fits `{keyword}: {limit}` of the schema"),
    }
}

/// A JSON type, in words.
fn one(kind: &Value) -> String {
    match kind.as_str().unwrap_or_default() {
        "array" => "an array".into(),
        "object" => "an object".into(),
        "string" => "text (a string)".into(),
        "integer" => "a whole number".into(),
        other => format!("a {other}"),
    }
}

/// Keys of objects whose schema lists its keys and has none of that name.
fn unknown_keys(root: &Value, schema: &Value, value: &Value, at: (&str, &str), found: &mut Vec<Finding>) {
    let reference = schema.get("$ref").and_then(Value::as_str).and_then(|r| root.pointer(r.trim_start_matches('#')));
    let schema = reference.unwrap_or(schema);
    match value {
        Value::Array(entries) => {
            let Some(of) = schema.get("items") else { return };
            for (k, entry) in entries.iter().enumerate() {
                unknown_keys(root, of, entry, (at.0, &pointer(at.1, k)), found);
            }
        }
        Value::Object(map) => {
            let known = schema.get("properties").and_then(Value::as_object);
            let others = schema.get("additionalProperties");
            for (key, value) in map {
                let place = pointer(at.1, key);
                match (known.and_then(|known| known.get(key)).or(others), known) {
                    (Some(of), _) => unknown_keys(root, of, value, (at.0, &place), found),
                    (None, Some(known)) => {
                        let names: Vec<&str> = known.keys().map(String::as_str).collect();
                        let fix = match nearest(key, &names) {
                            Some(near) => format!("did you mean `{near}`? Else remove it"),
                            None => "remove it, or leave it: it does no harm".to_owned(),
                        };
                        let expected = format!("one of the keys {}", names.join(", "));
                        let got = format!("the key `{key}`, which nobody reads");
                        found.push(Finding::new((at.0, &place), expected, got, fix));
                    }
                    (None, None) => {}
                }
            }
        }
        _ => {}
    }
}
